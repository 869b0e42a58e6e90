/// A reference to a site of a model, sufficient to check whether an artifact fits.
///
/// Shape and axes travel with the name, because the states of two implementations may have equal
/// names and transposed axes.
public struct SiteReference: Sendable, Hashable {
  /// The name, such as `blocks.3.output` or `blocks.3.state.ssm`.
  public var name: String
  /// The shape of one token's value, or of one sequence's state component.
  public var shape: [Int]
  /// The meaning of each axis, such as `["channel", "state"]`.
  public var axes: [String]

  /// The first axis of a state component that grows with each position.
  package static let positionAxis = "position"

  /// Describes a site.
  public init(name: String, shape: [Int], axes: [String]) {
    self.name = name
    self.shape = shape
    self.axes = axes
  }

  /// Describes a site.
  package init(_ site: Site, shape: [Int], axes: [String]) {
    self.init(name: site.name, shape: shape, axes: axes)
  }

  /// The site of that name; nil if the name is none.
  package var site: Site? { Site(name: name) }

  /// Whether the site is a component of the recurrent state, with one value per sequence instead of
  /// one per token.
  public var isState: Bool { site?.isState ?? false }
}
