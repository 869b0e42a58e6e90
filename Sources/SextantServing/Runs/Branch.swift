import Glibc
import SextantBytes
import SextantGeneration
import SextantLocks
import SextantModels
import SextantStore
import SextantTensor

/// An event of a run's stream: its name and its data.
struct RunEvent: Sendable {
  var name: String
  var data: JSONValue

  /// The lines of the stream.
  var lines: [UInt8] { Array("event: \(name)\ndata: \(data.canonicalText)\n\n".utf8) }
}

/// The items of requests are vectors and erasers, which are values.
extension Steering: @unchecked Sendable {}

/// A branch of a run: its tokens, what steered them, and the states after some of them.
///
/// The engine's thread adds to it while the text is made; requests read it at any time.
final class Branch: @unchecked Sendable {
  /// Tokens between two states that are kept. The state after another token is read again from the one
  /// before it, which takes less than this number of tokens.
  static let snapshotStep = 16

  private struct Content {
    var generated: [Int] = []
    var snapshots: [Int: State] = [:]
    var steering: [(from: Int, steering: Steering)]
    var pending: Steering?
    var isLive = true
    var news: [RunEvent] = []
    /// Of the predictions that generated tokens were chosen from, in nats: the entropy, and the divergence
    /// from that of `reference` at the same position.
    var entropies: [Double] = []
    var divergences: [Double?] = []
    /// The last of these predictions, of which `dropped` ones are not kept any more.
    var predictions: [LogProbabilities] = []
    var dropped = 0
  }

  /// Bytes of predictions that are kept. Branches of a run are made together, and need only the last ones.
  private static let predictionBytes = 4 << 20

  /// The name, which is unique in the run.
  let name: String
  /// The state that the branch starts from.
  let base: State
  /// The ids before `base`: those of the branch that this one was forked from.
  let history: [Int]
  /// The ids that were read from `base` on, before the first generated one.
  let prompt: [Int]
  /// Tokens at the beginning of `prompt` that belong to the text before the fork.
  let repeatedCount: Int
  /// The run that makes the text.
  let run: GenerationRun
  private let options: GenerationOptions
  private let reports: [Intervention]
  private let content: Lock<Content>
  /// Branches of the same run that came before this one.
  private let siblings: [Branch]
  /// The branch that divergences are measured from: the first one without steering, or the first one.
  let reference: Branch?

  init(
    _ name: String, _ start: BranchStart, _ run: GenerationRun, _ steering: Steering,
    _ options: GenerationOptions, reports: [Intervention], siblings: [Branch]
  ) {
    (self.name, base, history) = (name, start.state, start.history)
    (prompt, repeatedCount) = (start.prompt, start.repeatedCount)
    (self.run, self.options, self.reports, self.siblings) = (run, options, reports, siblings)
    content = Lock(Content(steering: [(start.state.position, steering)]))
    reference = siblings.first(where: \.isPlain) ?? siblings.first
  }

  // MARK: What requests read

  /// The position of the first generated token.
  var end: Int { base.position + prompt.count }
  /// All ids of the text, from its first token on.
  var ids: [Int] { history + prompt + content.withLock { $0.generated } }
  /// The position of the first of `ids`: above 0 if the run continues a state that was saved.
  var origin: Int { base.position - history.count }
  /// Whether the text is still made.
  var isLive: Bool { content.withLock { $0.isLive } }
  /// What steers now.
  var steering: Steering {
    content.withLock { $0.pending ?? $0.steering[$0.steering.count - 1].steering }
  }
  /// Bytes of the states that are kept.
  var byteCount: Int { content.withLock { $0.snapshots.values.reduce(0) { $0 + $1.byteCount } } }
  /// The entropy of the prediction that a generated token was chosen from, and its divergence from that of
  /// `reference`, in nats.
  func uncertainty(of token: Int) -> (entropy: Double?, divergence: Double?) {
    content.withLock { content in
      guard content.entropies.indices.contains(token) else { return (nil, nil) }
      return (content.entropies[token], content.divergences[token])
    }
  }

  /// The events since the last call.
  func takeNews() -> [RunEvent] {
    content.withLock { content in
      defer { content.news = [] }
      return content.news
    }
  }

  /// The kept state after exactly that number of tokens; nil if it is not kept.
  func snapshot(after count: Int) -> State? { content.withLock { $0.snapshots[count] } }

  /// The state after some tokens of the text: the nearest kept one, and the tokens between them are read
  /// again, with the steering that they were read with.
  ///
  /// - Parameter count: tokens of the whole text, those of a saved state included; at least those of `base`.
  func state(after count: Int, _ model: any LanguageModel, tokenizer: Digest) throws(Refusal)
    -> State
  {
    var (state, log) = content.withLock { content in
      let place = content.snapshots.keys.filter { $0 <= count }.max()
      return (place.flatMap { content.snapshots[$0] } ?? base, content.steering)
    }
    let ids = ids
    for (place, entry) in log.enumerated() where state.position < count {
      let last = place + 1 < log.count ? min(log[place + 1].from, count) : count
      guard state.position < last else { continue }
      let tap = try Interventions(entry.steering.items).bind(to: bound(model, tokenizer)).tap
      _ = try model.run(
        TokenBatch(Array(ids[state.position - origin..<last - origin])), from: &state,
        logits: .none, tap: tap)
    }
    return state
  }

  /// The text as edits see it: the prompt keeps its place for any number of tokens after it.
  private func bound(_ model: any LanguageModel, _ tokenizer: Digest) -> BoundRun {
    BoundRun(
      model, tokenizer: tokenizer, prompts: [prompt], from: base,
      readingAfter: options.tokenCount)
  }

  // MARK: Changes of steering

  /// Steers the text from the next token on.
  ///
  /// - Throws: what the items are refused for. `false` is returned if the text has ended.
  func steer(_ new: Steering, _ model: any LanguageModel, tokenizer: Digest) throws(Refusal) -> Bool
  {
    _ = try Interventions(new.items).bind(to: bound(model, tokenizer))
    return content.withLock { content in
      if content.isLive { content.pending = new }
      return content.isLive
    }
  }

  /// The text has ended, or the reader has left.
  func stop() {
    content.withLock { content in
      content.isLive = false
      content.predictions = []
    }
  }

  // MARK: On the engine's thread

  /// Takes note of a prediction, before a token is chosen from it.
  func didPredict(_ logits: Tensor) {
    let prediction = LogProbabilities(logits.values)
    let entropy = -zip(prediction.probabilities, prediction.values).reduce(0.0) { sum, pair in
      pair.0 > 0 ? sum + pair.0 * pair.1 : sum
    }
    let limit = max(1, Self.predictionBytes / (16 * max(logits.count, 1)))
    let number = content.withLock { $0.entropies.count }
    let other = reference?.prediction(number)
    content.withLock { content in
      content.entropies.append(entropy)
      content.divergences.append(other.map { prediction.divergence(of: $0) })
      content.predictions.append(prediction)
      guard content.predictions.count > limit else { return }
      content.predictions.removeFirst()
      content.dropped += 1
    }
  }

  /// The prediction that a generated token was chosen from, if it is one of the last.
  private func prediction(_ number: Int) -> LogProbabilities? {
    content.withLock { content in
      let place = number - content.dropped
      return content.predictions.indices.contains(place) ? content.predictions[place] : nil
    }
  }

  private var isPlain: Bool { content.withLock { $0.steering[0].steering.items.isEmpty } }

  /// The dose of the steering: how far it moves the first prediction from that without any, in nats.
  private var dose: Double? {
    guard !isPlain, reference?.isPlain == true else { return nil }
    return content.withLock { $0.divergences.first ?? nil }
  }

  /// Takes note of a step of the engine: keeps states, and changes the steering if that was asked for.
  func didStep(_ event: GenerationBatch.Event, _ batch: GenerationBatch) {
    switch event {
    case .prompt: if run.hasReadPrompt { keep(batch.state(of: run) ?? run.state) }
    case .token(let record):
      add(run.tokens)
      let last = content.withLock { $0.snapshots.keys.max() } ?? base.position
      if record.position + 1 - last >= Self.snapshotStep { keep(batch.state(of: run) ?? run.state) }
    case .step: add(run.tokens)
    case .end:
      add(run.tokens)
      keep(run.state)
      stop()
    case .failure: stop()
    }
    applyPending(batch)
  }

  private func add(_ tokens: [Int]) {
    content.withLock { content in
      content.generated += tokens[min(content.generated.count, tokens.count)...]
    }
  }

  /// Keeps a state, and tells its norms and distances.
  private func keep(_ state: State) {
    content.withLock { $0.snapshots[state.position] = state }
    let distances = siblings.compactMap { sibling -> (String, JSONValue)? in
      guard let other = sibling.snapshot(after: state.position) else { return nil }
      return (sibling.name, StateDistance.distances(state, other))
    }
    var data = JSONObject([
      ("branch", .string(name)), ("position", .integer(Int64(state.position - 1))),
      ("bytes", .integer(Int64(state.byteCount))), ("norms", StateDistance.norms(state)),
    ])
    if !distances.isEmpty { data["distance_to"] = .object(JSONObject(distances)) }
    if let dose { data["nats"] = .number(dose.rounded(to: 4)) }
    content.withLock { $0.news.append(RunEvent(name: "state", data: .object(data))) }
  }

  private func applyPending(_ batch: GenerationBatch) {
    guard run.hasReadPrompt, let new = content.withLock({ $0.pending }) else { return }
    let position = end + run.tokens.count - (run.ending == nil ? 1 : 0)
    content.withLock { content in
      content.pending = nil
      var event = RunEvent(
        name: "steer",
        data: [
          "branch": .string(name), "from": .integer(Int64(position)),
          "steering": .array(new.names.map { .string($0) }),
        ])
      do throws(Refusal) {
        try run.change(Interventions(reports + new.items))
        content.steering.append((position, new))
      } catch {
        event = RunEvent(
          name: "error",
          data: ["branch": .string(name), "message": .string(ServingError(error).message)])
      }
      content.news.append(event)
    }
  }
}

/// Where a branch starts: a state, and the tokens that are read from there.
struct BranchStart: Sendable {
  /// The state.
  var state: State
  /// The ids that the state has read.
  var history: [Int] = []
  /// The ids to be read.
  var prompt: [Int]
  /// How many of them belong to the text before.
  var repeatedCount = 0
}

/// Norms and distances of states, by component.
enum StateDistance {
  /// The Euclidean norm of each component that does not grow.
  static func norms(_ state: State) -> JSONValue {
    object(state) { site in state.component(site).map { Kernels.squaredNorm($0) } }
  }

  /// The Euclidean distance of each component that does not grow.
  static func distances(_ a: State, _ b: State) -> JSONValue {
    object(a) { site in
      guard let one = a.component(site), let other = b.component(site), one.shape == other.shape
      else { return nil }
      return zip(one.values, other.values).reduce(0.0) { sum, pair in
        let difference = Double(pair.0) - Double(pair.1)
        return sum + difference * difference
      }
    }
  }

  private static func object(_ state: State, _ square: (Site) -> Double?) -> JSONValue {
    let growing = Set(
      state.layout.enumerated().flatMap { block, components in
        components.filter(\.grows).map { Site.state(block: block, component: $0.name).name }
      })
    return .object(
      JSONObject(
        state.sites.filter { !growing.contains($0.name) }.compactMap { site in
          square(site).map { (site.name, JSONValue(finite: $0.squareRoot().rounded(to: 4))) }
        }))
  }
}

extension Double {
  /// The number with a few digits, for events.
  func rounded(to digits: Int) -> Double {
    guard isFinite, self != 0 else { return self }
    let scale = pow(10, Double(digits - 1) - floor(log10(abs(self))))
    return scale.isFinite ? (self * scale).rounded() / scale : self
  }
}
