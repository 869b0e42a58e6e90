import CSextant
import Sextant
import Synchronization

/// An ordered list of what acts on a run.
final class EditsObject: Object, @unchecked Sendable {
  /// An item; a tap is checked against the model that it is used with.
  enum Item {
    case artifact(AppliedArtifact, ApplyingOptions)
    case direction(AppliedDirection)
    case tap(sites: [String], CTap)
  }

  private struct List: @unchecked Sendable { var items: [Item] = [] }
  private let list = Mutex(List())

  override class var kind: String { "a list of edits" }

  override func description() -> JSONObject {
    JSONObject([("count", .integer(Int64(list.withLock { $0.items.count })))])
  }

  func append(_ item: sending Item) { list.withLock { $0.items.append(item) } }

  /// The list, for a run of a model.
  func interventions(for model: LoadedModel) throws(Refusal) -> Interventions {
    var all = Interventions()
    for item in list.withLock({ $0 }).items {
      switch item {
      case .artifact(let applied, let options):
        all.items += try Interventions(applying: [applied], options).items
      case .direction(let direction):
        all.items.append(.direct(direction))
      case .tap(let words, let tap):
        let sites = try Set(model.description.sites(named: words).map(\.site))
        let readsState = sites.contains { $0.isState }
        all.items.append(
          .edit(
            ClosureTap(
              sites, stateVisits: { StateVisits(before: readsState ? Set($0) : []) }, tap.visit)))
      }
    }
    return all
  }
}

/// A function of C that reads and edits values.
struct CTap: @unchecked Sendable {
  let function: sextant_tap
  let context: UnsafeMutableRawPointer?

  /// - Throws: `usage.stopped` if the function does not report that it is done.
  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) throws(Refusal) {
    let (shape, position) = (value.shape, Int64(context.positions.lowerBound))
    let isDone = site.name.withCString { name in
      shape.withUnsafeBufferPointer { shape in
        value.withMutableFloats { values in
          var visit = sextant_visit(
            site: name, values: values.baseAddress, rank: shape.count, shape: shape.baseAddress,
            position: position, done: false)
          function(self.context, &visit)
          return visit.done
        }
      }
    }
    guard isDone else { throw stopped }
  }
}

/// The interventions of a list of edits; none for 0.
func interventions(
  _ handle: sextant_edits, for model: LoadedModel
) throws(Refusal) -> Interventions {
  try optionalObject(handle, EditsObject.self)?.interventions(for: model) ?? []
}

@c @implementation
public func sextant_edits_new(_ edits: UnsafeMutablePointer<sextant_edits>?) -> CError? {
  answering { () throws(Refusal) in
    try Place(edits).write(HandleTable.shared.add(EditsObject()))
  }
}

@c @implementation
public func sextant_edits_apply(
  _ edits: sextant_edits, _ artifact: sextant_artifact, _ strength: CText?, _ layers: CText?,
  _ positions: CText?
) -> CError? {
  answering { () throws(Refusal) in
    let edits = try object(edits, EditsObject.self)
    let applied = try AppliedArtifact(
      object(artifact, ArtifactObject.self).artifact,
      writtenStrength: optionalText(strength, "a strength"))
    var options = ApplyingOptions()
    options.layers = try SextantC.layers(layers)
    options.positions = try SextantC.positions(positions)
    // What cannot take effect is refused here, and not when the list is used.
    _ = try Interventions(applying: [applied], options)
    edits.append(.artifact(applied, options))
  }
}

/// The site of a direction, and the direction.
private func direction(
  _ site: CText?, _ values: UnsafePointer<Float>?, _ count: Int
) throws(Refusal) -> (site: Site, values: [Float]) {
  let name = try text(site, "the name of a site")
  guard let site = Site(name: name) else {
    throw Refusal(
      .artifactSite, found: "\"\(name)\"", expected: "the name of a site, such as blocks.3.output")
  }
  return (site, try array(values, count, "a direction for \(name)"))
}

@c @implementation
public func sextant_edits_add(
  _ edits: sextant_edits, _ site: CText?, _ values: UnsafePointer<Float>?, _ count: Int,
  _ strength: Float, _ share: Bool, _ positions: CText?
) -> CError? {
  answering { () throws(Refusal) in
    let edits = try object(edits, EditsObject.self)
    let (site, values) = try direction(site, values, count)
    edits.append(
      .direction(
        AppliedDirection(
          values, at: site, strength: strength, unit: share ? .share : .raw,
          positions: try SextantC.positions(positions) ?? .fromLast)))
  }
}

@c @implementation
public func sextant_edits_project(
  _ edits: sextant_edits, _ site: CText?, _ values: UnsafePointer<Float>?, _ count: Int,
  _ share: Float, _ positions: CText?
) -> CError? {
  answering { () throws(Refusal) in
    let edits = try object(edits, EditsObject.self)
    let (site, values) = try direction(site, values, count)
    edits.append(
      .direction(
        AppliedDirection(
          values, at: site, operation: .project, strength: share,
          positions: try SextantC.positions(positions) ?? PositionSelection([.all]))))
  }
}

@c @implementation
public func sextant_edits_tap(
  _ edits: sextant_edits, _ sites: CTexts?, _ siteCount: Int, _ tap: sextant_tap?,
  _ context: UnsafeMutableRawPointer?
) -> CError? {
  answering { () throws(Refusal) in
    let edits = try object(edits, EditsObject.self)
    guard let tap else { throw misuse(found: "null", expected: "a function") }
    edits.append(
      .tap(
        sites: try texts(sites, siteCount, "names of sites"), CTap(function: tap, context: context))
    )
  }
}
