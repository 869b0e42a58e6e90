import Glibc
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Scores every token with probes while a text is read and generated.
package final class ProbeTap: TokenReporter {
  /// A condition on the score of one probe.
  package struct Condition: Sendable, Equatable {
    /// Whether the score must be above the bound; otherwise below it.
    package var isAbove: Bool
    /// The bound, in log-odds.
    package var bound: Double

    /// A condition.
    package init(isAbove: Bool, bound: Double) {
      self.isAbove = isAbove
      self.bound = bound
    }

    /// Whether a score meets it.
    package func holds(for score: Double) -> Bool { isAbove ? score > bound : score < bound }
  }

  /// The probes that score, which read one activation each.
  package let entries: [ProbeEntry]
  /// Ends the text at a generated token, or the last of the prompt, whose score by the first probe
  /// meets this.
  package var stopsWhen: Condition?
  private let sites: [Site: [Int]]
  private let readsState: Bool
  private var scores: [Int: [Double]] = [:]

  /// Prepares probes for a model.
  ///
  /// - Parameters:
  ///   - name: the one probe to use; nil for all that read one activation.
  ///   - layers: the blocks to read; nil for all.
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`; `artifact.empty` when no probe is left; `usage.option` for blocks that the model
  ///   does not have.
  package init(
    _ probe: Probe, name: String? = nil, layers: LayerSelection? = nil, model: ModelDescription,
    tokenizer: Digest?, allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    try probe.model.check(
      against: model.reference(tokenizer: tokenizer), allowingOther: allowsModelMismatch,
      file: probe.file)
    try layers?.check(blockCount: model.layerCount)
    let chosen = probe.entries.filter { entry in
      guard entry.input == .single else { return false }
      if let name, ExactString(entry.name) != ExactString(name) { return false }
      guard let layers, let layer = entry.layer else { return true }
      return layers.contains(layer)
    }
    guard !chosen.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: probe.file,
        found: "no probe" + (name.map { " \($0)" } ?? "") + " that reads one activation"
          + (layers.map { " in blocks \($0)" } ?? ""),
        expected: "at least one",
        remedy: "`sextant inspect` lists the probes; those of contrast pairs cannot follow a text.")
    }
    var sites: [Site: [Int]] = [:]
    for (index, entry) in chosen.enumerated() {
      sites[try model.site(entry.site, file: probe.file), default: []].append(index)
    }
    entries = chosen
    self.sites = sites
    readsState = sites.keys.contains { $0.isState }
  }

  /// The scores of a token, in the order of `entries`; NaN if it was not read, nil for a token that
  /// was not read at all.
  package func scores(at position: Int) -> [Double]? { scores[position] }

  /// Whether a probe reads the site.
  package func wants(_ site: Site) -> Bool { sites[site] != nil }

  /// After every token.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: readsState ? Set(positions) : [])
  }

  /// Scores the rows of the first sequence.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let own = sites[site] else { return }
    let width = value.count / (context.batch * context.positions.count)
    value.withFloats { values in
      for (row, position) in context.positions.enumerated() {
        for index in own {
          let range = ProbeEntry.elements(of: entries[index].site, head: entries[index].head)
          let start = row * width + range.lowerBound
          scores[position, default: Array(repeating: .nan, count: entries.count)][index] =
            entries[index].score(
              UnsafeBufferPointer(rebasing: values[start..<start + range.count]))
        }
      }
    }
  }

  /// Stops if the first probe's score meets the condition. Of a prompt that is read in pieces, only the last
  /// token counts.
  package func didRead(_ step: GenerationStep) -> GenerationVerdict {
    guard let stopsWhen, let last = step.positions.last, last + 1 >= step.prompt.upperBound,
      let score = scores[last]?.first
    else { return .goOn }
    return stopsWhen.holds(for: score) ? .stop : .goOn
  }

  /// The scores by probe, and the probes whose threshold a score reaches.
  package func report(at position: Int) -> JSONObject? {
    guard let own = scores[position] else { return nil }
    var (scores, flags): (JSONObject, [JSONValue]) = (JSONObject(), [])
    for (entry, score) in zip(entries, own) {
      scores[entry.name] = score.isFinite ? .number(score) : .null
      if score >= entry.threshold { flags.append(.string(entry.name)) }
    }
    return JSONObject([("scores", .object(scores)), ("flags", .array(flags))])
  }

  /// The probability of the first probe, from -1 to 1.
  package func tint(at position: Int) -> Double? { scores[position]?.first.map { tanh($0 / 2) } }
}
