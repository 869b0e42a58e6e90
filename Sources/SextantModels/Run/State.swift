import SextantBytes
import SextantStore
import SextantTensor

/// One component of a block's recurrent state.
package struct StateComponent: Sendable, Equatable {
  /// The name, as in `blocks.<i>.state.<name>`.
  package let name: String
  /// The shape for one sequence; for one position of it if the component grows.
  package let shape: [Int]
  /// The meaning of each axis, such as `["channel", "state"]`.
  package let axes: [String]
  /// The value before the first token.
  package let initialValue: Float
  /// How a component that grows is kept; nil for the others.
  let order: PagedRows.Order?

  /// Describes a component of constant size.
  package init(name: String, shape: [Int], axes: [String], initialValue: Float = 0) {
    self.name = name
    self.shape = shape
    self.axes = axes
    self.initialValue = initialValue
    order = nil
  }

  /// Describes a component that grows by heads × channels with each position.
  init(name: String, heads: Int, channels: Int, order: PagedRows.Order) {
    self.name = name
    shape = [heads, channels]
    axes = ["head", "channel"]
    initialValue = 0
    self.order = order
  }

  /// Whether the component has one value of `shape` for each position that was read, as attention
  /// needs it, instead of one in all.
  package var grows: Bool { order != nil }
}

/// The state of a model after the tokens that it has read: a value.
///
/// A run reads and writes an explicit state. Copying one (forking a sequence) costs only reference
/// counts. Memory is copied when one of the copies changes; for components that grow, only the last
/// 64 positions are copied. Equal states produce equal continuations.
public struct State: Sendable, Equatable {
  /// The blocks of the model that the state belongs to.
  package let blocks: [BlockDescription]
  /// Sequences, B.
  public var batch: Int { positions.count }
  /// The number of tokens that each sequence has read, [B].
  public package(set) var positions: [Int]
  /// [block][part].
  var parts: [[PartState]]

  /// The state before the first token.
  package init(blocks: [BlockDescription], batch: Int) {
    self.blocks = blocks
    positions = Array(repeating: 0, count: batch)
    parts = blocks.map { block in block.parts.map { PartState($0.state, batch: batch) } }
  }

  /// The number of tokens that the sequences have read, if all have read equally many: so it is
  /// unless states were joined. Of joined states, the number of the first sequence.
  public var position: Int {
    get { positions.first ?? 0 }
    set { positions = Array(repeating: newValue, count: batch) }
  }

  /// Whether all sequences have read equally many tokens.
  public var isEven: Bool { positions.allSatisfy { $0 == position } }

  /// The components of each block.
  package var layout: [[StateComponent]] { blocks.map(\.state) }

  /// The sites of all components, block by block.
  public var sites: [Site] {
    layout.enumerated().flatMap { block, components in
      components.map { .state(block: block, component: $0.name) }
    }
  }

  /// The place of a component: its description, its block and part, and its index among those of the
  /// part that grow, or among the others.
  private func place(
    of site: Site
  ) -> (component: StateComponent, block: Int, part: Int, index: Int)? {
    guard case .state(let block, let name) = site, blocks.indices.contains(block) else {
      return nil
    }
    for (part, description) in blocks[block].parts.enumerated() {
      guard let place = description.state.firstIndex(where: { $0.name == name }) else { continue }
      let component = description.state[place]
      let index = description.state[..<place].count { $0.grows == component.grows }
      return (component, block, part, index)
    }
    return nil
  }

  /// The component at a site, [B, component's shape], or [B, position, component's shape] if it
  /// grows; nil if the model has none, and if it grows and the sequences differ in length.
  public func component(_ site: Site) -> Tensor? {
    guard let (component, block, part, index) = place(of: site), !component.grows || isEven else {
      return nil
    }
    let state = parts[block][part]
    return component.grows ? state.sequences[index].tensor : state.tensors[index]
  }

  /// Replaces the component at a site.
  ///
  /// - Throws: `model.state` when the site or the shape does not fit: [B, …], or [B, `position`, …]
  ///   if the component grows.
  public mutating func setComponent(_ site: Site, to value: Tensor) throws(Refusal) {
    guard let (component, block, part, index) = place(of: site) else {
      throw Refusal(
        .modelState, found: "site \(site)", expected: "a state component of this model")
    }
    let shape = [batch] + (component.grows ? [position] : []) + component.shape
    guard value.shape == shape, value.dataType == .f32 else {
      throw Refusal(
        .modelState, at: .tensor(site.name), found: "\(value.dataType.rawValue) \(value.shape)",
        expected: "F32 \(shape)")
    }
    if let order = component.order {
      parts[block][part].sequences[index] = PagedRows(value, order: order)
    } else {
      parts[block][part].tensors[index] = value
    }
  }

  /// Whether every component that grows has all positions: not so while a state is put together.
  var isComplete: Bool {
    parts.joined().allSatisfy { $0.sequences.allSatisfy { $0.counts == positions } }
  }

  /// Bytes of the values of all sequences.
  package var byteCount: Int {
    parts.joined().reduce(0) { sum, part in
      sum + part.tensors.reduce(0) { $0 + 4 * $1.count }
        + part.sequences.reduce(0) { $0 + 4 * $1.heads * $1.width * $1.counts.reduce(0, +) }
    }
  }

  /// The state of some of the sequences, in the given order; a row may be taken several times, so
  /// that one prefix continues in many ways.
  public func selecting(_ rows: [Int]) -> State {
    if rows == Array(0..<batch) { return self }
    var result = self
    result.positions = rows.map { positions[$0] }
    result.parts = parts.map { $0.map { $0.selecting(rows) } }
    return result
  }

  /// The state of one block of some of the sequences, in the given order. It has nothing of the other
  /// blocks: a run through this block alone continues from it.
  package func selecting(_ rows: [Int], inBlock block: Int) -> State {
    var result = self
    result.positions = rows.map { positions[$0] }
    result.parts = Array(repeating: [], count: parts.count)
    result.parts[block] = parts[block].map { $0.selecting(rows) }
    return result
  }

  /// The state of the sequences of several states, one after the other. They may have read different
  /// numbers of tokens; `LanguageModel.step` continues them together.
  ///
  /// - Parameter states: of one model, at least one.
  public static func joining(_ states: [State]) -> State {
    if states.count == 1 { return states[0] }
    let blocks = states[0].blocks
    precondition(states.allSatisfy { $0.blocks == blocks }, "states of several models")
    var result = states[0]
    for block in blocks.indices { result.parts[block] = joinedParts(states, inBlock: block) }
    result.positions = states.flatMap(\.positions)
    return result
  }

  /// The sequences of several states, one after the other, as one block remembers them: for runs of that
  /// block alone. What other blocks remember is that of the first state.
  ///
  /// Where many edits start in different blocks, this copies one block's memory for each instead of all.
  ///
  /// - Parameter states: of one model, at least one.
  package static func joining(_ states: [State], inBlock block: Int) -> State {
    var result = states[0]
    result.parts[block] = joinedParts(states, inBlock: block)
    result.positions = states.flatMap(\.positions)
    return result
  }

  private static func joinedParts(_ states: [State], inBlock block: Int) -> [PartState] {
    states[0].parts[block].indices.map { part in
      .joining(states.map { $0.parts[block][part] })
    }
  }

  /// Replaces a sequence by the only one of another state of the model.
  mutating func replace(_ row: Int, by other: State) {
    for block in parts.indices {
      for part in parts[block].indices {
        parts[block][part].replace(row, by: other.parts[block][part])
      }
    }
  }
}

/// The state of one part of a block.
struct PartState: Sendable, Equatable {
  /// [component of constant size], each [B, component's shape].
  var tensors: [Tensor]
  /// [component that grows].
  var sequences: [PagedRows]

  /// The state before the first token.
  init(_ components: [StateComponent], batch: Int) {
    tensors = components.filter { !$0.grows }.map { component in
      var tensor = Tensor(zeros: [batch] + component.shape)  // [B, …]
      if component.initialValue != 0 {
        tensor.withMutableFloats { $0.update(repeating: component.initialValue) }
      }
      return tensor
    }
    sequences = components.compactMap { component in
      component.order.map { order in
        PagedRows(batch: batch, heads: component.shape[0], width: component.shape[1], order: order)
      }
    }
  }

  /// The state of some of the sequences, in the given order.
  func selecting(_ rows: [Int]) -> PartState {
    var result = self
    result.tensors = tensors.map { source in
      Tensor.concatenated(rows.map { source.rows($0..<$0 + 1) })
    }
    result.sequences = sequences.map { $0.selecting(rows) }
    return result
  }

  /// The states of one part of several states, one after the other.
  static func joining(_ parts: [PartState]) -> PartState {
    var result = parts[0]
    for index in result.tensors.indices {
      result.tensors[index] = Tensor.concatenated(parts.map { $0.tensors[index] })
    }
    for index in result.sequences.indices {
      result.sequences[index] = PagedRows.joining(parts.map { $0.sequences[index] })
    }
    return result
  }

  /// Replaces a sequence by the only one of `other`.
  mutating func replace(_ row: Int, by other: PartState) {
    for (index, tensor) in other.tensors.enumerated() { tensors[index].replace(row, by: tensor) }
    for (index, rows) in other.sequences.enumerated() { sequences[index].replace(row, by: rows) }
  }
}
