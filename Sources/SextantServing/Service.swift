import Glibc
import Sextant
import SextantBytes
import SextantGeneration
import SextantLocks
import SextantModels
import SextantTokenizers

/// The service behind a server: it answers requests, and knows nothing of connections.
///
///     let service = try Service(LoadedModel("demo.sxt"), options)
///     let response = await service.respond(to: request)
package final class Service: Sendable {
  /// The model, with its tokenizer.
  package let loaded: LoadedModel
  /// The options.
  package let options: ServiceOptions
  /// The artifacts that requests can name.
  package let shelf: ArtifactShelf
  let engine: Engine
  /// The runs of the page.
  let runs: RunShelf
  /// Whether a half-life is being measured.
  let isMeasuring = Lock(false)
  private let access: Access
  /// Reads conversations.
  let chat: ChatSettings
  /// What the first answer to a conversation notes.
  let chatWarning: String?

  /// Prepares a service, and starts its engine.
  ///
  /// - Throws: `model.tokenizer` for a model without one; `chat.template` for an unknown template; `usage.*` for a
  ///   folder that cannot be listed, for a default steering or a preset that cannot be applied, and for a host or
  ///   an origin that no request can have.
  package init(_ loaded: LoadedModel, _ options: ServiceOptions) throws(Refusal) {
    (self.loaded, self.options) = (loaded, options)
    tokenizer = try loaded.textTokenizer()
    shelf = try ArtifactShelf(options.artifactsFolder)
    access = try Access(options)
    let isBase = options.chatTemplate == nil && loaded.publishedChat == nil
    chatWarning =
      isBase
      ? "This model has no chat template: conversations are written in the form `plain`." : nil
    chat = try ChatSettings(loaded.chatTemplate(isBase ? "plain" : options.chatTemplate))
    engine = Engine(loaded.model, options)
    runs = RunShelf(byteLimit: max(options.cacheBytes, 64 << 20))
    try checkPresets()
    try engine.start()
    if let chatWarning { options.log(chatWarning) }
  }

  deinit { engine.close() }

  /// The tokenizer of texts.
  let tokenizer: any Tokenizer
  /// The model that runs.
  var model: any LanguageModel { loaded.model }
  /// The number of ids.
  var vocabularySize: Int { loaded.description.vocabularySize }
  /// Reads steering.
  var steeringReader: SteeringReader { SteeringReader(shelf: shelf) }

  /// Presets and the default must be right when the server starts.
  private func checkPresets() throws(Refusal) {
    try checkSteering("apply", options.steering) { _ = try defaultSteering() }
    for preset in options.presets {
      try checkSteering("preset", [preset]) {
        _ = try steering(ofModel: "\(options.modelName)+\(preset)")
      }
    }
  }

  /// Runs `body`, which reads the steering of an option.
  private func checkSteering(
    _ parameter: String, _ texts: [String], _ body: () throws -> Void
  ) throws(Refusal) {
    do {
      try body()
    } catch {
      let own = ServingError(any: error)
      throw Refusal(
        .usageOption, at: .parameter(parameter),
        found: "\"\(printable(texts.joined(separator: " "), limit: 120))\": \(own.message)",
        expected: "artifacts of the folder that `artifacts` names, with strengths",
        remedy: shelf.entries.isEmpty
          ? "The folder has no artifacts."
          : "The folder has \(shelf.entries.map(\.name).joined(separator: ", ")).")
    }
  }

  /// The steering of requests that name none.
  func defaultSteering() throws -> Steering {
    try steeringReader.steering(options.steering, parameter: "apply")
  }

  /// The steering of a model's name, such as `demo+joy:2`; nil for the model alone.
  ///
  /// - Throws: 404 for another model.
  func steering(ofModel name: String) throws -> Steering? {
    if name == options.modelName { return nil }
    let unknown = ServingError(
      .modelNotFound,
      "The model \"\(printable(name, limit: 120))\" does not exist. `GET /v1/models` lists the models.",
      parameter: "model")
    guard name.hasPrefix(options.modelName + "+") else { throw unknown }
    let parts = steeringReader.parts(String(name.dropFirst(options.modelName.count + 1)))
    return try steeringReader.steering(parts, parameter: "model")
  }

  /// Answers a request. If the task is cancelled, the request's texts end.
  package func respond(to request: ServingRequest) async -> ServingResponse {
    engine.metrics.add(\.requests)
    var grant: Access.Grant?
    var response: ServingResponse
    do {
      let own = try access.check(request)
      grant = own
      response = try await answer(request, own)
    } catch {
      engine.metrics.add(\.refused)
      response = .error(ServingError(any: error))
    }
    response.addCommonHeaders(grant, id: "req-" + Self.randomName())
    return response
  }

  /// Takes no further requests, lets those that run end, and cancels them after some time.
  package func stop(within seconds: Double) async {
    engine.close()
    let end = ContinuousClock.now + .seconds(seconds)
    while !engine.isEnded, ContinuousClock.now < end {
      try? await Task.sleep(for: .milliseconds(5))
    }
    guard !engine.isEnded else { return }
    engine.cancelAll()
    let last = ContinuousClock.now + .seconds(1)
    while !engine.isEnded, ContinuousClock.now < last {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  /// A name for something, of 16 letters and digits.
  static func randomName() -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    return String((0..<16).map { _ in letters[Int.random(in: 0..<letters.count)] })
  }

  /// The clock's time.
  static func secondsSince1970() -> Int { Int(time(nil)) }
}
