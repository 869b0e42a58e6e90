import SextantBytes
import SextantGeneration

/// Answers of `/v1/chat/completions`.
struct ChatAnswerForm: AnswerForm, @unchecked Sendable {
  private let request: TextRequest
  private let reports: ReportLines
  private var frame: AnswerFrame
  private var choices: [Choice] = []
  private var isFirst = true

  /// One text of the answer.
  private struct Choice {
    var text = ""
    var lists: LogprobLists
    var finish: String?
    var lines: [JSONValue] = []
  }

  init(_ request: TextRequest, _ service: Service) {
    self.request = request
    reports = ReportLines(request)
    frame = AnswerFrame(request, service, prefix: "chatcmpl-")
    choices = (0..<request.samples).map { _ in
      Choice(lists: LogprobLists(request.tokenizer, isWhole: false))
    }
  }

  mutating func chunks(_ event: TextEvent) -> [JSONValue] {
    frame.note(event)
    switch event {
    case .silence: return []
    case .prompt(let place, _, let records, _):
      let lines = request.reports.isEmpty ? [] : records.map { JSONValue.object(reports.line($0)) }
      choices[place].lines += lines
      return [
        chunk(
          place, ["role": "assistant", "content": ""],
          report: lines.isEmpty ? [:] : ["prompt": .array(lines)])
      ]
    case .token(let place, let token):
      if let score = token.score { choices[place].lists.append(score) }
      var report = JSONObject()
      if let record = token.record {
        report = reports.line(record)
        choices[place].lines.append(.object(report))
      }
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
      let report: JSONObject = frame.steering.map { ["steering": $0] } ?? [:]
      return chunks + [chunk(place, [:], report: report)]
    }
  }

  private mutating func chunk(
    _ place: Int, _ delta: JSONValue, report: JSONObject, hasLogprobs: Bool = false
  ) -> JSONValue {
    guard request.isStream else { return .null }
    var object = frame.object(
      "chat.completion.chunk",
      choices: [
        [
          "index": .integer(Int64(place)), "delta": delta,
          "logprobs": hasLogprobs ? choices[place].lists.takeChat() : .null,
          "finish_reason": choices[place].finish.map { .string($0) } ?? .null,
        ]
      ], report: report, withNotes: isFirst)
    if request.includesUsage { object["usage"] = .null }
    isFirst = false
    return .object(object)
  }

  func tail() -> [UInt8] {
    guard request.includesUsage else { return EventLines.done }
    var object = frame.object("chat.completion.chunk", choices: [], withNotes: false)
    object["usage"] = frame.usage
    return EventLines.chunk(.object(object)) + EventLines.done
  }

  func whole() -> JSONValue {
    let rows = choices.enumerated().map { place, choice -> JSONValue in
      var lists = choice.lists
      return [
        "index": .integer(Int64(place)),
        "message": [
          "role": "assistant", "content": .string(choice.text), "refusal": .null,
        ], "logprobs": request.logprobs == nil ? .null : lists.takeChat(),
        "finish_reason": choice.finish.map { .string($0) } ?? .null,
      ]
    }
    var report = JSONObject()
    if let steering = frame.steering { report["steering"] = steering }
    if !request.reports.isEmpty {
      report["choices"] = .array(
        choices.enumerated().map { place, choice in
          ["index": .integer(Int64(place)), "tokens": .array(choice.lines)]
        })
    }
    var object = frame.object("chat.completion", choices: rows, report: report, withNotes: true)
    object["usage"] = frame.usage
    return .object(object)
  }
}
