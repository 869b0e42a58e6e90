import SextantModels
import SextantStore
import SextantTensor

/// The strongest directions of a block's recurrent state: the leading singular directions of each
/// head.
///
/// A head's state S maps a query (keys of `wkv`, states of `ssm`) to a result (values, channels).
/// With S = Σ σ u vᵀ and u in the space of results, the query v gets the result σ u. A direction
/// has no sign of its own, so that both ends are decoded.
package struct StateDirections: Sendable {
  /// One direction of one head.
  package struct Direction: Sendable {
    /// The block.
    package let block: Int
    /// The head; 0 if a state has none.
    package let head: Int
    /// The singular value.
    package let strength: Double
    /// Its square over the sum of all squares of the head.
    package let share: Double
    /// The addition of the direction to the stream, [D].
    package let output: Tensor
    /// The tokens that the direction makes most probable, and those that its negative makes most
    /// probable.
    package let ends: (up: [LensCell.Guess], down: [LensCell.Guess])
  }

  /// Indexed by block, then by head, the strongest first.
  package let directions: [Direction]

  /// Decodes a state through each block's output projection, the final norm and the unembedding.
  ///
  /// - Parameters:
  ///   - state: of one sequence.
  ///   - count: directions of each head.
  ///   - blocks: the blocks to decode; nil for all.
  ///   - guesses: tokens of each end.
  package init(
    of state: State, _ model: any LanguageModel, count: Int = 1, blocks: LayerSelection? = nil,
    guesses: Int = 5
  ) {
    var directions: [Direction] = []
    for block in 0..<model.description.layerCount where blocks?.contains(block) ?? true {
      for component in model.description.stateLayout[block] where !component.grows {
        guard let matrix = HeadMatrices(component),
          let value = state.component(.state(block: block, component: component.name))
        else { continue }
        for head in 0..<matrix.heads {
          for (sigma, share, told) in matrix.leading(count, of: value, head: head) {
            guard let output = model.output(ofRead: told, block: block) else { continue }
            directions.append(
              Direction(
                block: block, head: head, strength: sigma, share: share,
                output: output.reshaped([output.count]),
                ends: (
                  Self.guesses(output, model.readout, guesses),
                  Self.guesses(Self.negated(output), model.readout, guesses)
                )))
          }
        }
      }
    }
    self.directions = directions
  }

  private static func negated(_ x: Tensor) -> Tensor {
    var y = x
    Kernels.scale(&y, by: -1)
    return y
  }

  private static func guesses(_ output: Tensor, _ readout: Readout, _ count: Int)
    -> [LensCell.Guess]
  {
    let target = ReadoutTarget(readout, residual: output)
    return LensCell.cells(of: output, readout, target: target, next: [nil], count: count)[0].guesses
  }
}

/// How the matrices of heads are in a component of the state.
private struct HeadMatrices {
  let heads: Int
  /// The axes of the query and of the result.
  let (asked, told): (Int, Int)
  /// Whether the last axis is the result.
  private let endsWithTold: Bool

  /// - Returns: nil for components that are not matrices.
  init?(_ component: StateComponent) {
    let matrix = component.axes.suffix(2)
    switch Array(matrix) {
    case ["key", "value"]: endsWithTold = true
    case ["value", "key"], ["channel", "state"]: endsWithTold = false
    default: return nil
    }
    heads = component.shape.dropLast(2).reduce(1, *)
    let (rows, columns) = (component.shape[component.shape.count - 2], component.shape.last ?? 0)
    (asked, told) = endsWithTold ? (rows, columns) : (columns, rows)
  }

  /// The strongest directions of a head: singular value, its share of the energy, and the unit
  /// vector of the result, in the place of its head, [1, heads · results].
  func leading(_ count: Int, of value: Tensor, head: Int) -> [(Double, Double, Tensor)] {
    let size = asked * told
    let elements = value.withFloats { $0[head * size..<(head + 1) * size].map { Double($0) } }
    // [results, queries], so that S times the query is the result.
    let matrix =
      endsWithTold ? LinearAlgebra.transposed(elements, rows: asked, columns: told) : elements
    let gram = LinearAlgebra.product(
      matrix, matrix, rows: asked, inner: told, columns: asked, transposingFirst: true)
    guard let (squares, vectors) = LinearAlgebra.eigen(symmetric: gram, size: asked) else {
      return []
    }
    let total = squares.reduce(0) { $0 + max($1, 0) }
    return (0..<min(count, asked)).compactMap { rank in
      let place = asked - 1 - rank
      guard squares[place] > 0, total > 0 else { return nil }
      let sigma = squares[place].squareRoot()
      let direction = LinearAlgebra.product(
        matrix, Array(vectors[place * asked..<(place + 1) * asked]), rows: told, inner: asked,
        columns: 1)
      // The largest element is positive, so that the same state gives the same sign.
      let largest = direction.max { abs($0) < abs($1) } ?? 1
      let scale = (largest < 0 ? -1 : 1) / sigma
      var row = [Float](repeating: 0, count: heads * told)
      for (index, element) in direction.enumerated() {
        row[head * told + index] = Float(element * scale)
      }
      return (sigma, squares[place] / total, Tensor(row, shape: [1, heads * told]))
    }
  }
}
