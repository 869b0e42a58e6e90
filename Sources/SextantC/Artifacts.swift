import CSextant
import Sextant

/// A file that was learned from a model.
final class ArtifactObject: Object, @unchecked Sendable {
  let artifact: Artifact

  init(_ artifact: Artifact) { self.artifact = artifact }

  override class var kind: String { "an artifact" }

  override func description() -> JSONObject {
    let manifest = artifact.manifest
    var description = JSONObject([
      ("kind", .string(manifest.kind)),
      ("sites", JSONValue(manifest.sites.map(\.name))),
      ("tensors", JSONValue(artifact.tensors.map(\.name))),
    ])
    description["details"] = .object(manifest.details)
    return description
  }

  override func tensor(_ name: String) throws(Refusal) -> Tensor {
    guard let value = artifact.tensor(name) else {
      throw Refusal(
        .artifactTensorMissing, file: artifact.file, at: .tensor(name), found: "no such tensor",
        expected: "one of \(artifact.tensors.map(\.name).joined(separator: ", "))")
    }
    return value
  }
}

@c @implementation
public func sextant_artifact_load(
  _ path: CText?, _ artifact: UnsafeMutablePointer<sextant_artifact>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(artifact)
    let read = try Artifact(reading: text(path, "the path of an artifact"))
    place.write(try HandleTable.shared.add(ArtifactObject(read)))
  }
}

@c @implementation
public func sextant_artifact_save(
  _ artifact: sextant_artifact, _ path: CText?, _ replace: Bool
) -> CError? {
  answering { () throws(Refusal) in
    try object(artifact, ArtifactObject.self).artifact.write(
      to: text(path, "a path"), replacing: replace)
  }
}

// MARK: Training

/// What is trained, and where.
private struct Training {
  var sites = ["residual"]
  var layers: ClosedRange<Int>?
  var method: String?
  var positions = PositionSelection.last

  init(_ given: UnsafePointer<sextant_training>?) throws(Refusal) {
    guard let given = given?.pointee else { return }
    if let words = try optionalText(given.sites, "sites") { sites = listed(words) }
    layers = try layerRange(given.layers)
    method = try optionalText(given.method, "a method")
    positions = try SextantC.positions(given.positions) ?? positions
  }
}

/// The words of a list.
private func listed(_ words: String) -> [String] {
  words.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
}

/// The method of a name.
private func method<Method: RawRepresentable<String> & CaseIterable>(
  _ name: String, _: Method.Type
) throws(Refusal) -> Method {
  guard let method = Method(rawValue: name) else {
    throw misuse(
      found: "the method \"\(name)\"",
      expected: Method.allCases.map(\.rawValue).joined(separator: ", "))
  }
  return method
}

/// Texts with labels.
private func records(
  _ texts: CTexts?, _ labels: UnsafePointer<Bool>?, _ count: Int
) throws(Refusal) -> SelectedRecords {
  let texts = try SextantC.texts(texts, count, "texts")
  return try SelectedRecords(Array(zip(texts, array(labels, count, "labels"))))
}

@c @implementation
public func sextant_train_vector(
  _ model: sextant_model, _ positive: CTexts?, _ negative: CTexts?, _ count: Int,
  _ training: UnsafePointer<sextant_training>?, _ vector: UnsafeMutablePointer<sextant_artifact>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(vector)
    let (loaded, training) = (try object(model, ModelObject.self).loaded, try Training(training))
    let pairs = zip(
      try texts(positive, count, "positive texts"), try texts(negative, count, "negative texts"))
    let trained = try SteeringVector.train(
      on: ContrastPairs(Array(pairs)), for: loaded, at: training.sites, layers: training.layers,
      method: method(training.method ?? SteeringMethod.mean.rawValue, SteeringMethod.self),
      reading: training.positions)
    place.write(try HandleTable.shared.add(ArtifactObject(trained.artifact)))
  }
}

@c @implementation
public func sextant_train_probe(
  _ model: sextant_model, _ texts: CTexts?, _ labels: UnsafePointer<Bool>?, _ count: Int,
  _ training: UnsafePointer<sextant_training>?, _ probe: UnsafeMutablePointer<sextant_artifact>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(probe)
    let (loaded, training) = (try object(model, ModelObject.self).loaded, try Training(training))
    var methods: [ProbeMethod] = []
    for name in listed(training.method ?? "lr,mean-diff,lda") {
      methods.append(try method(name, ProbeMethod.self))
    }
    let trained = try Probe.train(
      on: records(texts, labels, count), for: loaded, at: training.sites, layers: training.layers,
      methods: methods, reading: training.positions)
    place.write(try HandleTable.shared.add(ArtifactObject(trained.artifact)))
  }
}

@c @implementation
public func sextant_evaluate_probe(
  _ model: sextant_model, _ probe: sextant_artifact, _ texts: CTexts?,
  _ labels: UnsafePointer<Bool>?, _ count: Int,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(json)
    let loaded = try object(model, ModelObject.self).loaded
    let measured = try Probe(object(probe, ArtifactObject.self).artifact).evaluate(
      on: records(texts, labels, count), with: loaded)
    place.write(try copied(JSONValue.object(measured.json).canonicalText))
  }
}

@c @implementation
public func sextant_train_lens(
  _ model: sextant_model, _ texts: CTexts?, _ count: Int, _ method: CText?,
  _ lens: UnsafeMutablePointer<sextant_artifact>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(lens)
    let loaded = try object(model, ModelObject.self).loaded
    let name = try optionalText(method, "a method") ?? "ridge"
    guard ["ridge", "tuned"].contains(name) else {
      throw misuse(found: "the method \"\(name)\"", expected: "ridge or tuned")
    }
    let trained = try Lens.train(
      on: loaded.corpus(of: SextantC.texts(texts, count, "texts")), for: loaded,
      by: name == "ridge" ? .ridge() : .tuned())
    place.write(try HandleTable.shared.add(ArtifactObject(trained.artifact)))
  }
}

@c @implementation
public func sextant_lens_grid(
  _ model: sextant_model, _ lens: sextant_artifact, _ text: CText?, _ guesses: Int,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ html: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CError? {
  answering { () throws(Refusal) in
    let loaded = try object(model, ModelObject.self).loaded
    let through = try optionalObject(lens, ArtifactObject.self)
      .map { lens throws(Refusal) in try Lens(lens.artifact) }
    let grid = try loaded.lensGrid(
      of: SextantC.text(text, "a text"), through: through, guesses: guesses)
    let page = try html == nil ? nil : copied(grid.html)
    json?.pointee = try copied(JSONValue.object(grid.json).canonicalText)
    html?.pointee = page
  }
}
