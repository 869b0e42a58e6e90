import SextantBytes
import SextantCheckpoints
import SextantTokenizers

extension ModelTokenizer {
  /// The tokenizer's file that a conversion takes along.
  ///
  /// - Parameters:
  ///   - name: a path, or the name of a tokenizer that needs no file; nil for the file in the
  ///     folder of the checkpoint.
  /// - Returns: nil if none was named and the folder has none.
  /// - Throws: `file.*`, `limit.file`; `model.tokenizer` if the folder has several and none is
  ///   better.
  static func find(
    _ name: String?, beside source: CheckpointSource
  ) throws(Refusal) -> (path: String?, bytes: [UInt8])? {
    if let name, let content = Tokenizers.builtIn(named: name) { return (nil, content) }
    let beside = source.tokenizers
    guard let path = name ?? beside.first else { return nil }
    // Most files have fixed names, so that a folder has one of each; vocabularies have dates in
    // their names.
    if name == nil, path.hasSuffix(".txt"), beside.count > 1 {
      throw Refusal(
        .modelTokenizer, file: source.folder, found: "several vocabularies, from \(path) on",
        expected: "one")
    }
    let bytes = try SideFile.content(of: path, limit: Tokenizers.byteCountLimit)
    let folder = SideFile.folder(of: path)
    if path.hasSuffix("/\(KerasTokenizer.vocabularyName)"),
      let keras = try KerasTokenizer(in: folder)
    {
      let merges = try SideFile.content(
        of: "\(folder)/\(KerasTokenizer.mergesName)", limit: Tokenizers.byteCountLimit)
      return (path, try keras.bytePairs(vocabulary: bytes, at: path, merges: merges))
    }
    return (path, bytes)
  }

  /// The note on a folder without a tokenizer that can be read, which names the files of other
  /// tokenizers in it.
  static func note(onNoneBeside source: CheckpointSource) -> String {
    let others = source.tokenizersOfOtherFormats
    guard !others.isEmpty else {
      return "no tokenizer found: the model takes token ids only; `tokenizer` names a file to add"
    }
    return "no tokenizer that Sextant reads: the model takes token ids only. Sextant does not read "
      + others.joined(separator: ", ")
      + "; AutoTokenizer of transformers loads the folder, and its save_pretrained writes a "
      + "tokenizer.json, which `tokenizer` names"
  }

  /// The file's bytes, with the additions of the other tokenizer files in the folder.
  ///
  /// - Parameter path: the file's path; nil for a tokenizer without a file.
  /// - Throws: `tokenizer.*`, `model.tokenizer`, `file.*`, `json.*`.
  static func completed(
    _ bytes: [UInt8], at path: String?, notes: inout [String]
  ) throws(Refusal) -> (bytes: [UInt8], tokenizer: any Tokenizer) {
    let tokenizer = try Tokenizers.load(bytes: bytes, file: path)
    guard let path else { return (bytes, tokenizer) }
    let folder = SideFile.folder(of: path)
    if Tokenizers.isSentencePieceModel(bytes), let keras = try KerasTokenizer(in: folder) {
      let complete = Tokenizers.sentencePiece(bytes, with: keras.additions(to: tokenizer))
      return (complete, try Tokenizers.load(bytes: complete, file: path))
    }
    let files = try AddedTokenFiles(folder)
    guard Tokenizers.isSentencePieceModel(bytes) else {
      // A tokenizer.json declares its added tokens itself.
      let missing = files.contents.filter { tokenizer.id(ofToken: $0) == nil }
      if let first = missing.first {
        notes.append(
          "not used: added tokens that the tokenizer's file does not have: \(first)"
            + (missing.count > 1 ? " and \(missing.count - 1) others" : ""))
      }
      return (bytes, tokenizer)
    }
    notes += files.notes + files.notesOnBeginning
    let complete = Tokenizers.sentencePiece(bytes, with: try files.additions(to: tokenizer))
    return (complete, try Tokenizers.load(bytes: complete, file: path))
  }
}
