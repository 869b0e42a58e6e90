import SextantBytes
import SextantTensor

extension StoreHeader {
  /// Parses the header of a store and checks all that can be checked without the data.
  ///
  /// - Parameters:
  ///   - text: the JSON text.
  ///   - frame: the preamble, which declares where the data must start and the file must end.
  /// - Throws: `json.*`, `store.header`, `store.version`, `store.required-feature`, `store.table`.
  init(parsing text: [UInt8], frame: StorePreamble, file: String) throws(Refusal) {
    let root = try JSONNode(
      parsing: text, limits: JSONLimits(byteCount: StoreFormat.headerLimit), code: .storeHeader,
      baseOffset: StorePreamble.byteCount, file: file)
    let format = try root.member("format")
    guard try format.string() == StoreFormat.name else {
      throw format.refusal(expected: "\"\(StoreFormat.name)\"")
    }
    let version = try root.member("version")
    guard try version.integer() == StoreFormat.version else {
      throw Refusal(
        .storeVersion, file: file, at: .pointer(version.pointer),
        found: "version \(version.value.canonicalText)",
        expected: "version \(StoreFormat.version)")
    }
    try Self.checkFeatures(of: root)
    guard root.value.canonicalBytes == text else {
      throw root.refusal(
        found: "JSON in another form", expected: "the canonical form: sorted keys, no spaces")
    }

    architecture = try root.member("architecture").nonemptyString()
    configuration = try root.member("configuration").object()
    variant = try root.member("weights").nonemptyString()
    identity = try root.member("identity").digest()
    var layout = StoreLayout(position: frame.dataStart ?? 0)
    tensors = try Self.table(root.member("tensors")) { entry, name throws(Refusal) in
      try StoredTensor(entry, name: name, layout: &layout)
    }
    attachments = try Self.table(root.member("attachments")) { entry, name throws(Refusal) in
      try StoredAttachment(entry, name: name, layout: &layout)
    }
    let end = layout.position.addingReportingOverflow(StoreFooter.byteCount)
    guard !end.overflow, end.partialValue == frame.fileByteCount else {
      throw Refusal(
        .storeTable, file: file, found: "data that ends at byte \(layout.position)",
        expected: "data up to the footer, at byte \(frame.fileByteCount - StoreFooter.byteCount)")
    }
    if variant == StoreFormat.sourceVariant, let tensor = tensors.first(where: \.isConverted) {
      throw Refusal(
        .storeHeader, file: file, at: .tensor(tensor.name),
        found: "\(tensor.dataType.rawValue) made from \(tensor.sourceDataType.rawValue)",
        expected: "the source's type, as \"weights\" is \"\(StoreFormat.sourceVariant)\"")
    }
  }

  private static func checkFeatures(of root: JSONNode) throws(Refusal) {
    for feature in try root.member("requires").elements() {
      guard StoreFormat.features.contains(try feature.string()) else {
        throw Refusal(
          .storeRequiredFeature, file: root.file, at: .pointer(feature.pointer),
          found: "\"\(try feature.string())\"", expected: "features of this program")
      }
    }
    let layout = try root.member("layout")
    guard try layout.string() == StoreFormat.layout else {
      throw Refusal(
        .storeRequiredFeature, file: root.file, at: .pointer(layout.pointer),
        found: "\"\(try layout.string())\"", expected: "\"\(StoreFormat.layout)\"")
    }
  }

  /// The entries of a table whose names must be strictly ascending.
  private static func table<Entry>(
    _ node: JSONNode, _ make: (JSONNode, String) throws(Refusal) -> Entry
  ) throws(Refusal) -> [Entry] {
    let table = JSONNode(node.value, code: .storeTable, file: node.file, pointer: node.pointer)
    var entries: [Entry] = []
    var previous: String?
    for entry in try table.elements() {
      let name = try entry.member("name")
      let text = try name.string()
      guard StoreFormat.isName(text) else {
        throw name.refusal(
          expected: "1 to \(counted(StoreFormat.nameLimit, "byte")) without control characters")
      }
      if let previous, !(ExactString(previous) < ExactString(text)) {
        throw name.refusal(expected: "a name after \"\(previous)\", in the order of their bytes")
      }
      previous = text
      entries.append(try make(entry, text))
    }
    return entries
  }
}

extension StoredTensor {
  fileprivate init(
    _ entry: JSONNode, name: String, layout: inout StoreLayout
  ) throws(Refusal) {
    self.name = name
    dataType = try entry.member("dtype").dataType()
    var shape: [Int] = []
    for dimension in try entry.member("shape").elements() { shape.append(try dimension.integer()) }
    guard shape.count <= StoreFormat.rankLimit, let expected = dataType.byteCount(shape: shape)
    else {
      throw Refusal(
        .storeTable, file: entry.file, at: .tensor(name), found: "the shape \(shape)",
        expected:
          "at most \(counted(StoreFormat.rankLimit, "dimension")) whose product fits 64 bits")
    }
    self.shape = shape
    byteCount = try entry.member("bytes").integer()
    guard byteCount == expected else {
      throw Refusal(
        .storeTable, file: entry.file, at: .tensor(name), found: counted(byteCount, "byte"),
        expected: "\(expected) bytes for \(dataType.rawValue) \(shape)")
    }
    offset = try entry.place(byteCount, name: name, in: &layout)
    digest = try entry.member("sha256").digest()
    if try entry.object()["source_dtype"] == nil, try entry.object()["source_sha256"] == nil {
      sourceDataType = dataType
      sourceDigest = digest
    } else {
      sourceDataType = try entry.member("source_dtype").dataType()
      sourceDigest = try entry.member("source_sha256").digest()
      guard sourceDataType != dataType else {
        throw try entry.member("source_dtype").refusal(
          expected: "no source type if it equals the stored one")
      }
    }
  }
}

extension StoredAttachment {
  fileprivate init(
    _ entry: JSONNode, name: String, layout: inout StoreLayout
  ) throws(Refusal) {
    self.name = name
    byteCount = try entry.member("bytes").integer()
    offset = try entry.place(byteCount, name: name, in: &layout)
    digest = try entry.member("sha256").digest()
  }
}

extension JSONNode {
  fileprivate func nonemptyString() throws(Refusal) -> String {
    let text = try string()
    guard !text.isEmpty else { throw refusal(expected: "a name") }
    return text
  }

  fileprivate func digest() throws(Refusal) -> Digest {
    guard let digest = Digest(hexadecimal: try string()) else {
      throw refusal(expected: "64 lower-case hexadecimal digits")
    }
    return digest
  }

  fileprivate func dataType() throws(Refusal) -> DataType {
    guard let type = DataType(rawValue: try string()) else {
      throw refusal(expected: "one of \(DataType.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return type
  }

  /// The member `offset`, which must be the next aligned place.
  fileprivate func place(
    _ byteCount: Int, name: String, in layout: inout StoreLayout
  ) throws(Refusal) -> Int {
    let offset = try member("offset").integer()
    let position = layout.position
    guard let next = layout.place(byteCount), next == offset else {
      throw Refusal(
        .storeTable, file: file, at: .tensor(name),
        found: "\(counted(byteCount, "byte")) at byte \(offset)",
        expected: "data at byte \(position), right after the previous data, ending within the file")
    }
    return offset
  }
}
