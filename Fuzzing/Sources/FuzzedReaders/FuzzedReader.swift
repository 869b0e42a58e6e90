import Glibc
import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTexts
import SextantTokenizers

/// A reader of untrusted bytes, in the form that a fuzzer calls: a function of a file that either
/// returns or refuses.
package enum FuzzedReader: String, CaseIterable, Sendable {
  case safetensors, pytorch, gguf, numpy, index, store, artifact, hdf5, json, tokenizer,
    records, chat

  /// Reads the whole content of a file.
  ///
  /// - Throws: the reader's refusal.
  package func read(_ path: String) throws(Refusal) {
    switch self {
    case .safetensors: try Self.readAll(SafetensorsFile(path))
    case .pytorch: try Self.readAll(PyTorchFile(path))
    case .gguf: try Self.readAll(GGUFFile(path))
    case .numpy: try Self.readAll(NumPyArchive(path))
    case .index: try Self.readAll(ShardedCheckpoint(path))
    // libhdf5 hangs on some files. The reader refuses them before libFuzzer reports a hang.
    case .hdf5: try Self.readAll(HDF5Checkpoint(path, timeout: .seconds(10)))
    case .store: try ModelStore(opening: path).verify()
    case .artifact: _ = try Artifact(reading: path)
    case .json: _ = try JSONValue(parsing: InputFile(path).readAll(limit: 1 << 24))
    case .tokenizer:
      let bytes = try InputFile(path).readAll(limit: 1 << 24)
      _ = try Tokenizers.load(bytes: bytes, file: path).encode("some text, 12 \u{E9}")
    case .records:
      let file = try TextFile(reading: path, limit: 1 << 24)
      let prompts = try? PromptFile(file)
      _ = try? prompts?.replacingEscapes()
      _ = try TextRecords(file, fields: PromptFile.fields).map {
        record, _ throws(Refusal) in
        try record.field(PromptFile.fields).text()
      }
    case .chat: try Self.readChat(path)
    }
  }

  /// Reads a file as the form of a chat template, and as conversations in several templates.
  private static func readChat(_ path: String) throws(Refusal) {
    let bytes = Tokenizers.builtIn(named: "bytes") ?? []
    let tokenizer = try Tokenizers.load(bytes: bytes, file: "bytes")
    let form = try? ChatTemplate(named: path, for: tokenizer)
    let known = try ["plain", "qwen3", "llama2", "gemma3"].map { name throws(Refusal) in
      try ChatTemplate(named: name, for: tokenizer)
    }
    for template in known + (form.map { [$0] } ?? []) {
      guard let settings = try? ChatSettings(template) else { continue }
      let chat = ChatTokenizer(tokenizer, settings)
      _ = try? chat.encodeText("Hi {bos} <|im_end|>", continues: false)
      if let file = try? TextFile(reading: path, limit: 1 << 24) {
        _ = ChatMessage.areRecords(of: file)
      }
      _ = try? chat.readPrompts(path)
    }
    if form == nil { _ = try ChatTemplate(named: path, for: tokenizer) }
  }

  private static func readAll(_ checkpoint: any Checkpoint) throws(Refusal) {
    for tensor in checkpoint.tensors {
      var count = 0
      try checkpoint.read(tensor) { count += $0.count }
      // A reader must return the number of bytes that it declared. All other code relies on this.
      precondition(count == tensor.byteCount, "\(tensor.name): \(count) bytes")
    }
  }

  /// Gives bytes to the reader as a file. The file is in memory if the system supports this.
  ///
  /// - Returns: 0, as libFuzzer wants it, whether the bytes are read or refused.
  package func run(_ bytes: UnsafePointer<UInt8>?, count: Int) -> Int32 {
    guard count > 0 else { return 0 }
    let path = "\(Self.folder)/sextant-fuzz-\(getpid()).\(suffix)"
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0, "no room for a file")
    defer {
      close(descriptor)
      unlink(path)
    }
    precondition(write(descriptor, bytes, count) == count, "no room for a file")
    do throws(Refusal) {
      try read(path)
    } catch {
      precondition(!error.description.isEmpty)
    }
    return 0
  }

  private static let folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"

  private var suffix: String {
    switch self {
    case .index: "index.json"
    case .numpy: "npz"
    default: "bin"
    }
  }
}
