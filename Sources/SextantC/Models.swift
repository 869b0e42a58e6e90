import CSextant
import Glibc
import Sextant
import Synchronization

/// A model.
final class ModelObject: Object, @unchecked Sendable {
  let loaded: LoadedModel

  init(_ loaded: LoadedModel) { self.loaded = loaded }

  override class var kind: String { "a model" }

  override func description() -> JSONObject {
    let own = loaded.description
    return JSONObject([
      ("architecture", .string(own.architecture)),
      ("identity", .string(own.identity.description)),
      ("width", .integer(Int64(own.width))),
      ("layers", .integer(Int64(own.layerCount))),
      ("vocabulary", .integer(Int64(own.vocabularySize))),
      ("has_tokenizer", .boolean(loaded.tokenizer != nil)),
      (
        "sites",
        .array(
          own.sites.map { site in
            [
              "site": .string(site.site.name), "shape": JSONValue(site.shape),
              "axes": JSONValue(site.axes), "grows": .boolean(site.grows),
              "read_only": .boolean(site.isReadOnly),
            ]
          })
      ),
    ])
  }

  /// A state of this model, to start from.
  func start(_ handle: sextant_state) throws(Refusal) -> State? {
    guard let state = try optionalObject(handle, StateObject.self) else { return nil }
    return try self.state(state)
  }

  /// The state of an object, if it is one of this model.
  func state(_ object: StateObject) throws(Refusal) -> State {
    guard object.identity == loaded.description.identity else {
      throw Refusal(
        .modelState, found: "a state of the model \(object.identity)",
        expected: "a state of this model, \(loaded.description.identity)")
    }
    return object.state
  }

  /// Token ids that the model knows, at least one.
  func tokens(_ pointer: UnsafePointer<Int64>?, _ count: Int) throws(Refusal) -> [Int] {
    let tokens = try array(pointer, count, "token ids").map { Int($0) }
    guard !tokens.isEmpty else {
      throw Refusal(.dataRecord, found: "no tokens", expected: "at least one token")
    }
    return tokens
  }
}

/// Asks a function of C now and then whether to go on.
private final class Poll: @unchecked Sendable {
  private let function: sextant_poll
  private let context: UnsafeMutableRawPointer?
  /// When to ask next, in nanoseconds.
  private let due = Atomic<Int64>(0)
  private static let interval: Int64 = 100_000_000

  init(_ function: sextant_poll, _ context: UnsafeMutableRawPointer?) {
    (self.function, self.context) = (function, context)
  }

  func check() throws(Refusal) {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let now = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    guard now >= due.load(ordering: .relaxed) else { return }
    due.store(now + Self.interval, ordering: .relaxed)
    guard function(context) == 0 else { throw stopped }
  }
}

/// The end of a call that a function of C asked for.
var stopped: Refusal {
  Refusal(.usageStopped, found: "a request to stop", expected: "a run that goes on")
}

/// Never freed.
nonisolated(unsafe) private let version = strdup(BuildRecord.version)

@c @implementation
public func sextant_version() -> CText? { UnsafePointer(version) }

@c @implementation
public func sextant_build(
  _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CError? {
  answering { () throws(Refusal) in try Place(text).write(copied(BuildRecord.text)) }
}

@c @implementation
public func sextant_convert(_ checkpoint: CText?, _ path: CText?, _ replace: Bool) -> CError? {
  answering { () throws(Refusal) in
    var options = ConversionOptions()
    options.replacing = replace
    try LoadedModel.convert(
      text(checkpoint, "the path of a checkpoint"), to: text(path, "the path of the model file"),
      options: options)
  }
}

@c @implementation
public func sextant_open(
  _ path: CText?, _ poll: sextant_poll?, _ context: UnsafeMutableRawPointer?,
  _ model: UnsafeMutablePointer<sextant_model>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(model)
    var loaded = try LoadedModel(text(path, "the path of a model file"))
    if let poll {
      let poll = Poll(poll, context)
      loaded = loaded.watched { () throws(Refusal) in try poll.check() }
    }
    place.write(try HandleTable.shared.add(ModelObject(loaded)))
  }
}

@c @implementation
public func sextant_encode(
  _ model: sextant_model, _ text: CText?, _ continues: Bool,
  _ tokens: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?,
  _ count: UnsafeMutablePointer<Int>?
) -> CError? {
  answering { () throws(Refusal) in
    let (place, countPlace) = (try Place(tokens), try Place(count))
    let tokenizer = try object(model, ModelObject.self).loaded.textTokenizer()
    let ids = try tokenizer.encodeText(SextantC.text(text, "a text"), continues: continues)
    place.write(try copied(ids.map { Int64($0) }))
    countPlace.write(ids.count)
  }
}

@c @implementation
public func sextant_decode(
  _ model: sextant_model, _ tokens: UnsafePointer<Int64>?, _ count: Int,
  _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ length: UnsafeMutablePointer<Int>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(text)
    let tokenizer = try object(model, ModelObject.self).loaded.textTokenizer()
    let decoded = tokenizer.decode(try array(tokens, count, "token ids").map { Int($0) })
    place.write(try copied(decoded))
    length?.pointee = decoded.utf8.count
  }
}
