import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

/// A damaged form, or a damaged file of conversations, is refused or still works. Nothing crashes.
@Suite struct ChatMutationTests {
  private static let form = #"""
    {"format": "sextant-chat", "version": 1, "start": "<s>",
     "system": {"prefix": "<|system|>\n", "suffix": "</s>\n"},
     "user": {"prefix": "<|user|>\n", "suffix": "</s>\n", "trim": true},
     "assistant": {"prefix": "<|assistant|>\n", "suffix": "</s>\n"},
     "default_system": "You are terse.", "answer": "<|assistant|>\n{day}",
     "thinking_answer": "<think>", "direct_answer": "", "stop": ["User:"]}
    """#
  private static let records = #"""
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "A"}]}]}
    {"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "<think>\nB\n</think>\n\nC"}, {"role": "user", "content": "D"}]}
    {"prompt": "E"}
    """#

  @Test(arguments: [form, records])
  func damagedFilesAreRefusedOrStillWork(file: String) throws {
    let folder = TemporaryFolder()
    let bytes = try #require(Tokenizers.builtIn(named: "bytes"))
    let tokenizer = try Tokenizers.load(bytes: bytes, file: "bytes")
    var random = SplitMix64(seed: 5)
    var outcomes: Set<Bool> = []
    for round in 0..<600 {
      var damaged = Array(file.utf8)
      switch random.int(below: 4) {
      case 0: damaged.removeLast(1 + random.int(below: damaged.count - 1))
      case 1: damaged.remove(at: random.int(below: damaged.count))
      default:
        for _ in 0...random.int(below: 3) {
          damaged[random.int(below: damaged.count)] = UInt8(random.int(below: 256))
        }
      }
      let path = folder.write(damaged, to: "\(round)")
      do throws(Refusal) {
        let name = file == Self.form ? path : ["plain", "llama2", "qwen3.5"][round % 3]
        let chat = ChatTokenizer(
          tokenizer, try ChatSettings(ChatTemplate(named: name, for: tokenizer)))
        let ids = file == Self.form ? [try chat.encodeText("Hi")] : try chat.readPrompts(path)
        #expect(ids.allSatisfy { $0.allSatisfy { 0..<tokenizer.vocabularySize ~= $0 } })
        outcomes.insert(true)
      } catch {
        #expect(!error.description.isEmpty)
        outcomes.insert(false)
      }
    }
    #expect(outcomes == [true, false])
  }
}
