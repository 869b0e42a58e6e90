import SextantBytes
import SextantGeneration
import SextantModels
import SextantTokenizers

/// What a request for texts asks for, whatever its route.
struct TextRequest {
  /// The ids of each prompt.
  var prompts: [[Int]]
  /// Ids at the beginning of each prompt that the server added, which an echo does not show.
  var addedCount = 0
  /// The tokenizer: for conversations, one that knows the end of a turn.
  var tokenizer: any Tokenizer
  /// The name of the model, as the request gave it.
  var model: String
  /// Texts for each prompt.
  var samples = 1
  /// How tokens are chosen; the seed is that of the first sample.
  var options: GenerationOptions
  /// The texts at which an answer ends.
  var stops: [String] = []
  /// Whether answers begin with the prompt.
  var echo = false
  /// Tokens of each prompt after which steering takes the others for generated ones; nil for none of these.
  var contextCounts: [Int]?
  /// Most probable tokens at each place; nil for no log-probabilities.
  var logprobs: Int?
  /// Whether the answer is a stream.
  var isStream = false
  /// Whether a stream ends with the numbers of tokens.
  var includesUsage = false
  /// What steers.
  var steering = Steering()
  /// What is reported.
  var reports = Reports()
  /// Whether the prefix cache is used.
  var usesCache = true
  /// Separates caches.
  var salt = ""
  /// Places of the prompt after which the state is worth keeping.
  var boundaries: [Int] = []
  /// Fields that had no effect.
  var ignored: [String] = []
  /// Notes for the reader of the answer.
  var warnings: [String] = []

  /// Reads the fields that all routes have.
  ///
  /// - Parameters:
  ///   - names: of the fields that the routes name differently.
  init(
    _ body: RequestBody, _ service: Service, tokenizer: any Tokenizer, salt: String,
    count: Int, repetition: String, templateStops: [String] = []
  ) throws {
    prompts = []
    self.tokenizer = tokenizer
    ignored = body.ignored
    model = try body.string("model") ?? service.options.modelName
    let named = try service.steering(ofModel: model)
    steering =
      if let node = try body.value("steering") {
        try service.steeringReader.steering(node)
      } else if let named { named } else { try service.defaultSteering() }
    if let node = try body.value("sextant") { reports = try Reports(node, service.shelf) }
    let seed = try body.integer("seed")
    let isRandom = seed == nil || (body.route == .llama && seed == -1)
    var sampling = try SamplingOptions(
      temperature: Float(body.number("temperature") ?? 1), topK: max(body.integer("top_k") ?? 0, 0),
      topP: max(Float(body.number("top_p") ?? 1), 1e-9), minP: Float(body.number("min_p") ?? 0),
      repetitionPenalty: Float(body.number(repetition) ?? 1),
      seed: isRandom ? UInt64.random(in: 0..<1 << 53) : UInt64(bitPattern: Int64(seed ?? 0)))
    sampling.presencePenalty = Float(try body.number("presence_penalty") ?? 0)
    sampling.frequencyPenalty = Float(try body.number("frequency_penalty") ?? 0)
    sampling.logitBias = try Self.bias(body, service)
    stops = try body.stops() + templateStops
    options = GenerationOptions(
      tokenCount: count, sampling: sampling,
      stopsAtEnd: !(try body.boolean("ignore_eos") ?? false))
    options.stops = try StopTexts(stops)
    isStream = try body.boolean("stream") ?? false
    usesCache = try body.boolean("cache_prompt") ?? true
    self.salt = salt + "/" + (try body.string("cache_salt") ?? "")
    guard body.route != .llama else { return }
    samples = try body.integer("n") ?? 1
    options.minimumCount = try body.integer("min_tokens") ?? 0
    if let node = try body.value("stop_token_ids") {
      options.endIDs = try node.ids(below: service.vocabularySize, limit: 64)
    }
    if let node = try body.value("stream_options") {
      includesUsage = try node.optionalMember("include_usage")?.boolean() ?? false
    }
  }

  /// The bias of tokens: an object, or pairs of an id and a number.
  private static func bias(_ body: RequestBody, _ service: Service) throws -> [Int: Float] {
    guard let node = try body.value("logit_bias") else { return [:] }
    var bias: [Int: Float] = [:]
    let range = 0...service.vocabularySize - 1
    if case .array = node.value, body.route == .llama {
      for pair in try node.elements() {
        let parts = try pair.elements()
        guard parts.count == 2 else { throw pair.refusal(expected: "an id and a number") }
        let id = try parts[0].requestInteger(in: range)
        bias[id] =
          parts[1].value == .boolean(false)
          ? -.infinity : Float(try parts[1].requestNumber(in: -1000...1000))
      }
      return bias
    }
    for (key, value) in try node.members() {
      guard let id = Int(key), range.contains(id) else {
        throw Refusal(
          .modelToken, at: .parameter("logit_bias"), found: "\"\(printable(key, limit: 40))\"",
          expected: "an id from 0 to \(range.upperBound)")
      }
      bias[id] = Float(try value.requestNumber(in: -100...100))
    }
    return bias
  }

  /// Reads where the contexts of texts end that are scored.
  ///
  /// A text that is scored is taken as one that the model wrote. If the request does not tell where that begins,
  /// it begins with the second token.
  mutating func readContext(_ node: JSONNode?) throws {
    if let node {
      var nodes = [node]
      if case .array = node.value { nodes = try node.elements() }
      guard nodes.count == 1 || nodes.count == prompts.count else {
        throw node.refusal(
          found: counted(nodes.count, "number"),
          expected: "one, or one for each of \(counted(prompts.count, "prompt"))")
      }
      contextCounts = try prompts.indices.map { place in
        try nodes[nodes.count == 1 ? 0 : place].requestInteger(in: 1...prompts[place].count)
      }
    } else if echo, logprobs != nil, options.tokenCount <= 1, !steering.items.isEmpty {
      guard steering.dependence < .prediction else {
        throw ServingError(
          .option,
          "A strength in nats is measured at the end of the context. `context_tokens` tells where that is in a "
            + "text that is scored.", parameter: "steering")
      }
      contextCounts = prompts.map { _ in 1 }
    }
  }

  /// Checks the sizes of the prompts. An empty one is read as the token that ends a text.
  mutating func checkPrompts(_ service: Service) throws(ServingError) {
    for index in prompts.indices where prompts[index].isEmpty {
      guard let end = tokenizer.endOfTextIDs.first ?? tokenizer.beginOfTextIDs.first else {
        throw ServingError(
          .option, "An empty prompt needs a model with a token that ends a text.",
          parameter: "prompt")
      }
      prompts[index] = [end]
    }
    let limit =
      reports.items.isEmpty
      ? service.options.maximumPrompt : min(Reports.promptLimit, service.options.maximumPrompt)
    if let long = prompts.first(where: { $0.count > limit }) {
      throw ServingError(
        .promptTooLong,
        "The prompt has \(long.count) tokens. It may have at most \(limit)"
          + (reports.items.isEmpty ? "." : " with reports of probes or a lens."),
        parameter: "prompt")
    }
  }

  // MARK: Texts

  /// The request as work for the engine.
  func job(_ service: Service, _ lane: Lane) throws(ServingError) -> Job {
    var texts: [ServedText] = []
    let shared = sharedPlaces
    for (place, prompt) in prompts.enumerated() {
      var first: ServedText?
      for sample in 0..<samples {
        let text = text(
          texts.count, prompt, sample, context: contextCounts?[place], source: first,
          boundaries + shared[place], service)
        if first == nil, sharesReading { first = text }
        texts.append(text)
      }
    }
    // What does not fit is refused before it waits. Further texts are bound when they start, because each
    // has a state.
    for text in texts.prefix(Job.togetherLimit) { try text.run() }
    return Job(texts, lane, service.engine.queue(), isStream: isStream)
  }

  private func text(
    _ index: Int, _ prompt: [Int], _ sample: Int, context: Int?, source: ServedText?,
    _ boundaries: [Int], _ service: Service
  ) -> ServedText {
    var own = options
    own.sampling.seed &+= UInt64(sample)
    let isRecorded = !reports.isEmpty
    if isRecorded { own.completesState = true }
    let wish = ScoreWish(
      ofPrompt: echo && logprobs != nil, ofTokens: logprobs != nil, top: logprobs ?? 0)
    let usesCache = source == nil
    return ServedText(index: index, prompt, wish, isRecorded: isRecorded, source: source) {
      () throws(ServingError) in
      do throws(Refusal) {
        let items = Interventions(steering.items + reports.items)
        let run = try Generator(service.model, tokenizer, applying: items).row(
          prompt, own, isRecorded: isRecorded, contextCount: context)
        return PreparedText(
          run: run, cacheUse: usesCache ? cacheUse(of: run, context, boundaries, service) : nil)
      } catch {
        // The artifacts are at fault: a place in the refusal is one of a file.
        let field = steering.items.isEmpty ? reports.items.isEmpty ? nil : "sextant" : "steering"
        throw ServingError(error, parameter: field)
      }
    }
  }

  /// Whether the samples of a prompt share its reading: the reports and the gates of each must see it.
  private var sharesReading: Bool {
    reports.isEmpty
      && steering.items.allSatisfy { item in
        switch item {
        case .steer(let applied): applied.gate == nil
        case .erase(let applied): applied.gate == nil
        default: false
        }
      }
  }

  private func cacheUse(
    of run: GenerationRun, _ context: Int?, _ boundaries: [Int], _ service: Service
  ) -> CacheUse? {
    // Reports tell of each token, so that each is read.
    guard usesCache, service.options.cacheBytes > 0, !run.readsWholePrompt, reports.isEmpty else {
      return nil
    }
    let key = "\(salt)|\(steering.key)"
    let isFree = steering.dependence == .nothing
    if isFree || (context != nil && steering.dependence == .promptEnd) {
      return CacheUse(
        key: isFree ? key : key + "|\(context ?? 0)", most: .max, takesAnswer: true,
        boundaries: boundaries)
    }
    // Up to the first edit, the text is read as without steering.
    let most = run.plainCount
    guard most > 0 else { return nil }
    return CacheUse(key: "\(salt)|", most: most, takesAnswer: false, boundaries: boundaries)
  }

  /// The places at which each prompt leaves another one of the request.
  private var sharedPlaces: [[Int]] {
    var places: [[Int]] = prompts.map { _ in [] }
    let order = prompts.indices.sorted { prompts[$0].lexicographicallyPrecedes(prompts[$1]) }
    for (a, b) in zip(order, order.dropFirst()) {
      let count = commonCount(prompts[a], prompts[b])
      guard count >= 8 else { continue }
      places[a].append(count)
      places[b].append(count)
    }
    return places
  }
}
