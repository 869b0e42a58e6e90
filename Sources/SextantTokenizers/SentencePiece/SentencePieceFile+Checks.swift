import SextantBytes

/// The rules between the parts of a `tokenizer.model`.
extension SentencePieceFile {
  /// Refuses models of other kinds and options that would change ids or texts.
  func checkKind() throws(Refusal) {
    guard trainer.modelType == 2 else {
      let kinds = [1: "a unigram model", 3: "a model of words", 4: "a model of characters"]
      throw unsupported(
        found: kinds[trainer.modelType] ?? "model type \(trainer.modelType)",
        expected: "byte-pair encoding (model type 2)")
    }
    guard !trainer.marksWordEnds else {
      throw unsupported(
        found: "spaces marked at the ends of words (treat_whitespace_as_suffix)",
        expected: "spaces before words")
    }
    guard denormalizer.characterMap.isEmpty else {
      throw unsupported(found: "rules for decoded text (denormalizer_spec)", expected: "none")
    }
  }

  /// The id of each piece, by its text.
  func places() throws(Refusal) -> [ExactString: Int] {
    var places: [ExactString: Int] = [:]
    places.reserveCapacity(pieces.count)
    for (id, piece) in pieces.enumerated() {
      if let other = places.updateValue(id, forKey: ExactString(text(piece))) {
        throw invalid(
          at: piece.offset, found: "the text of piece \(other) again", expected: "each piece once")
      }
    }
    return places
  }

  /// The id of the one piece for everything unknown.
  func unknownID() throws(Refusal) -> Int {
    let unknown = pieces.indices.filter { pieces[$0].kind == .unknown }
    guard unknown.count == 1, let id = unknown.first else {
      throw invalid(found: "\(unknown.count) unknown pieces", expected: "one")
    }
    return id
  }

  /// The ids of the 256 bytes; nil without byte fallback.
  func byteIDs(_ places: [ExactString: Int]) throws(Refusal) -> [Int32]? {
    for piece in pieces where piece.kind == .byte {
      guard trainer.usesByteFallback else {
        throw invalid(
          at: piece.offset, found: "a piece for a byte", expected: "none without byte_fallback")
      }
      guard let byte = ByteToken.byte(of: text(piece)),
        ByteToken.name(byte).utf8.elementsEqual(bytes[piece.text])
      else {
        throw invalid(
          at: piece.offset, found: "\"\(text(piece))\" for a byte", expected: "<0x00> to <0xFF>")
      }
    }
    guard trainer.usesByteFallback else { return nil }
    var ids: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      let name = ByteToken.name(byte)
      guard let id = places[ExactString(name)], pieces[id].kind == .byte else {
        throw invalid(found: "no piece \(name)", expected: "one for each byte")
      }
      ids.append(Int32(id))
    }
    return ids
  }

  /// Refuses unused pieces that merges lead to: the library takes them apart again, in a way that
  /// depends on all of the text.
  func checkUnused(_ merges: [Merge]) throws(Refusal) {
    for merge in merges where pieces[Int(merge.result)].kind == .unused {
      throw unsupported(
        at: pieces[Int(merge.result)].offset, found: "an unused piece that merges lead to",
        expected: "normal pieces")
    }
  }

  /// The map of characters, if there is one.
  func characterMap() throws(Refusal) -> CharacterMap? {
    guard !normalizer.characterMap.isEmpty else { return nil }
    do throws(CharacterMap.Mistake) {
      return try CharacterMap(bytes[normalizer.characterMap])
    } catch {
      throw invalid(
        at: normalizer.characterMap.lowerBound, found: error.found,
        expected: "a compiled map of characters")
    }
  }
}
