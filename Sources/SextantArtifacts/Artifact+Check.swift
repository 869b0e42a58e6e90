import SextantBytes
import SextantStore
import SextantTensor

/// The rules that every artifact meets, whether it is read or written.
extension Artifact {
  /// Refuses an artifact whose manifest and tensors contradict themselves or each other.
  func check() throws(Refusal) {
    guard let kind = ArtifactKinds.named(manifest.kind) else {
      throw Refusal(
        .artifactKind, file: file, at: .pointer("/kind"), found: manifest.kind,
        expected: "one of \(ArtifactKinds.names)")
    }
    try checkSites()
    try kind.check(self)
    if kind.refusesNonfinite {
      for (name, value) in tensors { try checkFinite(value, name) }
    }
  }

  private func checkSites() throws(Refusal) {
    guard !manifest.sites.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: file, at: .pointer("/sites"), found: "no sites",
        expected: "at least one")
    }
    var seen: Set<ExactString> = []
    for (index, site) in manifest.sites.enumerated() {
      let pointer = Refusal.Place.pointer("/sites/\(index)")
      guard seen.insert(ExactString(site.name)).inserted else {
        throw Refusal(
          .artifactSite, file: file, at: pointer, found: "\(site.name) twice",
          expected: "each site once")
      }
      let (width, layers) = (manifest.model.width, manifest.model.layerCount)
      if let (code, found, expected) = site.flaw(width: width, layerCount: layers) {
        throw Refusal(code, file: file, at: pointer, found: found, expected: expected)
      }
    }
  }

  private func checkFinite(_ tensor: Tensor, _ name: String) throws(Refusal) {
    let flaw: (place: Int, value: String)? =
      switch tensor.dataType {
      case .f32:
        unsafe tensor.withFloats { values in
          unsafe values.firstIndex { !$0.isFinite }.map { unsafe ($0, "\(values[$0])") }
        }
      case .f64:
        unsafe tensor.withDoubles { values in
          unsafe values.firstIndex { !$0.isFinite }.map { unsafe ($0, "\(values[$0])") }
        }
      default: nil
      }
    guard let flaw else { return }
    throw Refusal(
      .artifactNonfinite, file: file, at: .tensor(name),
      found: "\(flaw.value) at element \(flaw.place)", expected: "finite numbers")
  }

  /// Refuses tensors other than these, or of another type or shape.
  ///
  /// - Parameter optional: tensors that may be absent.
  func expectTensors(
    _ required: [ExpectedTensor], optional: [ExpectedTensor] = []
  ) throws(Refusal) {
    for expected in required where tensor(expected.name) == nil {
      throw Refusal(
        .artifactTensorMissing, file: file, at: .tensor(expected.name), found: "no such tensor",
        expected: "\(expected.dataType.rawValue) \(expected.shape)")
    }
    let known = Dictionary(
      (required + optional).map { (ExactString($0.name), $0) }, uniquingKeysWith: { a, _ in a })
    for (name, _) in tensors where known[ExactString(name)] == nil {
      throw Refusal(
        .artifactTensorExtra, file: file, at: .tensor(name),
        found: "a tensor of no site", expected: "the tensors of a \(manifest.kind) artifact")
    }
    for (name, value) in tensors {
      guard let expected = known[ExactString(name)] else { continue }
      guard value.dataType == expected.dataType, value.shape == expected.shape else {
        throw Refusal(
          .artifactSchema, file: file, at: .tensor(name),
          found: "\(value.dataType.rawValue) \(value.shape)",
          expected: "\(expected.dataType.rawValue) \(expected.shape)")
      }
    }
  }
}

/// A tensor that a kind has.
struct ExpectedTensor {
  var name: String
  var dataType: DataType
  var shape: [Int]

  init(_ name: String, _ dataType: DataType, _ shape: [Int]) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
  }
}
