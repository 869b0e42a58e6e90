import SextantBytes
import SextantEvaluation
import SextantStore

extension LoadedModel {
  /// Activation patching: puts values of the run over `clean` into the run over `corrupted`, one place and one token
  /// at a time, and measures how much of the difference between the two answers returns, as `sextant patch` does.
  ///
  ///     let found = try model.patch(
  ///       clean: "20 + 62 = 92. Alice:", corrupted: "20 + 62 = 92. Bob:", answer: " False", against: " True")
  ///     for cell in found.largest(3) { print(found.places[cell.place], cell.share.value) }
  ///
  /// - Parameters:
  ///   - answer: the answer to the clean prompt, as it continues the prompt.
  ///   - against: the answer to the corrupted prompt; nil to measure the log-probability of `answer`.
  ///   - sites: `stream`, `parts`, `state`, `all`, or names of sites with `*` for every block.
  ///   - layers: the blocks; nil for all.
  ///   - heads: whether each head of a state component is patched by itself, too.
  ///   - reverse: whether values of the corrupted run are put into the clean one.
  /// - Throws: as `patch(_:sites:layers:heads:reverse:noise:seeds:seed:progress:)`.
  public func patch(
    clean: String, corrupted: String, answer: String, against: String? = nil,
    sites: [String] = ["stream"], layers: ClosedRange<Int>? = nil, heads: Bool = false,
    reverse: Bool = false
  ) throws(Refusal) -> PatchingResult {
    try patch(
      [PatchingPair(clean: clean, corrupted: corrupted, answer: answer, against: against)],
      sites: sites, layers: layers, heads: heads, reverse: reverse)
  }

  /// Activation patching, averaged over pairs of prompts, with intervals.
  ///
  /// - Parameters:
  ///   - sites, layers, heads, reverse: as for one pair.
  ///   - noise: Gaussian noise at the subject of each pair in place of a corrupted prompt (causal tracing): its
  ///     standard deviation as a multiple of that of the embedding at the subjects; nil for none.
  ///   - seeds: noises of each prompt.
  ///   - seed: of noise and of intervals.
  ///   - progress: receives tokens done and in all.
  /// - Throws: `data.tokenization` for prompts whose tokens do not stand for each other; `data.record`,
  ///   `artifact.site`, `usage.option`, `model.*`, `system.memory`.
  public func patch(
    _ pairs: [PatchingPair], sites: [String] = ["stream"], layers: ClosedRange<Int>? = nil,
    heads: Bool = false, reverse: Bool = false, noise: Double? = nil, seeds: Int = 10,
    seed: UInt64 = 0, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> PatchingResult {
    var patching = ActivationPatching(model, try textTokenizer())
    (patching.sites, patching.layers) = (sites, layers.map { LayerSelection($0) })
    (patching.heads, patching.reverse, patching.noise) = (heads, reverse, noise)
    (patching.seeds, patching.seed) = (seeds, seed)
    return try patching.run(on: pairs, progress: progress)
  }
}
