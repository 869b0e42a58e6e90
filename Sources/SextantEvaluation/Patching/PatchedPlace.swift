import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A place in a model whose value is patched at each token: a site, or one head of a state component.
public struct PatchedPlace: Sendable, Hashable {
  /// The site.
  public let site: Site
  /// The head of the component; nil for the whole value.
  public let head: Int?

  /// A site, or one of its heads.
  public init(_ site: Site, head: Int? = nil) { (self.site, self.head) = (site, head) }
}

extension PatchedPlace: CustomStringConvertible {
  /// The name of the site, such as `blocks.3.state.wkv`, with the head if there is one.
  public var description: String { site.name + (head.map { " head \($0)" } ?? "") }
}

extension PatchedPlace {
  /// The places that words name, in the order in which a run visits them.
  ///
  /// - Parameters:
  ///   - words: `stream` (the embedding and the output of every block), `parts` (what each part of a block adds),
  ///     `state` (every component), `all` of them, the name of a site, or a name with `*` for every block.
  ///   - heads: whether each head of a component is a place of its own, too.
  /// - Throws: `artifact.site` for a word that names no site, and for a site that cannot be patched; `usage.option`
  ///   for `heads` if no chosen site has any, and for `layers` that concern none of the sites.
  static func places(
    named words: [String], layers: LayerSelection?, heads: Bool, in model: ModelDescription
  ) throws(Refusal) -> [PatchedPlace] {
    var names: [String] = []
    for word in words { names += sites(ofGroup: word, in: model) ?? [word] }
    var places: [PatchedPlace] = []
    for description in try sites(named: names, layers, in: model) {
      if description.isReadOnly { throw Refusal(readOnly: description.site) }
      guard description.site != .finalNorm, description.site != .logits else {
        throw Refusal(
          .artifactSite, at: .tensor(description.site.name),
          found: "a patch of \(description.site)",
          expected: "a site at which a patch can still change something: predictions are read here")
      }
      places.append(PatchedPlace(description.site))
      guard heads, let count = description.headCount else { continue }
      places += (0..<count).map { PatchedPlace(description.site, head: $0) }
    }
    guard !heads || places.contains(where: { $0.head != nil }) else {
      throw Refusal(
        .usageOption, at: .parameter("heads"), found: "sites without heads",
        expected: "`sites` state of a model whose state has heads", remedy: "Leave the option out.")
    }
    return places
  }

  private static func sites(
    named names: [String], _ layers: LayerSelection?, in model: ModelDescription
  ) throws(Refusal) -> [SiteDescription] {
    do throws(Refusal) { return try model.sites(named: names, layers: layers) } catch {
      var refusal = error
      if error.code == .artifactSite {
        refusal.expected = "stream, parts, state, all, or a site such as blocks.0.output"
      }
      throw refusal
    }
  }

  /// The names of the sites of a group; nil if the word names none. A group without sites in the model is that
  /// of an unknown word.
  private static func sites(ofGroup word: String, in model: ModelDescription) -> [String]? {
    let belongs: (SiteDescription) -> Bool
    switch word {
    case "stream":
      belongs = { description in
        if case .output = description.site { true } else { description.site == .embedding }
      }
    case "parts":
      belongs = { description in
        if case .part = description.site { !description.isReadOnly } else { false }
      }
    case "state": belongs = { $0.site.isState }
    case "all":
      return ["stream", "parts", "state"].flatMap { sites(ofGroup: $0, in: model) ?? [] }
    default: return nil
    }
    let names = model.sites.filter(belongs).map(\.site.name)
    return names.isEmpty ? nil : names
  }

  /// The value of a component with the value of another run in this place.
  ///
  /// - Parameters:
  ///   - base: the component of one sequence, [1, …].
  ///   - source: the same of the other run.
  /// - Returns: nil if the two are equal.
  func patched(_ base: Tensor, by source: Tensor, _ description: SiteDescription) -> Tensor? {
    guard let head, let count = description.headCount else { return base == source ? nil : source }
    // [1, positions if it grows, heads, …]
    let inner = description.shape.dropFirst().reduce(1, *)
    let outer = base.count / (count * inner)
    var patched = base
    patched.withMutableFloats { target in
      source.withFloats { source in
        for index in 0..<outer {
          let start = (index * count + head) * inner
          for place in start..<start + inner { target[place] = source[place] }
        }
      }
    }
    return patched == base ? nil : patched
  }
}

extension SiteDescription {
  /// The heads of a state component; nil if it has none.
  var headCount: Int? { site.isState && axes.first == "head" ? shape.first : nil }
}
