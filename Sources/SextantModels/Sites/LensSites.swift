import SextantStore

extension ModelDescription {
  /// The sites that a lens reads: the embedding, and the output of every block.
  ///
  /// Named like this, the lenses of all families line up: the last entry is the stream that the
  /// model itself reads out.
  public var lensSites: [SiteDescription] {
    sites.filter { description in
      if case .output = description.site { true } else { description.site == .embedding }
    }
  }

  /// The sites that the model's own readout can read.
  public var lastSite: Site { .output(block: layerCount - 1) }
}
