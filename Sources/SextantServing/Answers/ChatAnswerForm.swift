import SextantBytes
import SextantGeneration

/// Answers of `/v1/chat/completions`.
struct ChatAnswerForm: AnswerForm, @unchecked Sendable {
  private static let kinds = (whole: "chat.completion", chunk: "chat.completion.chunk")

  private var frame: AnswerFrame
  private var choices: [AnswerChoice]
  private var isFirst = true

  private var request: TextRequest { frame.request }

  init(_ request: TextRequest, _ service: Service) {
    frame = AnswerFrame(request, service, prefix: "chatcmpl-")
    choices = (0..<request.samples).map { _ in
      AnswerChoice(lists: LogprobLists(request.tokenizer, isWhole: false))
    }
  }

  mutating func chunks(_ event: TextEvent) -> [JSONValue] {
    frame.note(event)
    switch event {
    case .waiting, .reading, .silence: return []
    case .prompt(let place, _, let records, _):
      let lines = frame.lines(records)
      choices[place].lines += lines
      return [
        chunk(
          place, ["role": "assistant", "content": ""],
          report: lines.isEmpty ? [:] : ["prompt": .array(lines)])
      ]
    case .token(let place, let token):
      if let score = token.score { choices[place].lists.append(score) }
      let report = token.record.map { frame.line($0) } ?? JSONObject()
      if token.record != nil { choices[place].lines.append(.object(report)) }
      choices[place].text += token.text
      guard !token.text.isEmpty || request.logprobs != nil || !report.members.isEmpty else {
        return []
      }
      return [
        chunk(
          place, ["content": .string(token.text)], report: report,
          hasLogprobs: request.logprobs != nil)
      ]
    case .end(let place, let ended):
      choices[place].text += ended.rest
      var chunks: [JSONValue] = []
      if !ended.rest.isEmpty {
        chunks.append(chunk(place, ["content": .string(ended.rest)], report: [:]))
      }
      choices[place].finish = ended.ending.finishReason
      return chunks + [chunk(place, [:], report: frame.report(of: ended.edits))]
    }
  }

  private mutating func chunk(
    _ place: Int, _ delta: JSONValue, report: JSONObject, hasLogprobs: Bool = false
  ) -> JSONValue {
    guard request.isStream else { return .null }
    var object = frame.object(
      Self.kinds.chunk,
      choices: [
        [
          "index": .integer(Int64(place)), "delta": delta,
          "logprobs": hasLogprobs ? choices[place].lists.takeChat() : .null,
          "finish_reason": choices[place].finishReason,
        ]
      ], report: report, withNotes: isFirst)
    if request.includesUsage { object["usage"] = .null }
    isFirst = false
    return .object(object)
  }

  func tail() -> [UInt8] { frame.tail(Self.kinds.chunk) }

  func whole() -> JSONValue {
    let rows = choices.enumerated().map { place, choice -> JSONValue in
      var lists = choice.lists
      return [
        "index": .integer(Int64(place)),
        "message": [
          "role": "assistant", "content": .string(choice.text), "refusal": .null,
        ], "logprobs": request.logprobs == nil ? .null : lists.takeChat(),
        "finish_reason": choice.finishReason,
      ]
    }
    return frame.whole(Self.kinds.whole, choices: rows, lines: choices.map(\.lines))
  }
}
