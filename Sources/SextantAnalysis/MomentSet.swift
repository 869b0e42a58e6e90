import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// The moments of every site that was read, for every class of texts.
package struct MomentSet: Sendable, Equatable {
  /// The classes, such as `positive` and `negative`.
  package let classes: [String]
  /// The sites, in the model's order.
  package let sites: [SiteDescription]
  private var accumulators: [Key: MomentAccumulator]

  private struct Key: Hashable {
    var site: Site
    var name: String
  }

  /// Above this many elements a covariance matrix would not fit anywhere: the variance is kept.
  package static let covarianceLimit = 4096

  /// Refuses moments that would not fit into memory.
  ///
  /// - Parameter orders: those of each class.
  /// - Throws: `system.memory`.
  static func checkMemory(
    _ sites: [SiteDescription], _ orders: [MomentOrder]
  ) throws(Refusal) {
    // Each class has its moments; those of a chunk and of a difference come and go.
    let bytes = sites.flatMap { site in
      let count = site.elementCount
      return orders.map { order in
        let isSquare = order == .covariance && count <= covarianceLimit
        return MemoryBudget.product(count, isSquare ? count + 1 : 2, 8)
      }
    }
    try MemoryBudget.check(
      MemoryBudget.sum(bytes), for: "the moments of \(counted(sites.count, "site"))",
      remedy: "Name fewer sites with `sites` and `layers`, or use a method without covariances.")
  }

  /// Empty moments.
  ///
  /// - Parameters:
  ///   - order: sites over `covarianceLimit` elements get variances instead of covariances.
  ///   - orders: those of classes that differ from the others.
  package init(
    sites: [SiteDescription], classes: [String], order: MomentOrder,
    orders: [String: MomentOrder] = [:]
  ) {
    self.sites = sites
    self.classes = classes
    accumulators = [:]
    for site in sites {
      let isLarge = site.elementCount > Self.covarianceLimit
      for name in classes {
        let wanted = orders[name] ?? order
        let own: MomentOrder = wanted == .covariance && isLarge ? .variance : wanted
        accumulators[Key(site: site.site, name: name)] = MomentAccumulator(
          elementCount: site.elementCount, order: own)
      }
    }
  }

  /// The moments of some of the sites.
  ///
  /// - Throws: `artifact.site` when none is left.
  package func keeping(
    _ wants: (Site) -> Bool
  ) throws(Refusal) -> MomentSet {
    let kept = sites.filter { wants($0.site) }
    guard !kept.isEmpty else {
      throw Refusal(
        .artifactSite, found: "no requested site", expected: "sites of the moments")
    }
    return MomentSet(
      sites: kept, classes: classes,
      accumulators: accumulators.filter { key, _ in kept.contains { $0.site == key.site } })
  }

  private init(
    sites: [SiteDescription], classes: [String], accumulators: [Key: MomentAccumulator]
  ) {
    self.sites = sites
    self.classes = classes
    self.accumulators = accumulators
  }

  /// The moments of a site and class.
  package subscript(site: Site, name: String) -> MomentAccumulator? {
    accumulators[Key(site: site, name: name)]
  }

  /// Adds vectors, [M, n], to a site and class.
  package mutating func add(_ rows: some MatrixRows, to site: Site, _ name: String) {
    accumulators[Key(site: site, name: name)]?.add(rows)
  }

  /// Adds the moments of another set of the same sites and classes, such as another machine's part
  /// of the data.
  ///
  /// - Parameter file: the file of the other set, for refusals.
  /// - Throws: `artifact.site` for other sites, `artifact.schema` for other classes or spreads.
  package mutating func merge(_ other: MomentSet, file: String? = nil) throws(Refusal) {
    let remedy = "Merge moments that were collected with the same options."
    guard other.sites == sites else {
      let names = { (set: [SiteDescription]) in
        counted(set.count, "site") + " (" + set.prefix(3).map(\.site.name).joined(separator: ", ")
          + (set.count > 3 ? ", …)" : ")")
      }
      throw Refusal(
        .artifactSite, file: file, found: "moments of \(names(other.sites))",
        expected: names(sites), remedy: remedy)
    }
    guard other.classes == classes else {
      throw Refusal(
        .artifactSchema, file: file, at: .pointer("/classes"),
        found: other.classes.joined(separator: ", "), expected: classes.joined(separator: ", "),
        remedy: remedy)
    }
    for site in sites {
      for name in classes {
        let key = Key(site: site.site, name: name)
        let (found, own) = (other.accumulators[key]?.order, accumulators[key]?.order)
        guard found != own else { continue }
        let word = { (order: MomentOrder?) in order.map { "\($0)" } ?? "nothing" }
        throw Refusal(
          .artifactSchema, file: file, at: .tensor("\(site.site.name).\(name)"),
          found: "moments up to the \(word(found))", expected: "up to the \(word(own))",
          remedy: remedy)
      }
    }
    for (key, value) in other.accumulators { accumulators[key]?.merge(value) }
  }

  // MARK: Files

  /// The moments as an artifact.
  ///
  /// - Parameters:
  ///   - model: the model that was read.
  ///   - data: the description of the data.
  ///   - positions: where it read it.
  ///   - retraining: the values that reading again needs; nil if they are not known.
  package func artifact(
    model: ModelReference, data: JSONObject, positions: PositionSelection,
    retraining: JSONObject? = nil
  ) -> Artifact {
    var tensors: [(name: String, value: Tensor)] = []
    for site in sites {
      for name in classes {
        guard let moments = self[site.site, name] else { continue }
        let prefix = "\(site.site.name).\(name)."
        tensors.append((prefix + "count", Tensor(doubles: [Double(moments.count)], shape: [])))
        tensors.append((prefix + "mean", Tensor(doubles: moments.mean, shape: site.shape)))
        let n = site.elementCount
        switch moments.order {
        case .mean: break
        case .variance:
          tensors.append((prefix + "squares", Tensor(doubles: moments.scatter, shape: site.shape)))
        case .covariance:
          tensors.append((prefix + "scatter", Tensor(doubles: moments.scatter, shape: [n, n])))
        }
      }
    }
    var details = JSONObject([
      ("classes", .array(classes.map { .string($0) })), ("data", .object(data)),
      ("positions", .string(positions.description)),
    ])
    details["retraining"] = retraining.map { .object($0) }
    let manifest = Manifest(
      kind: Moments.name, kindVersion: Moments.version, model: model,
      sites: sites.map(\.reference), details: details)
    return Artifact(manifest: manifest, tensors: tensors)
  }

  /// The moments that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  package init(_ artifact: Artifact) throws(Refusal) {
    try Moments.check(artifact)
    classes = try Moments.classes(of: artifact)
    var sites: [SiteDescription] = []
    accumulators = [:]
    for reference in artifact.manifest.sites {
      guard let site = reference.site else {
        throw Refusal(
          .artifactSite, file: artifact.file, found: "site \(reference.name)",
          expected: "a site such as blocks.0.output")
      }
      sites.append(SiteDescription(site: site, shape: reference.shape, axes: reference.axes))
      for name in classes {
        let values = { (statistic: String) -> [Double]? in
          artifact.tensor("\(reference.name).\(name).\(statistic)")?.withDoubles { Array($0) }
        }
        accumulators[Key(site: site, name: name)] = Self.accumulator(
          count: Int(clamping: values("count")?.first ?? 0), mean: values("mean") ?? [], values)
      }
    }
    self.sites = sites
  }

  /// The moments of a site and class in a file.
  ///
  /// - Parameter values: the tensor of a statistic; nil if the file does not have it.
  private static func accumulator(
    count: Int, mean: [Double], _ values: (String) -> [Double]?
  ) -> MomentAccumulator {
    if let scatter = values("scatter") {
      return MomentAccumulator(order: .covariance, count: count, mean: mean, scatter: scatter)
    }
    if let squares = values("squares") {
      return MomentAccumulator(order: .variance, count: count, mean: mean, scatter: squares)
    }
    // Version 2 has spreads.
    let (variance, covariance) = (values("variance"), values("covariance"))
    return MomentAccumulator(
      order: covariance != nil ? .covariance : variance != nil ? .variance : .mean,
      count: count, mean: mean, spread: covariance ?? variance ?? [])
  }

  // MARK: Ranks

  /// The moments of all sites, from the ranks that own them.
  ///
  /// - Parameter sites: all sites; this set has those that this rank owns.
  /// - Returns: the set on the first rank; nil on the others.
  package func gathered(
    _ sites: [SiteDescription], by ranks: any Collective
  ) throws(Refusal) -> MomentSet? {
    if ranks.size == 1 { return self }
    var message = Message()
    for site in self.sites {
      for name in classes {
        guard let moments = self[site.site, name] else { continue }
        message.put(moments.order.rawValue)
        message.put(moments.count)
        message.put(moments.mean)
        message.put(moments.scatter)
      }
    }
    guard let readers = try ranks.gather(message) else { return nil }
    let all = try ranks.ordered(sites.count, readers) { reader throws(Refusal) in
      try classes.map { _ throws(Refusal) in try Self.accumulator(&reader) }
    }
    var accumulators: [Key: MomentAccumulator] = [:]
    for (site, moments) in zip(sites, all) {
      for (name, moments) in zip(classes, moments) {
        accumulators[Key(site: site.site, name: name)] = moments
      }
    }
    return MomentSet(sites: sites, classes: classes, accumulators: accumulators)
  }

  private static func accumulator(
    _ reader: inout MessageReader
  ) throws(Refusal) -> MomentAccumulator {
    let order = MomentOrder(rawValue: try reader.text())
    let (count, mean, scatter) = (
      try reader.integer(in: 0...Int.max), try reader.doubles(), try reader.doubles()
    )
    let n = mean.count
    guard let order,
      scatter.count == (order == .mean ? 0 : order == .variance ? n : MemoryBudget.product(n, n))
    else {
      throw Refusal(
        .systemRanks, found: "moments of another size", expected: "\(counted(n, "element"))")
    }
    return MomentAccumulator(order: order, count: count, mean: mean, scatter: scatter)
  }
}
