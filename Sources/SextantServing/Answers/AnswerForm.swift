import SextantBytes
import SextantGeneration

/// How the events of a request's texts become an answer: a stream of chunks, or one object.
protocol AnswerForm: Sendable {
  /// Takes an event.
  ///
  /// - Returns: the chunks of a stream that tell it.
  mutating func chunks(_ event: TextEvent) -> [JSONValue]
  /// The lines that end a stream.
  func tail() -> [UInt8]
  /// The whole answer, when all texts have ended.
  func whole() -> JSONValue
}

/// What all answers with texts have in common: names, counts and the members under `sextant`.
struct AnswerFrame: @unchecked Sendable {
  /// The request.
  let request: TextRequest
  /// The answer's id.
  let id: String
  private let created: Int
  private let fingerprint: String
  private let notes: JSONObject
  private let reports: ReportLines
  private(set) var promptCount = 0
  private(set) var completionCount = 0
  private(set) var cachedCount = 0
  /// The edits of the texts that have ended, by the texts' places.
  private var edited: [Int: [EditedTokens]] = [:]

  init(_ request: TextRequest, _ service: Service, prefix: String) {
    self.request = request
    id = prefix + Service.randomName()
    created = Service.secondsSince1970()
    fingerprint = "sha256-\(service.loaded.store.identity.description.prefix(8))"
    reports = ReportLines(request)
    promptCount = request.prompts.reduce(0) { $0 + $1.count }
    var notes = JSONObject([("seed", Self.seed(request.options.sampling.seed))])
    if !request.ignored.isEmpty {
      notes["ignored"] = .array(request.ignored.map { .string(printable($0, limit: 80)) })
    }
    if !request.warnings.isEmpty {
      notes["warnings"] = .array(request.warnings.map { .string($0) })
    }
    self.notes = notes
  }

  private static func seed(_ seed: UInt64) -> JSONValue { .integer(Int64(bitPattern: seed)) }

  /// Takes note of an event.
  mutating func note(_ event: TextEvent) {
    switch event {
    case .prompt(let text, _, _, let cached):
      if text % request.samples == 0 { cachedCount += cached }
    case .end(let text, let ended):
      completionCount += ended.count
      edited[text] = ended.edits
    case .token, .waiting, .reading, .silence: break
    }
  }

  /// An answer or a chunk of it.
  ///
  /// - Parameter report: members under `sextant`, besides the notes.
  func object(
    _ kind: String, choices: [JSONValue], report: JSONObject = JSONObject(), withNotes: Bool
  ) -> JSONObject {
    var object = JSONObject([
      ("id", .string(id)), ("object", .string(kind)), ("created", .integer(Int64(created))),
      ("model", .string(request.model)), ("system_fingerprint", .string(fingerprint)),
      ("choices", .array(choices)),
    ])
    let own = members(report, withNotes: withNotes)
    if !own.members.isEmpty { object["sextant"] = .object(own) }
    return object
  }

  /// The members under `sextant`.
  func members(_ report: JSONObject = JSONObject(), withNotes: Bool) -> JSONObject {
    var own = withNotes ? notes : JSONObject()
    for (key, value) in report.members { own[key] = value }
    return own
  }

  /// The numbers of tokens.
  private var usage: JSONValue {
    [
      "prompt_tokens": .integer(Int64(promptCount)),
      "completion_tokens": .integer(Int64(completionCount)),
      "total_tokens": .integer(Int64(promptCount + completionCount)),
      "prompt_tokens_details": ["cached_tokens": .integer(Int64(cachedCount))],
    ]
  }

  // MARK: Reports

  /// The reports of a prompt's tokens; none if the request asks for none.
  func lines(_ records: [TokenRecord]) -> [JSONValue] {
    request.reports.isEmpty ? [] : records.map { .object(reports.line($0)) }
  }

  /// The report of a generated token.
  func line(_ record: TokenRecord) -> JSONObject { reports.line(record) }

  /// Edits as a report.
  ///
  /// - Parameter edits: those of one text; nil for the strengths of the first text and the tokens of all.
  func report(of edits: [EditedTokens]? = nil) -> JSONObject {
    let names = request.steering.names
    let rows = (edits ?? allEdits).filter { $0.item < names.count }
    guard !rows.isEmpty else { return JSONObject() }
    let values = rows.map { own -> JSONValue in
      [
        "name": .string(names[own.item]), "strength": .number(Double(own.strength)),
        "tokens": .integer(Int64(own.count)),
      ]
    }
    return ["steering": .array(values)]
  }

  private var allEdits: [EditedTokens] {
    guard var all = edited.min(by: { $0.key < $1.key })?.value else { return [] }
    for place in all.indices { all[place].count = edited.values.reduce(0) { $0 + $1[place].count } }
    return all
  }

  // MARK: OpenAI's answers

  /// The lines that end a stream of chunks of a kind.
  func tail(_ kind: String) -> [UInt8] {
    guard request.includesUsage else { return EventLines.done }
    var object = object(kind, choices: [], withNotes: false)
    object["usage"] = usage
    return EventLines.chunk(.object(object)) + EventLines.done
  }

  /// A whole answer.
  ///
  /// - Parameters:
  ///   - choices: the texts, as the route writes them.
  ///   - lines: the reports of each text's tokens.
  func whole(_ kind: String, choices: [JSONValue], lines: [[JSONValue]]) -> JSONValue {
    var report = report()
    if !request.reports.isEmpty {
      report["choices"] = .array(
        lines.enumerated().map { place, own in
          ["index": .integer(Int64(place)), "tokens": .array(own)]
        })
    }
    var object = object(kind, choices: choices, report: report, withNotes: true)
    object["usage"] = usage
    return .object(object)
  }
}

/// One text of an answer, as far as it was told.
struct AnswerChoice {
  /// The text.
  var text = ""
  /// The log-probabilities of its tokens.
  var lists: LogprobLists
  /// Why it ended, in the word of OpenAI's API; nil while it continues.
  var finish: String?
  /// The reports of its tokens.
  var lines: [JSONValue] = []

  /// `finish` as a member of an answer.
  var finishReason: JSONValue { finish.map { .string($0) } ?? .null }
}

extension Generation.Ending {
  /// The word of OpenAI's API.
  var finishReason: String { self == .count ? "length" : "stop" }
}

/// The pieces of a stream.
final class AnswerPieces: ServingPieces, @unchecked Sendable {
  private let queue: EventQueue
  /// One reader asks for one piece after the other.
  private var form: any AnswerForm
  private var isOver = false

  init(_ queue: EventQueue, _ form: any AnswerForm) { (self.queue, self.form) = (queue, form) }

  func next() async -> [UInt8]? {
    while !isOver {
      do throws(ServingError) {
        guard let events = try await queue.next() else {
          isOver = true
          return queue.isCancelled ? nil : form.tail()
        }
        var bytes: [UInt8] = []
        for event in events {
          if case .silence = event { bytes += EventLines.ping }
          for chunk in form.chunks(event) { bytes += EventLines.chunk(chunk) }
        }
        if !bytes.isEmpty { return bytes }
      } catch {
        isOver = true
        return EventLines.chunk(error.body)
      }
    }
    return nil
  }

  func cancel() { queue.cancel() }
}
