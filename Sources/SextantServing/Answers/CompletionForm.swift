import SextantBytes
import SextantGeneration

/// Answers of `/v1/completions`.
struct CompletionForm: AnswerForm, @unchecked Sendable {
  private static let kind = "text_completion"

  private var frame: AnswerFrame
  private var choices: [AnswerChoice]
  private var isFirst = true

  private var request: TextRequest { frame.request }

  init(_ request: TextRequest, _ service: Service) {
    frame = AnswerFrame(request, service, prefix: "cmpl-")
    choices = (0..<request.prompts.count * request.samples).map { _ in
      AnswerChoice(lists: LogprobLists(request.tokenizer, isWhole: request.echo))
    }
  }

  mutating func chunks(_ event: TextEvent) -> [JSONValue] {
    frame.note(event)
    switch event {
    case .waiting, .reading, .silence: return []
    case .prompt(let place, let tokens, let records, _):
      for (index, token) in tokens.enumerated() {
        choices[place].lists.append(token, isShown: index >= request.addedCount)
      }
      let lines = frame.lines(records)
      choices[place].lines += lines
      guard request.echo || !lines.isEmpty else { return [] }
      return [
        chunk(
          place, request.echo ? echo(place) : "",
          report: lines.isEmpty ? [:] : ["prompt": .array(lines)])
      ]
    case .token(let place, let token):
      if let score = token.score { choices[place].lists.append(score) }
      let report = token.record.map { frame.line($0) } ?? JSONObject()
      if token.record != nil { choices[place].lines.append(.object(report)) }
      guard !token.text.isEmpty || request.logprobs != nil || !report.members.isEmpty else {
        return []
      }
      return [chunk(place, token.text, report: report)]
    case .end(let place, let ended):
      choices[place].finish = ended.ending.finishReason
      return [chunk(place, ended.rest, report: frame.report(of: ended.edits))]
    }
  }

  /// The prompt of a text, without the tokens that the server added.
  private func echo(_ place: Int) -> String {
    let prompt = request.prompts[place / request.samples].dropFirst(request.addedCount)
    return request.tokenizer.decode(Array(prompt))
  }

  /// The chunk of a text that is new. In answers that do not stream, it only takes note of it.
  private mutating func chunk(_ place: Int, _ text: String, report: JSONObject) -> JSONValue {
    choices[place].text += text
    guard request.isStream else { return .null }
    let lists =
      request.logprobs == nil ? JSONValue.null : choices[place].lists.takeCompletion()
    var object = frame.object(
      Self.kind,
      choices: [
        [
          "index": .integer(Int64(place)), "text": .string(text), "logprobs": lists,
          "finish_reason": choices[place].finishReason,
        ]
      ], report: report, withNotes: isFirst)
    if request.includesUsage { object["usage"] = .null }
    isFirst = false
    return .object(object)
  }

  func tail() -> [UInt8] { frame.tail(Self.kind) }

  func whole() -> JSONValue {
    let rows = choices.enumerated().map { place, choice -> JSONValue in
      var lists = choice.lists
      return [
        "index": .integer(Int64(place)), "text": .string(choice.text),
        "logprobs": request.logprobs == nil ? .null : lists.takeCompletion(),
        "finish_reason": choice.finishReason,
      ]
    }
    return frame.whole(Self.kind, choices: rows, lines: choices.map(\.lines))
  }
}
