import SextantTensor
import Testing

/// How far a computed value may be from its golden one: absolute + relative · |golden|.
package struct Bound: Sendable {
  var absolute: Float
  var relative: Float

  /// A bound.
  package init(absolute: Float, relative: Float = 0) {
    self.absolute = absolute
    self.relative = relative
  }

  /// Of logits in f32.
  package static let logits = Bound(absolute: 1e-4, relative: 1e-5)
  /// Of the residual stream in f32.
  package static let residual = Bound(absolute: 5e-5)
  /// Of the recurrent state in f32.
  package static let state = Bound(absolute: 1e-4)
}

/// Expects equal shapes (apart from dimensions of 1) and values within the bound.
package func expectClose(
  _ computed: Tensor, _ golden: Tensor, _ bound: Bound, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(
    computed.shape.filter { $0 != 1 } == golden.shape.filter { $0 != 1 }, "\(what)",
    sourceLocation: sourceLocation)
  guard computed.count == golden.count else { return }
  let worst = zip(computed.values, golden.values).map {
    (excess: abs($0 - $1) - bound.absolute - bound.relative * abs($1), computed: $0, golden: $1)
  }.max { ($0.excess.isNaN ? .infinity : $0.excess) < ($1.excess.isNaN ? .infinity : $1.excess) }
  guard let worst else { return }
  #expect(
    worst.excess <= 0, "\(what): \(worst.computed) instead of \(worst.golden)",
    sourceLocation: sourceLocation)
}
