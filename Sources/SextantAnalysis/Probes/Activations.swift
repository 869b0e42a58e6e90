import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// The activations of a model at some sites, by example.
package struct Activations: Sendable {
  /// The sites, in the model's order.
  package let sites: [SiteDescription]
  /// The record that each example comes from, [N].
  package let records: [Int]
  /// The position that each example was read at; nil if it is the mean of several.
  package let positions: [Int?]
  /// [N, n] by site.
  package internal(set) var values: [Site: Tensor]
  /// The activations after the false and after the true choice, [N, 2n] by site; empty if pairs
  /// were not read.
  package internal(set) var pairs: [Site: Tensor]
  /// The sites of a capture that were left out, because they grow with each position.
  package internal(set) var leftOut: [SiteDescription] = []
  /// The log-odds that the model gives the true choice after each record's text; empty if the
  /// records have no choices.
  package internal(set) var outputs: [Float]

  /// Examples, N.
  package var count: Int { records.count }

  init(sites: [SiteDescription], records: [Int], positions: [Int?]) {
    self.sites = sites
    self.records = records
    self.positions = positions
    (values, pairs, outputs) = ([:], [:], [])
  }

  /// Examples that come from elsewhere, one for each record.
  ///
  /// - Parameters:
  ///   - values: [N, n] for each site, N the same for all.
  ///   - pairs: [N, 2n], the activations after the false and the true choice; for all sites or none.
  package init(
    _ values: [(site: SiteDescription, rows: Tensor)],
    pairs: [(site: SiteDescription, rows: Tensor)] = []
  ) {
    let count = (values + pairs).first?.rows.rowCount ?? 0
    precondition((values + pairs).allSatisfy { $0.rows.rowCount == count })
    self.init(
      sites: (values.isEmpty ? pairs : values).map(\.site), records: Array(0..<count),
      positions: [Int?](repeating: nil, count: count))
    for (site, rows) in values { self.values[site.site] = rows }
    for (site, rows) in pairs { self.pairs[site.site] = rows }
  }

  /// The examples of a captured file, so that the model need not run again.
  ///
  /// - Parameters:
  ///   - capture: an artifact of kind `capture`; its prompts are the records.
  ///   - texts: the token ids of the records, which must be those that were captured.
  ///   - words: the sites of the capture to take, as `ModelDescription.sites(named:layers:)` takes them;
  ///     nil for all. `state`, `all` and nil leave out components that grow.
  ///   - layers: the blocks to keep; nil for all.
  ///   - positions: the rows that are examples; for states only `last` is known.
  /// - Throws: `artifact.*`; `data.record` for a capture of other texts or of an edited run;
  ///   `artifact.site` for a site that the model or the capture does not have, or a state that grows;
  ///   `usage.option` for blocks that the model or the capture does not have, and for positions that a
  ///   prompt or a state has no row for.
  package init(
    capture: Artifact, of texts: [[Int]], model: ModelDescription, sites words: [String]? = nil,
    layers: LayerSelection? = nil, positions selection: PositionSelection, pooling: Probe.Pooling
  ) throws(Refusal) {
    try Capture.check(capture)
    guard try !Capture.isEdited(capture) else {
      throw Refusal(
        .dataRecord, file: capture.file, at: .pointer("/edited"),
        found: "a run that applied artifacts edited", expected: "the model as it is",
        remedy: "Capture again without `apply`.")
    }
    let names = capture.manifest.sites.filter { $0.name != "logits" }.map(\.name)
    let captured = try model.sites(named: names)
    let chosen = try Site.chosen(
      named: words, layers: layers, among: captured.map(\.site), layerCount: model.layerCount,
      file: capture.file)
    let (sites, leftOut) = try ModelDescription.leavingOutGrowing(
      captured.filter { chosen.contains($0.site) }, named: words ?? ["all"])
    let tokenCount = capture.tensor("tokens")?.count ?? 0
    let prompts = capture.tensor("row.prompt")?.integers ?? Array(repeating: 0, count: tokenCount)
    try Self.check(capture, prompts: prompts, against: texts)
    let plan = try ExamplePlan(lengths: texts.map(\.count), selection, pooling)
    self.init(sites: sites, records: plan.records, positions: plan.positions)
    self.leftOut = leftOut
    var starts: [Int] = []
    for (row, prompt) in prompts.enumerated() where prompt == starts.count { starts.append(row) }
    for site in sites {
      guard let value = capture.tensor(site.site.name), !site.grows else {
        throw Refusal(
          .artifactSite, file: capture.file, found: "\(site.site), which grows",
          expected: "the residual stream, or a state of constant size")
      }
      let n = site.elementCount
      guard !site.site.isState else {
        guard selection == .last else {
          throw Refusal(
            .usageOption, file: capture.file, at: .parameter("positions"), found: "\(selection)",
            expected: "last: a capture has states after the last token only")
        }
        values[site.site] = value.reshaped([value.count / n, n])
        continue
      }
      var target = Tensor(zeros: [count, n])
      let source = value.reshaped([tokenCount, n])
      for (record, start) in starts.enumerated() {
        for place in plan.places[record] {
          target.add(source, row: start + place.position, to: place.row, weight: place.weight)
        }
      }
      values[site.site] = target
    }
  }
}

extension Activations {
  /// Refuses a capture of other texts than the records', whose labels would be those of others.
  ///
  /// - Parameter prompts: the prompt of each row of the capture.
  private static func check(
    _ capture: Artifact, prompts: [Int], against texts: [[Int]]
  ) throws(Refusal) {
    let count = (prompts.last ?? -1) + 1
    guard count == texts.count else {
      throw Refusal(
        .dataRecord, file: capture.file, found: counted(count, "prompt"),
        expected: "\(texts.count), one for each record")
    }
    var captured = [[Int]](repeating: [], count: count)
    for (prompt, token) in zip(prompts, capture.tensor("tokens")?.integers ?? []) {
      captured[prompt].append(token)
    }
    for (index, (found, expected)) in zip(captured, texts).enumerated() where found != expected {
      throw Refusal(
        .dataRecord, file: capture.file, at: .tensor("tokens"),
        found:
          "prompt \(index + 1) with \(counted(found.count, "token")) that are not those of record "
          + "\(index + 1), which has \(expected.count)",
        expected: "a capture of the texts of the records, in their order",
        remedy: "Capture again with the same records as `prompts`.")
    }
  }
}

/// The example of each position of each text.
struct ExamplePlan {
  /// A position that is read.
  struct Place {
    var position: Int
    var row: Int
    var weight: Float
  }

  /// The record of each example, and its position.
  private(set) var (records, positions): ([Int], [Int?]) = ([], [])
  /// The places of each record.
  private(set) var places: [[Place]] = []

  /// - Throws: `usage.option` for a text that has no selected position, and for positions that depend on
  ///   the tokens.
  init(
    lengths: [Int], _ selection: PositionSelection, _ pooling: Probe.Pooling
  ) throws(Refusal) {
    try selection.checkIndependence()
    for (record, length) in lengths.enumerated() {
      let selected = (0..<length).filter { selection.contains($0, prompt: 0..<length) }
      guard !selected.isEmpty else {
        throw Refusal(
          .usageOption, at: .parameter("positions"), found: "\(selection)",
          expected: "a token of every text; record \(record) has \(length)")
      }
      let isMean = pooling == .mean
      places.append(
        selected.enumerated().map { index, position in
          Place(
            position: position, row: records.count + (isMean ? 0 : index),
            weight: isMean ? 1 / Float(selected.count) : 1)
        })
      if isMean {
        records.append(record)
        positions.append(selected.count == 1 ? selected[0] : nil)
      } else {
        records += selected.map { _ in record }
        positions += selected
      }
    }
  }
}

extension Tensor {
  /// Adds a row of `source`, times a weight, to a row of this tensor; both [.., n].
  mutating func add(_ source: Tensor, row: Int, to target: Int, weight: Float) {
    let n = columnCount
    source.withFloats { source in
      withMutableFloats { values in
        for column in 0..<n {
          values[target * n + column] += weight * source[row * n + column]
        }
      }
    }
  }

  /// The elements of an I64 tensor.
  fileprivate var integers: [Int] {
    withUnsafeBytes { bytes in
      bytes.bindMemory(to: Int64.self).map(Int.init)
    }
  }
}

extension Activations {
  /// The examples of some of the records; the records keep their numbers, and `outputs` stays whole.
  package func selecting(_ isSelected: (_ record: Int) -> Bool) -> Activations {
    let rows = records.indices.filter { isSelected(records[$0]) }
    var result = Activations(
      sites: sites, records: rows.map { records[$0] }, positions: rows.map { positions[$0] })
    result.values = values.mapValues { Kernels.gather($0, rows: rows) }
    result.pairs = pairs.mapValues { Kernels.gather($0, rows: rows) }
    result.outputs = outputs
    return result
  }

  /// The same examples at some of the sites.
  package func keeping(_ kept: Set<Site>) -> Activations {
    var result = Activations(
      sites: sites.filter { kept.contains($0.site) }, records: records, positions: positions)
    result.values = values.filter { kept.contains($0.key) }
    result.pairs = pairs.filter { kept.contains($0.key) }
    (result.outputs, result.leftOut) = (outputs, leftOut)
    return result
  }
}
