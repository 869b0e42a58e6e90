import SextantStore

/// A site with the shape of its value and the meaning of the axes.
public struct SiteDescription: Sendable, Equatable {
  /// The site.
  public let site: Site
  /// The shape of one token's value, or of one sequence's state component; of one position of a
  /// component that grows.
  public let shape: [Int]
  /// The meaning of each axis, such as `["channel", "state"]`.
  public let axes: [String]
  /// Whether the site is a state component that grows by `shape` with each position.
  public let grows: Bool
  /// Whether the value is only shown: nothing can edit it.
  public let isReadOnly: Bool

  /// Describes a site.
  public init(
    site: Site, shape: [Int], axes: [String], grows: Bool = false, isReadOnly: Bool = false
  ) {
    self.site = site
    self.shape = shape
    self.axes = axes
    self.grows = grows
    self.isReadOnly = isReadOnly
  }

  /// Elements of one value.
  public var elementCount: Int { shape.reduce(1, *) }

  /// How artifacts refer to the site, or to one position of a component that grows.
  public var reference: SiteReference {
    SiteReference(name: site.name, shape: shape, axes: axes)
  }

  /// The reference of artifacts to the whole site; a component that grows has this number of
  /// positions.
  public func reference(positions: Int) -> SiteReference {
    grows
      ? SiteReference(
        name: site.name, shape: [positions] + shape, axes: [SiteReference.positionAxis] + axes)
      : reference
  }
}
