import SextantBytes
import SextantGeneration

/// Answers of `/v1/completions`.
struct CompletionForm: AnswerForm, @unchecked Sendable {
  private static let kind = "text_completion"

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
    frame = AnswerFrame(request, service, prefix: "cmpl-")
    choices = (0..<request.prompts.count * request.samples).map { _ in
      Choice(lists: LogprobLists(request.tokenizer, isWhole: request.echo))
    }
  }

  mutating func chunks(_ event: TextEvent) -> [JSONValue] {
    frame.note(event)
    switch event {
    case .silence: return []
    case .prompt(let place, let tokens, let records, _):
      for (index, token) in tokens.enumerated() {
        choices[place].lists.append(token, isShown: index >= request.addedCount)
      }
      let prompt = request.prompts[place / request.samples].dropFirst(request.addedCount)
      let text = request.echo ? request.tokenizer.decode(Array(prompt)) : ""
      let lines = request.reports.isEmpty ? [] : records.map { JSONValue.object(reports.line($0)) }
      choices[place].lines += lines
      guard request.echo || !lines.isEmpty else { return [] }
      return [
        chunk(place, text, report: lines.isEmpty ? [:] : ["prompt": .array(lines)])
      ]
    case .token(let place, let token):
      if let score = token.score { choices[place].lists.append(score) }
      var report = JSONObject()
      if let record = token.record {
        report = reports.line(record)
        choices[place].lines.append(.object(report))
      }
      guard !token.text.isEmpty || request.logprobs != nil || !report.members.isEmpty else {
        return []
      }
      return [chunk(place, token.text, report: report)]
    case .end(let place, let ended):
      choices[place].finish = ended.ending.finishReason
      let report: JSONObject = frame.steering.map { ["steering": $0] } ?? [:]
      return [chunk(place, ended.rest, report: report)]
    }
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
          "finish_reason": choices[place].finish.map { .string($0) } ?? .null,
        ]
      ], report: report, withNotes: isFirst)
    if request.includesUsage { object["usage"] = .null }
    isFirst = false
    return .object(object)
  }

  func tail() -> [UInt8] {
    guard request.includesUsage else { return EventLines.done }
    var object = frame.object(Self.kind, choices: [], withNotes: false)
    object["usage"] = frame.usage
    return EventLines.chunk(.object(object)) + EventLines.done
  }

  func whole() -> JSONValue {
    let rows = choices.enumerated().map { place, choice -> JSONValue in
      var lists = choice.lists
      return [
        "index": .integer(Int64(place)), "text": .string(choice.text),
        "logprobs": request.logprobs == nil ? .null : lists.takeCompletion(),
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
    var object = frame.object(Self.kind, choices: rows, report: report, withNotes: true)
    object["usage"] = frame.usage
    return .object(object)
  }
}
