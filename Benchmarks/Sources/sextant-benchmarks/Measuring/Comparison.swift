import SextantBytes

/// One figure of one subject, with the same figure of its peers.
struct Figure {
  /// Such as `prefill 512`.
  let name: String
  /// Such as `tokens/s`.
  let unit: String
  /// Whether more is better. Ratios are computed so that above 1 is always better.
  let moreIsBetter: Bool
  /// Sextant's values, all of them.
  private(set) var ours = Samples()
  /// For each peer: its values, and the values of Sextant's turns before them.
  private(set) var peers: [(name: String, theirs: Samples, ours: Samples)] = []

  init(_ name: String, _ unit: String, moreIsBetter: Bool = true) {
    self.name = name
    self.unit = unit
    self.moreIsBetter = moreIsBetter
  }

  mutating func add(ours value: Double) { ours.add(value) }

  /// Adds a turn of a peer and the turn of Sextant next to it.
  mutating func add(_ peer: String, theirs: Double, ours value: Double) {
    ours.add(value)
    if !peers.contains(where: { $0.name == peer }) { peers.append((peer, Samples(), Samples())) }
    for place in peers.indices where peers[place].name == peer {
      peers[place].theirs.add(theirs)
      peers[place].ours.add(value)
    }
  }

  /// The ratios of Sextant to a peer, turn by turn.
  private func ratios(_ peer: (name: String, theirs: Samples, ours: Samples)) -> Samples {
    moreIsBetter ? peer.ours.ratios(to: peer.theirs) : peer.theirs.ratios(to: peer.ours)
  }

  /// One row for Sextant, one for each peer.
  func addRows(to table: inout Table) {
    table.add(["\(name), \(unit)", "Sextant", ours.text, ""])
    for peer in peers { table.add(["", peer.name, peer.theirs.text, ratios(peer).text]) }
  }

  var json: JSONValue {
    var members: [(String, JSONValue)] = [("unit", .string(unit)), ("sextant", ours.json)]
    for peer in peers {
      members.append(
        (peer.name, ["values": peer.theirs.json, "times_better": ratios(peer).json]))
    }
    return .object(JSONObject(members))
  }
}
