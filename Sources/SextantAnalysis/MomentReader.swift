import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantTensor

/// Runs a model over texts of several classes and reduces the activations to moments, in one pass.
package struct MomentReader {
  let model: any LanguageModel
  let positions: PositionSelection
  let order: MomentOrder
  let batch: Int
  let ranks: any Collective

  /// Reads `model` at some positions of each text.
  ///
  /// - Parameters:
  ///   - batch: sequences of equal length that run together; the result does not depend on it.
  ///   - ranks: the processes that read pairs together; the result does not depend on them.
  package init(
    _ model: any LanguageModel, positions: PositionSelection, order: MomentOrder, batch: Int = 16,
    ranks: any Collective = Alone()
  ) {
    self.model = model
    self.positions = positions
    self.order = order
    self.batch = max(batch, 1)
    self.ranks = ranks
  }

  /// Reads texts.
  ///
  /// Texts of equal length run as batches. The values of a text and the order of sums do not depend
  /// on the batches, so that the result has the same bits for every batch size.
  ///
  /// - Parameters:
  ///   - texts: token ids by class; none may be empty.
  ///   - sites: the sites to read.
  ///   - progress: receives texts done and in all.
  /// - Throws: `data.record` for a text without tokens or without a selected position;
  ///   `artifact.site` for a component of the state that grows, which has no moments; `model.*`.
  package func read(
    _ texts: [(name: String, sequences: [[Int]])], sites: [SiteDescription],
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> MomentSet {
    try check(sites)
    try MomentSet.checkMemory(sites, texts.map { _ in order })
    var moments = MomentCollector(
      MomentSet(sites: sites, classes: texts.map(\.name), order: order))
    let recorder = Recorder(sites.map(\.site))
    let total = texts.reduce(0) { $0 + $1.sequences.count }
    var done = 0
    for (name, sequences) in texts {
      let batches = RunBatch.batches(of: sequences.map(\.count)) {
        model.sequencesAtOnce(batch, length: $0)
      }
      for batch in batches {
        let selected = try positions(in: batch.shape)
        let tokens = TokenBatch(batch.members.map { sequences[$0] })
        var state = model.initialState(batch: tokens.batch)
        recorder.restart(at: Set(selected))
        _ = try model.run(tokens, from: &state, logits: .none, tap: recorder)
        let recorded = recorder.rows()
        for site in sites.map(\.site) {
          guard let rows = recorded[site] else { continue }
          moments.add(Tensor.textByText(selected.compactMap { rows[$0] }), to: site, name)
        }
        done += tokens.batch
        progress(done, total)
      }
    }
    return moments.finished()
  }

  /// The selected positions of a text, ascending.
  ///
  /// - Throws: `data.record` for none.
  func positions(in length: Int) throws(Refusal) -> [Int] {
    let read = (0..<length).filter { positions.contains($0, prompt: 0..<length) }
    guard !read.isEmpty else {
      throw Refusal(
        .dataRecord, found: "a text of \(counted(length, "token"))",
        expected: "a token at positions \(positions)")
    }
    return read
  }

  /// Refuses sites without moments, and positions that do not depend only on the text's length.
  func check(_ sites: [SiteDescription]) throws(Refusal) {
    if let site = sites.first(where: \.grows) {
      throw Refusal(
        .artifactSite, found: "\(site.site), which grows with each position",
        expected: "the residual stream, or a state of constant size",
        remedy: "Use `sites` residual.")
    }
    try positions.checkIndependence()
  }
}

extension PositionSelection {
  /// Refuses positions that the length of a text does not decide: training reads the same ones in all
  /// texts of one length.
  ///
  /// - Throws: `usage.option`.
  func checkIndependence() throws(Refusal) {
    guard dependsOnTokens else { return }
    throw Refusal(
      .usageOption, at: .parameter("positions"), found: "\(self)",
      expected: "positions that do not depend on the tokens",
      remedy: "Leave token=ID out: it is for positions at which an artifact is applied.")
  }
}
