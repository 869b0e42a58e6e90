import SextantArtifacts
import SextantTensor

/// The effect of a steering vector on one value of its site (`formats/steering.md`, "Operations").
package struct SteeringEdit: Sendable {
  /// The unit of a strength.
  package enum Unit: String, Sendable, CaseIterable {
    /// Multiples of the vector.
    case raw
    /// The norm of the addition, as a share of the value's norm.
    case share
  }

  /// The operation.
  package let operation: SteeringVector.Operation
  /// The vector, [n].
  package let vector: [Float]
  /// Its norm.
  let norm: Double
  private let targets: SteeringVector.Targets

  /// An edit by a vector; `targets` are needed by some operations.
  package init(
    _ operation: SteeringVector.Operation, vector: [Float],
    targets: SteeringVector.Targets? = nil
  ) {
    precondition(targets != nil || !operation.needsTargets)
    self.operation = operation
    self.vector = vector
    self.targets = targets ?? .init(negative: 0, positive: 0)
    norm = Self.norm(vector)
  }

  /// Whether it changes no value, bit for bit. Nothing is computed then, because even adding a zero
  /// would turn -0 into 0.
  package func changesNothing(strength: Float) -> Bool { strength == 0 || norm == 0 }

  private static func norm(_ values: some Sequence<Float>) -> Double {
    values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  /// factor · this vector + otherFactor · another one, for `add` in raw units.
  func combined(times factor: Float, _ other: SteeringEdit, times otherFactor: Float)
    -> SteeringEdit
  {
    SteeringEdit(
      .add, vector: zip(vector, other.vector).map { factor * $0 + otherFactor * $1 })
  }

  /// Edits a value, [n].
  ///
  /// - Returns: whether anything was done: a clamp leaves a value that is beyond its target.
  @discardableResult
  package func apply(
    strength: Float, unit: Unit = .raw, to value: UnsafeMutableBufferPointer<Float>
  ) -> Bool {
    guard !changesNothing(strength: strength) else { return false }
    switch operation {
    case .add, .addPreservingNorm:
      var factor = strength
      let before = operation == .add && unit == .raw ? 0 : Self.norm(value)
      if unit == .share { factor *= Float(before / norm) }
      for index in vector.indices { value[index] += factor * vector[index] }
      guard operation == .addPreservingNorm else { return true }
      let after = Self.norm(value)
      guard after > 0 else { return true }
      let restoring = Float(before / after)
      for index in vector.indices { value[index] *= restoring }
    case .project:
      move(value, by: -Double(strength) * projection(of: value))
    case .affine, .clamp:
      let target = strength > 0 ? targets.positive : targets.negative
      let missing = target - projection(of: value)
      // Only lower values are clamped.
      if operation == .clamp, (missing > 0) != (strength > 0) { return false }
      move(value, by: Double(abs(strength)) * missing)
    }
    return true
  }

  /// x·u.
  private func projection(of value: UnsafeMutableBufferPointer<Float>) -> Double {
    var sum = 0.0
    for index in vector.indices { sum += Double(value[index]) * Double(vector[index]) }
    return sum / norm
  }

  /// x + distance · u.
  private func move(_ value: UnsafeMutableBufferPointer<Float>, by distance: Double) {
    let factor = Float(distance / norm)
    for index in vector.indices { value[index] += factor * vector[index] }
  }
}
