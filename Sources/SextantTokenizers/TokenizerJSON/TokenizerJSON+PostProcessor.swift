import SextantBytes

/// The post-processor of a `tokenizer.json`: the tokens that it puts before a text.
///
/// Tokens that it puts after a text are ignored, because the text is continued.
extension TokenizerJSON {
  /// Tokens before a text at most.
  private static let beginLimit = 16

  /// The ids of the tokens that begin a text, in their order.
  ///
  /// - Throws: `tokenizer.unsupported` for another kind of post-processor, `tokenizer.invalid`.
  func beginOfTextIDs() throws(Refusal) -> [Int] {
    guard let node = try root.optionalMember("post_processor") else { return [] }
    let ids = try beginOfTextIDs(node)
    guard ids.count <= Self.beginLimit else {
      throw node.unsupported(
        found: "\(counted(ids.count, "token")) before a text",
        expected: "at most \(Self.beginLimit)")
    }
    return ids
  }

  /// Refuses ids without a token: no row of an embedding belongs to them.
  func check(beginOfTextIDs ids: [Int], in vocabulary: Vocabulary) throws(Refusal) {
    for id in ids where vocabulary.token(id) == nil {
      throw try root.member("post_processor").refusal(
        found: "id \(id) before a text", expected: "the ids of tokens")
    }
  }

  private func beginOfTextIDs(_ node: JSONNode) throws(Refusal) -> [Int] {
    let type = try node.member("type")
    switch try type.string() {
    case "ByteLevel": return []  // trims offsets, which are not computed here
    case "Sequence":
      // A later processor receives the result of an earlier one.
      var ids: [Int] = []
      for child in try node.member("processors").elements() {
        ids = try beginOfTextIDs(child) + ids
      }
      return ids
    case "TemplateProcessing": return try templateIDs(node)
    case "RobertaProcessing", "BertProcessing":
      try node.supportOnly(["type", "sep", "cls", "trim_offsets", "add_prefix_space"])
      let first = try node.member("cls")
      let pair = try first.elements()
      guard pair.count == 2 else { throw first.refusal(expected: "a token and its id") }
      return [try pair[1].integer()]
    default:
      throw type.unsupported(
        expected: "\"ByteLevel\", \"TemplateProcessing\", \"RobertaProcessing\", "
          + "\"BertProcessing\" or \"Sequence\"")
    }
  }

  /// The ids of the special tokens before sequence A.
  private func templateIDs(_ node: JSONNode) throws(Refusal) -> [Int] {
    let single = try node.member("single")
    var sequences: [String] = []
    var ids: [Int] = []
    for piece in try single.elements() {
      try piece.supportOnly(["Sequence", "SpecialToken"])
      if let sequence = try piece.optionalMember("Sequence") {
        sequences.append(try sequence.member("id").string())
      } else if sequences.isEmpty {
        let name = try piece.member("SpecialToken").member("id").string()
        for id in try node.member("special_tokens").member(name).member("ids").elements() {
          ids.append(try id.integer())
        }
      }
    }
    guard sequences == ["A"] else {
      throw single.unsupported(
        found: "a template with \(counted(sequences.count, "sequence"))",
        expected: "sequence A once")
    }
    return ids
  }
}
