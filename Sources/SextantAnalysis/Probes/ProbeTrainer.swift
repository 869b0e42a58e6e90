import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// Trains linear probes on activations: every method at every site, or at every head of it.
package struct ProbeTrainer: Sendable {
  /// The methods, in the order in which their probes are kept.
  package let methods: [ProbeMethod]
  /// Train a probe for each head of sites whose first axis counts heads.
  package var splitsHeads = false
  private let seed: Int
  private let ranks: any Collective

  /// Trains by these methods; the same seed gives the same probes.
  ///
  /// - Parameter ranks: the processes that train together; no bit depends on them.
  package init(_ methods: [ProbeMethod], seed: Int = 0, ranks: any Collective = Alone()) {
    self.methods = methods
    self.seed = seed
    self.ranks = ranks
  }

  /// Refuses probes for each head if no site has heads.
  ///
  /// - Throws: `usage.option`.
  package func checkHeads(of sites: [SiteDescription]) throws(Refusal) {
    guard splitsHeads, !sites.contains(where: Self.hasHeads) else { return }
    throw Refusal(
      .usageOption, at: .parameter("heads"), found: "sites without heads",
      expected: "a component of the state whose first axis is the head",
      remedy: "Leave `heads` out, or name such a component with `sites`.")
  }

  private static func hasHeads(_ site: SiteDescription) -> Bool { site.axes.first == "head" }

  /// The trained probes.
  package struct Result: Sendable {
    /// The probes: site by site, head by head, method by method.
    package var entries: [ProbeEntry] = []
    /// Figures of each probe by its name.
    package var statistics = JSONObject()
    /// The sites and methods that were left out, in words.
    package var skipped: [String] = []
    /// How many of these were left out because the examples do not differ.
    fileprivate var flatCount = 0

    /// Adds the probes of other sites or parts.
    fileprivate mutating func add(_ other: Result) {
      flatCount += other.flatCount
      entries += other.entries
      skipped += other.skipped
      for (name, figures) in other.statistics.members { statistics[name] = figures }
    }
  }

  /// A part of a site that one set of probes reads.
  private struct Part: Sendable {
    var site: SiteDescription
    var head: Int?
  }

  /// Trains on examples.
  ///
  /// Parts are trained at the same time on the threads of the pool; which thread takes which does not
  /// change a bit.
  ///
  /// - Parameters:
  ///   - activations: at the sites that this rank owns.
  ///   - labels: of each record.
  ///   - sites: all sites; nil for those of the activations, in one process.
  ///   - progress: receives the sites, or heads, done and in all.
  /// - Returns: the probes. With several ranks each one trains those of the sites that it owns, and gets
  ///   all.
  /// - Throws: `data.empty` unless both labels occur; `data.variance` if the examples do not differ
  ///   in the values from which one of the methods learns; `data.record` for pairs that were not
  ///   read.
  package func train(
    _ activations: Activations, labels: [Bool], sites: [SiteDescription]? = nil,
    pool: WorkerPool = .shared,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Result {
    let own = activations.records.map { labels[$0] }
    guard own.contains(true), own.contains(false) else {
      throw Refusal(
        .dataEmpty, found: "\(counted(own.count, "example")), all with one label",
        expected: "both labels")
    }
    guard
      !activations.pairs.isEmpty || activations.sites.isEmpty
        || !methods.contains(where: \.needsPairs)
    else {
      throw Refusal(
        .dataRecord, found: "no contrast pairs", expected: "pairs, for methods that need them")
    }
    let parts = activations.sites.flatMap { site -> [Part] in
      guard splitsHeads, Self.hasHeads(site) else { return [Part(site: site, head: nil)] }
      return (0..<site.shape[0]).map { Part(site: site, head: $0) }
    }
    var results = [Result](repeating: Result(), count: parts.count)
    results.withUnsafeMutableBufferPointer { results in
      nonisolated(unsafe) let results = results
      // Some at a time, so that progress is told by this thread.
      for start in stride(from: 0, to: parts.count, by: 2 * pool.threadCount) {
        let end = min(start + 2 * pool.threadCount, parts.count)
        pool.forEach(end - start) { index in
          results[start + index] = train(parts[start + index], activations, own)
        }
        progress(end, parts.count)
      }
    }
    let bySite = Dictionary(grouping: zip(parts, results), by: \.0.site.site)
    let owned = activations.sites.map { site in
      (bySite[site.site] ?? []).map(\.1).reduce(into: Result()) { $0.add($1) }
    }
    let whole = try together(owned, sites ?? activations.sites)
      .reduce(into: Result()) { $0.add($1) }
    guard whole.flatCount == 0 || !whole.entries.isEmpty else {
      throw Refusal(
        .dataVariance, at: .parameter("methods"),
        found:
          "\(methods.map(\.rawValue).joined(separator: ", ")) of \(counted(own.count, "example"))",
        expected: "examples that differ at a site")
    }
    return whole
  }

  /// The results of all sites, from the ranks that own them.
  private func together(
    _ owned: [Result], _ sites: [SiteDescription]
  ) throws(Refusal) -> [Result] {
    if ranks.size == 1 { return owned }
    var message = Message()
    for result in owned {
      message.put(result.entries.count)
      for entry in result.entries { message.put(entry) }
      message.put(result.statistics)
      message.put(result.skipped.count)
      for reason in result.skipped { message.put(reason) }
      message.put(result.flatCount)
    }
    var index = 0
    return try ranks.ordered(sites.count, ranks.share(message)) { reader throws(Refusal) in
      defer { index += 1 }
      var result = Result()
      let entryCount = try reader.integer(in: 0...Int(Int32.max))
      for _ in 0..<entryCount { result.entries.append(try reader.probeEntry(sites[index])) }
      result.statistics = try reader.object()
      let skippedCount = try reader.integer(in: 0...Int(Int32.max))
      for _ in 0..<skippedCount { result.skipped.append(try reader.text()) }
      result.flatCount = try reader.integer(in: 0...Int(Int32.max))
      return result
    }
  }

  /// Trains on records, and returns the record for the manifest.
  ///
  /// - Parameter sites: all sites; nil for those of the activations, in one process.
  /// - Throws: as `train`; `usage.ranks` for ranks with other records, models or settings.
  package func probe(
    of records: SelectedRecords, _ activations: Activations, sites: [SiteDescription]? = nil,
    model: ModelReference, positions: PositionSelection, pooling: Probe.Pooling,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (probe: Probe, skipped: [String]) {
    let sites = sites ?? activations.sites
    let settings =
      ["\(seed)", "\(splitsHeads)", "\(positions)", pooling.rawValue, records.label]
      + methods.map(\.rawValue) + sites.map(\.site.name)
    try ranks.requireSame([
      ("model", model.json.canonicalText),
      ("data", JSONValue.object(records.description).canonicalText),
      ("settings", settings.joined(separator: " ")),
    ])
    let result = try train(
      activations, labels: records.labels, sites: sites, progress: progress)
    let names = Set(result.entries.map { ExactString($0.site.name) })
    let probe = Probe(
      model: model,
      sites: sites.map(\.reference).filter { names.contains(ExactString($0.name)) },
      entries: result.entries,
      training: .init(
        label: records.label, positions: positions, pooling: pooling, data: records.description,
        seed: seed,
        retraining: RetrainingRecord.new([
          ("methods", .array(methods.map { .string($0.rawValue) })),
          ("heads", .boolean(splitsHeads)),
        ])),
      statistics: result.statistics)
    return (probe, result.skipped)
  }

  /// Why a method was left out, in words.
  private static func text(_ reason: NoDirection, _ method: ProbeMethod, _ elements: Int) -> String
  {
    switch reason {
    case .tooLarge: "\(method.rawValue) needs a covariance of \(counted(elements, "element"))"
    case .flat: "\(method.rawValue) has nothing to learn from examples that do not differ"
    case .nonfinite: "\(method.rawValue) gives numbers that are not finite"
    }
  }

  private func train(_ part: Part, _ activations: Activations, _ labels: [Bool]) -> Result {
    var result = Result()
    let site = part.site.reference
    let range = ProbeEntry.elements(of: site, head: part.head)
    let isWhole = range.count == part.site.elementCount
    let slice = { (tensor: Tensor) in isWhole ? tensor : Tensor(copying: tensor.columns(range)) }
    var parts: [ProbeEntry.Input: DirectionFinder] = [:]
    if methods.contains(where: { !$0.needsPairs }), let rows = activations.values[part.site.site] {
      parts[.single] = DirectionFinder(slice(rows), labels)
    }
    if methods.contains(where: \.needsPairs), let pairs = activations.pairs[part.site.site] {
      let rows = pairs.reshaped([2 * pairs.rowCount, part.site.elementCount])
      let finder = DirectionFinder(
        slice(rows).reshaped([pairs.rowCount, 2 * range.count]), labels)
      (parts[.joined], parts[.difference]) = (finder, finder)
    }
    for method in methods {
      let blank = ProbeEntry(
        site: site, head: part.head, method: method.rawValue, input: method.input, direction: [])
      guard let finder = parts[method.input] else { continue }
      // The name, too, so that sites do not share random numbers.
      let own = blank.name.utf8.reduce(UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01B3
      }
      var random = SeededRandom(seed: own)
      do throws(NoDirection) {
        let (entry, figures) = try finder.probe(method, blank, &random)
        result.entries.append(entry)
        result.statistics[entry.name] = .object(figures)
      } catch {
        result.skipped.append("\(blank.name): \(Self.text(error, method, range.count))")
        result.flatCount += error == .flat ? 1 : 0
      }
    }
    return result
  }
}
