import SextantBytes
import SextantTensor

/// One component of a block's recurrent state.
public struct StateComponent: Sendable, Equatable {
  /// The name, as in `blocks.<i>.state.<name>`.
  public let name: String
  /// The shape for one sequence.
  public let shape: [Int]
  /// What each axis counts, such as `["channel", "state"]`.
  public let axes: [String]
  /// The value before the first token.
  public let initialValue: Float

  /// Describes a component.
  public init(name: String, shape: [Int], axes: [String], initialValue: Float = 0) {
    self.name = name
    self.shape = shape
    self.axes = axes
    self.initialValue = initialValue
  }
}

/// Everything that a model remembers of the tokens it has read: a value.
///
/// A run reads and writes an explicit state. Copying one (forking a sequence) costs reference
/// counts; memory is copied when one of the copies changes. Two equal states continue alike.
public struct State: Sendable, Equatable {
  /// The components of each block.
  public let layout: [[StateComponent]]
  /// Sequences, B.
  public let batch: Int
  /// Tokens that each sequence has read.
  public var position = 0
  /// [block][component], each [B, component's shape].
  var tensors: [[Tensor]]

  /// The state before the first token.
  public init(layout: [[StateComponent]], batch: Int) {
    self.layout = layout
    self.batch = batch
    tensors = layout.map { components in
      components.map { component in
        var tensor = Tensor(zeros: [batch] + component.shape)  // [B, …]
        if component.initialValue != 0 {
          tensor.withMutableFloats { $0.update(repeating: component.initialValue) }
        }
        return tensor
      }
    }
  }

  /// The sites of all components, block by block.
  public var sites: [Site] {
    layout.enumerated().flatMap { block, components in
      components.map { .state(block: block, component: $0.name) }
    }
  }

  private func place(of site: Site) -> (block: Int, component: Int)? {
    guard case .state(let block, let name) = site, layout.indices.contains(block),
      let component = layout[block].firstIndex(where: { $0.name == name })
    else { return nil }
    return (block, component)
  }

  /// The component at a site, [B, component's shape], or nil where the model has none.
  public func component(_ site: Site) -> Tensor? {
    place(of: site).map { tensors[$0.block][$0.component] }
  }

  /// Replaces the component at a site.
  ///
  /// - Throws: `model.state` when the site or the shape [B, …] does not fit.
  public mutating func setComponent(_ site: Site, to value: Tensor) throws(FormatError) {
    guard let place = place(of: site) else {
      throw FormatError(
        .modelState, found: "site \(site)", expected: "a state component of this model")
    }
    let shape = tensors[place.block][place.component].shape
    guard value.shape == shape, value.dataType == .f32 else {
      throw FormatError(
        .modelState, at: .tensor(site.name), found: "\(value.dataType.rawValue) \(value.shape)",
        expected: "F32 \(shape)")
    }
    tensors[place.block][place.component] = value
  }

  /// The state of some of the sequences, in the given order; a row may be taken several times, so
  /// that one prefix continues in many ways.
  public func selecting(_ rows: [Int]) -> State {
    if rows == Array(0..<batch) { return self }
    var result = State(layout: layout, batch: rows.count)
    result.position = position
    for block in layout.indices {
      for component in layout[block].indices {
        let source = tensors[block][component]
        result.tensors[block][component] = Tensor.concatenated(
          rows.map { source.rows($0..<$0 + 1) })
      }
    }
    return result
  }
}
