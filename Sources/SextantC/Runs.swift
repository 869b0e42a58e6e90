import CSextant
import Sextant
import Synchronization

/// A text while it is generated. One thread at a time may use it.
final class RunObject: Object, @unchecked Sendable {
  private let run: GenerationRun
  private let model: LoadedModel
  private let isBusy = Atomic(false)

  init(_ run: GenerationRun, of model: LoadedModel) { (self.run, self.model) = (run, model) }

  override class var kind: String { "a run" }

  /// Calls `body`, unless another call uses the run: one of another thread, or one whose tap this is called from.
  private func alone<Value>(
    _ body: (GenerationRun) throws(Refusal) -> Value
  ) throws(Refusal) -> Value {
    let (isMine, _) = isBusy.compareExchange(
      expected: false, desired: true, ordering: .acquiringAndReleasing)
    guard isMine else {
      throw Refusal(
        .usageHandle, found: "a run that another call is using", expected: "one call at a time")
    }
    defer { isBusy.store(false, ordering: .releasing) }
    return try body(run)
  }

  func next() throws(Refusal) -> TokenRecord? {
    try alone { run throws(Refusal) in try run.next() }
  }

  func state() throws(Refusal) -> StateObject {
    try alone { run in StateObject(run.state, of: model) }
  }

  override func description() throws(Refusal) -> JSONObject {
    try alone { run in
      JSONObject([
        ("text", .string(run.textSoFar)), ("tokens", JSONValue(run.tokens)),
        ("ending", run.ending.map { .string($0.rawValue) } ?? .null),
        (
          "edits",
          .array(
            run.edits.map { edit in
              [
                "item": .integer(Int64(edit.item)), "sites": JSONValue(edit.siteNames),
                "positions": JSONValue(edit.positions),
                "strength": JSONValue(number: Double(edit.strength)),
              ]
            })
        ),
      ])
    }
  }
}

extension TokenRecord {
  /// The effects of edits, and the reports.
  fileprivate var json: JSONObject {
    JSONObject([
      ("position", .integer(Int64(position))),
      (
        "edits",
        .array(
          edits.map { edit in
            [
              "site": .string(edit.site.name), "before": JSONValue(number: edit.norms.before),
              "after": JSONValue(number: edit.norms.after),
            ]
          })
      ),
      (
        "reports",
        .array(
          reports.map { ["item": .integer(Int64($0.item)), "report": .object($0.report)] })
      ),
    ])
  }
}

@c @implementation
public func sextant_generate(
  _ model: sextant_model, _ prompt: CText?, _ from: sextant_state, _ edits: sextant_edits,
  _ sampling: UnsafePointer<sextant_sampling>?, _ run: UnsafeMutablePointer<sextant_run>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(run)
    let model = try object(model, ModelObject.self)
    var given = sextant_sampling()
    sextant_sampling_default(&given)
    given = sampling?.pointee ?? given
    let started = try model.loaded.generate(
      text(prompt, "a prompt"), count: number(given.count), temperature: given.temperature,
      topK: number(given.top_k), topP: given.top_p, minP: given.min_p,
      repetitionPenalty: given.repetition_penalty, seed: given.seed,
      stoppingAt: texts(given.stops, given.stop_count, "texts to stop at"),
      stopsAtEnd: !given.ignores_end, with: interventions(edits, for: model.loaded),
      from: model.start(from))
    place.write(try HandleTable.shared.add(RunObject(started, of: model.loaded)))
  }
}

/// A number of tokens. Sizes of C have no sign, and arrive as negative numbers if they are very large.
private func number(_ count: Int) throws(Refusal) -> Int {
  guard count >= 0 else {
    throw misuse(found: "\(UInt(bitPattern: count)) tokens", expected: "fewer")
  }
  return count
}

@c @implementation
public func sextant_next(
  _ run: sextant_run, _ token: UnsafeMutablePointer<Int64>?,
  _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ length: UnsafeMutablePointer<Int>?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CError? {
  answering { () throws(Refusal) in
    let (place, textPlace) = (try Place(token), try Place(text))
    let record = try object(run, RunObject.self).next()
    let own = record?.text ?? ""
    textPlace.write(try copied(own))
    length?.pointee = own.utf8.count
    if let json {
      json.pointee = try copied(JSONValue.object(record?.json ?? JSONObject()).canonicalText)
    }
    place.write(Int64(record?.token ?? -1))
  }
}
