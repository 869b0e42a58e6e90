import Glibc
import SextantArtifacts
import SextantGeneration
import SextantTensor

extension SteeringVector {
  /// A vector of random directions with the same norm at every site: the control for the effect of
  /// any direction.
  ///
  /// - Parameter seed: the seed of the directions, normally distributed before scaling.
  public func randomControl(seed: UInt64) -> SteeringVector {
    var random = SeededRandom(seed: seed)
    let vectors = self.vectors.map { site, value in
      var direction = (0..<value.count).map { _ in Float(random.gaussian()) }
      let scale = norm(value.values) / max(norm(direction), .leastNormalMagnitude)
      for index in direction.indices { direction[index] *= scale }
      return (site: site, value: Tensor(direction, shape: value.shape))
    }
    var control = self
    control.vectors = vectors
    control.training = Training(
      method: "random-control", positions: training.positions, data: training.data)
    return control
  }

  private func norm(_ values: [Float]) -> Float {
    Float(values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
  }
}
