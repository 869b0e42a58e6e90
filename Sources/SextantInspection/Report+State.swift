import SextantArtifacts
import SextantBytes
import SextantReport

extension Report {
  /// The norms of a state's components, block by block; of several sequences the table shows the mean
  /// of their norms.
  package init(state: SavedState) {
    let norms = state.norms
    var components: [String] = []
    var rows: [(block: Int, cells: [String: String])] = []
    for norm in norms {
      guard case .state(let block, let component)? = norm.site.site else { continue }
      if !components.contains(component) { components.append(component) }
      if rows.last?.block != block { rows.append((block, [:])) }
      let mean = norm.values.reduce(0, +) / Double(max(norm.values.count, 1))
      rows[rows.count - 1].cells[component] = Format.figure(mean)
    }
    var table = Table(["block"] + components.map { "#\($0)" })
    for row in rows { table.add(["\(row.block)"] + components.map { row.cells[$0] ?? "" }) }
    let what = state.isDifference ? "a difference of states" : "a state"
    self.init(
      title: "\(printable(state.file ?? "")): \(what) of \(printable(state.model.architecture))",
      facts: [
        ("model", state.model.identity.description),
        ("sequences", Format.count(state.batch)), ("position", Format.count(state.position)),
      ],
      tables: [("norms", table)],
      json: JSONObject([
        ("file", .string(state.file ?? "")), ("difference", .boolean(state.isDifference)),
        ("model", state.model.json), ("batch", JSONValue(state.batch)),
        ("position", JSONValue(state.position)),
        (
          "components",
          .array(
            norms.map { site, values in
              [
                "site": .string(site.name), "shape": JSONValue(shape: site.shape),
                "norms": .array(values.map { JSONValue(finite: $0) }),
              ]
            })
        ),
      ]))
  }

  /// A state that was written to a file.
  package init(written state: SavedState, to output: String) {
    let what = state.isDifference ? "a difference of states" : "a state"
    self.init(
      title: "\(printable(output)): \(what) of \(counted(state.batch, "sequence")) at "
        + "position \(Format.count(state.position))",
      json: JSONObject([
        ("output", .string(output)), ("difference", .boolean(state.isDifference)),
        ("batch", JSONValue(state.batch)), ("position", JSONValue(state.position)),
        ("components", JSONValue(state.components.count)),
      ]))
  }
}

extension Report {
  /// A saved state that a model can continue from.
  package init(fitting file: String, batch: Int, position: Int) {
    self.init(
      title: "\(printable(file)) fits: \(counted(batch, "sequence")) at position "
        + "\(Format.count(position)); `sextant generate` can continue from it",
      json: JSONObject([
        ("state", .string(file)), ("fits", true), ("batch", JSONValue(batch)),
        ("position", JSONValue(position)),
      ]))
  }
}
