import SextantModels
import SextantStore

extension EditRecord {
  /// The decision of a gate about a token.
  public struct Gate: Sendable, Equatable {
    /// Whether the token is edited.
    public let isOpen: Bool
    /// The score that decided, in log-odds; nil if none was known, and the gate is shut.
    public let score: Double?
  }
}

/// The effect of an intervention on one value of one token.
public struct EditRecord: Sendable, Equatable {
  /// The interventions that made the edit, by their place in the list: several if vectors are added
  /// up before they are added to the value.
  public internal(set) var items: [Int] = []
  /// The site.
  public let site: Site
  /// The position of the token; of a state, of the token that reads it.
  public let position: Int
  /// The sequence of the batch.
  public let sequence: Int
  /// The decision of the gate; nil without one.
  public let gate: EditRecord.Gate?
  /// Whether the value was edited: not if the gate is shut, or a clamp has nothing to do.
  public let isEdited: Bool
  /// The norm of the value before and after.
  public let norms: (before: Double, after: Double)

  /// Whether two records are equal.
  public static func == (a: EditRecord, b: EditRecord) -> Bool {
    a.items == b.items && a.site == b.site && a.position == b.position && a.sequence == b.sequence
      && a.gate == b.gate && a.isEdited == b.isEdited && a.norms == b.norms
  }
}

/// The edits of one intervention.
public struct EditSummary: Sendable, Equatable {
  /// The intervention's place in the list.
  public let item: Int
  /// The positions of the tokens at which something was edited, ascending.
  public var positions: [Int]
  /// The names of the sites that were edited, in the model's order.
  public var siteNames: [String]
  /// The strength, as multiples of the vector or as a share; the result of the search for a
  /// divergence.
  public var strength: Float
  /// The strength of each block, if each has its own.
  public var layerStrengths: SteeringOptions.LayerStrengths?
  /// The largest addition; nil if the intervention adds no vector.
  public var largestAddition: Addition?

  /// What was added to the values of a site, compared with them.
  public struct Addition: Sendable, Equatable {
    /// The name of the site.
    public var site: String
    /// The norm of the addition, as a share of the norm of the first value that it was added to.
    public var share: Double
  }

  /// Tokens edited.
  public var tokens: Int { positions.count }
  /// Sites edited.
  public var sites: Int { siteNames.count }
}

/// Counts edits where they happen.
struct EditLog {
  /// The positions that were edited, by site.
  private(set) var positions: [Site: Set<Int>] = [:]
  /// The norm of the first edited value of each site that is not zero. Later values can contain earlier
  /// edits.
  private(set) var firstNorms: [Site: Double] = [:]
  /// Whether a record of each edit is kept.
  var keepsRecords = false
  private var records: [EditRecord] = []

  /// Runs an edit of a value and records its effect.
  mutating func note(
    _ site: Site, _ position: Int, _ sequence: Int, _ gate: EditRecord.Gate?,
    _ value: UnsafeMutableBufferPointer<Float>, _ edit: () -> Bool
  ) {
    let isMeasured = keepsRecords || firstNorms[site] == nil
    let before = isMeasured ? Self.norm(value) : 0
    let isEdited = edit()
    if isEdited {
      positions[site, default: []].insert(position)
      if isMeasured { count(before, site) }
    }
    guard keepsRecords else { return }
    records.append(
      EditRecord(
        site: site, position: position, sequence: sequence, gate: gate, isEdited: isEdited,
        norms: (before, isEdited ? Self.norm(value) : before)))
  }

  /// Notes an edit that has happened.
  mutating func note(
    _ site: Site, _ position: Int, _ sequence: Int, before: some Sequence<Float>,
    after: some Sequence<Float>
  ) {
    positions[site, default: []].insert(position)
    guard keepsRecords else { return }
    records.append(
      EditRecord(
        site: site, position: position, sequence: sequence, gate: nil, isEdited: true,
        norms: (Self.norm(before), Self.norm(after))))
  }

  /// Adds the record of another log.
  mutating func add(_ record: EditRecord) {
    guard record.isEdited else { return }
    positions[record.site, default: []].insert(record.position)
    count(record.norms.before, record.site)
  }

  private mutating func count(_ norm: Double, _ site: Site) {
    if firstNorms[site] == nil, norm > 0, norm.isFinite { firstNorms[site] = norm }
  }

  /// The edits, as a summary of an item.
  ///
  /// - Parameters:
  ///   - sites: the item's sites; nil for all.
  ///   - order: the model's sites in their order.
  func summary(
    item: Int, sites: Set<Site>?, order: [Site], strength: Float,
    layerStrengths: SteeringOptions.LayerStrengths?
  ) -> EditSummary {
    let own = positions.filter { site, _ in sites?.contains(site) ?? true }
    return EditSummary(
      item: item,
      positions: own.values.reduce(into: Set()) { $0.formUnion($1) }.sorted(),
      siteNames: order.filter { own[$0] != nil }.map(\.name), strength: strength,
      layerStrengths: layerStrengths)
  }

  /// Hands over the records since the last time.
  mutating func takeRecords() -> [EditRecord] {
    defer { records = [] }
    return records
  }

  private static func norm(_ value: some Sequence<Float>) -> Double {
    value.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  }
}
