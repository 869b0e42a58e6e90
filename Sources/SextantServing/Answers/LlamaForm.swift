import SextantBytes
import SextantGeneration

/// Answers of llama.cpp's `/completion`.
struct LlamaForm: AnswerForm, @unchecked Sendable {
  private var frame: AnswerFrame
  private var text = ""
  private var tokens: [Int] = []
  private var lists: LogprobLists
  private var ended: EndedText?
  private let begin = ContinuousClock.now
  private var firstToken: ContinuousClock.Instant?
  private var end = ContinuousClock.now
  private var isFirst = true

  private var request: TextRequest { frame.request }

  init(_ request: TextRequest, _ service: Service) {
    frame = AnswerFrame(request, service, prefix: "cmpl-")
    lists = LogprobLists(request.tokenizer, isWhole: false)
  }

  mutating func chunks(_ event: TextEvent) -> [JSONValue] {
    frame.note(event)
    switch event {
    case .waiting, .reading, .silence, .prompt: return []
    case .token(_, let token):
      firstToken = firstToken ?? .now
      tokens.append(token.id)
      text += token.text
      if let score = token.score { lists.append(score) }
      guard request.isStream else { return [] }
      var chunk = JSONObject([
        ("content", .string(token.text)), ("tokens", [.integer(Int64(token.id))]), ("stop", false),
      ])
      if request.logprobs != nil { chunk["completion_probabilities"] = probabilities() }
      let own = frame.members(token.record.map { frame.line($0) } ?? [:], withNotes: isFirst)
      if !own.members.isEmpty { chunk["sextant"] = .object(own) }
      isFirst = false
      return [.object(chunk)]
    case .end(_, let ended):
      self.ended = ended
      end = .now
      text += ended.rest
      return request.isStream ? [.object(last(content: ended.rest, tokens: []))] : []
    }
  }

  private mutating func probabilities() -> JSONValue {
    guard case .object(let chat) = lists.takeChat() else { return .null }
    return chat["content"] ?? .null
  }

  private func last(content: String, tokens ids: [Int]) -> JSONObject {
    let reason = ended?.ending ?? .count
    let seconds = (firstToken ?? end).duration(to: end) / .seconds(1)
    let rate = seconds > 0 ? Double(max(tokens.count - 1, 0)) / seconds : 0
    var object = JSONObject([
      ("content", .string(content)), ("tokens", .array(ids.map { .integer(Int64($0)) })),
      ("stop", true),
      (
        "stop_type",
        .string(reason == .count ? "limit" : reason == .stopText ? "word" : "eos")
      ),
      ("stopping_word", .string(reason == .stopText ? stoppingWord : "")),
      ("tokens_predicted", .integer(Int64(ended?.count ?? 0))),
      ("tokens_evaluated", .integer(Int64(frame.promptCount))),
      ("tokens_cached", .integer(Int64(frame.cachedCount))), ("truncated", false),
      ("model", .string(request.model)),
      (
        "timings",
        [
          "prompt_n": .integer(Int64(frame.promptCount - frame.cachedCount)),
          "prompt_ms": .number(begin.duration(to: firstToken ?? end) / .milliseconds(1)),
          "predicted_n": .integer(Int64(ended?.count ?? 0)),
          "predicted_ms": .number(seconds * 1000), "predicted_per_second": .number(rate),
        ]
      ),
    ])
    object["sextant"] = .object(frame.members(frame.report(), withNotes: true))
    return object
  }

  /// The longest of the stop texts that follows the shown text.
  private var stoppingWord: String {
    let shown = text.utf8.count
    let all = request.tokenizer.decode(tokens).utf8
    // A tokenizer may take a first space away, so that the place can differ by one byte.
    return request.stops.filter { stop in
      [0, 1].contains { all.dropFirst(max(shown - $0, 0)).starts(with: stop.utf8) }
    }.max { $0.utf8.count < $1.utf8.count } ?? ""
  }

  func tail() -> [UInt8] { [] }

  func whole() -> JSONValue {
    var object = last(content: text, tokens: tokens)
    var copy = self
    if request.logprobs != nil { object["completion_probabilities"] = copy.probabilities() }
    return .object(object)
  }
}
