import SextantBytes
import SextantStore
import SextantTensor

/// The weights of a model. Its parts ask for each of them once, by name and shape.
///
/// The same code lists the weights and loads them: a source without a store notes what it is asked
/// for, and gives out empty tensors. Therefore code that takes weights computes with them only in
/// the closure of `vector`, which is called only when a model is loaded.
package struct WeightSource {
  private final class List {
    var specs: [WeightSpec] = []
    /// Nil if weights are only listed.
    let tensors: [ExactString: Tensor]?

    init(_ tensors: [ExactString: Tensor]?) { self.tensors = tensors }
  }

  private let list: List
  /// The beginning of all names, with its dot.
  private let prefix: String

  private init(_ list: List, prefix: String) {
    self.list = list
    self.prefix = prefix
  }

  /// A source that lists weights.
  init() { self.init(List(nil), prefix: "") }

  /// The weights that were asked for, in this order.
  var specs: [WeightSpec] { list.specs }

  /// The weights whose names begin with `name` and a dot.
  func under(_ name: String) -> WeightSource { WeightSource(list, prefix: "\(prefix)\(name).") }

  // MARK: Asking

  /// A matrix [out, in] or an embedding [V, D], as it is stored, read in place.
  func matrix(_ name: String, _ shape: [Int]) -> Tensor { take(name, shape, .matrix) }

  /// The matrices of a stack, which is one tensor [count, out, in].
  func matrices(_ name: String, count: Int, _ shape: [Int]) -> [Tensor] {
    let stack = take(name, [count] + shape, .matrix)
    guard list.tensors != nil else { return [] }
    return (0..<count).map { stack.rows($0..<$0 + 1).reshaped(shape) }
  }

  /// The matrices of all experts, one tensor [count, out, in], read in place.
  func experts(_ name: String, count: Int, _ shape: [Int]) -> Tensor {
    take(name, [count] + shape, .experts)
  }

  /// A matrix [out, in] that is never stored in fewer bits than in the source, read in place.
  func preciseMatrix(_ name: String, _ shape: [Int]) -> Tensor { take(name, shape, .vector) }

  /// A small tensor in f32, converted once if it is stored in another type.
  ///
  /// - Parameter change: makes the values that the model computes with of those that are stored.
  func vector(
    _ name: String, _ shape: [Int], _ change: (Tensor) -> Tensor = { $0 }
  ) -> Tensor {
    let tensor = take(name, shape, .vector)
    guard list.tensors != nil else { return tensor }
    guard let numbers = tensor.converted(to: .f32) else {
      preconditionFailure("\(name) was checked to be floating-point")
    }
    return change(numbers)
  }

  /// The matrix `<name>.weight`, [out, in], and `<name>.bias`, [out], if there is one.
  func projection(_ name: String, out: Int, in width: Int, hasBias: Bool = false) -> Projection {
    Projection(
      weight: matrix(name + ".weight", [out, width]),
      bias: hasBias ? vector(name + ".bias", [out]) : nil)
  }

  /// The RMS norm of the tensor `<name>.weight`, [width].
  ///
  /// - Parameter addsOne: whether the factors are 1 + the stored ones.
  func rmsNorm(_ name: String, _ width: Int, epsilon: Double, addsOne: Bool = false) -> Norm {
    .rms(
      weight: vector(name + ".weight", [width]) { addsOne ? plusOne($0) : $0 },
      epsilon: Float(epsilon))
  }

  /// The layer norm of the tensors `<name>.weight` and `<name>.bias`, [width] each.
  func layerNorm(_ name: String, _ width: Int, epsilon: Double) -> Norm {
    .layer(
      weight: vector(name + ".weight", [width]), bias: vector(name + ".bias", [width]),
      epsilon: Float(epsilon))
  }

  /// The rows of the tokens, [V, D].
  func embedding(_ vocabularySize: Int, _ width: Int) -> Tensor {
    matrix(TiedPair.usual.embedding, [vocabularySize, width])
  }

  /// The output head, [V, D].
  ///
  /// - Parameter embedding: the embedding if the two are tied, which are then one tensor.
  func head(_ vocabularySize: Int, _ width: Int, tiedTo embedding: Tensor?) -> Tensor {
    embedding ?? matrix(TiedPair.usual.head, [vocabularySize, width])
  }

  private func take(_ name: String, _ shape: [Int], _ kind: WeightSpec.Kind) -> Tensor {
    let name = prefix + name
    list.specs.append(WeightSpec(name, shape, kind))
    guard let tensors = list.tensors else { return Tensor(zeros: [0]) }
    guard let tensor = tensors[ExactString(name)] else { preconditionFailure("no weight \(name)") }
    return tensor
  }

  // MARK: Loading

  /// The weights of a store, in place.
  ///
  /// - Parameter specs: all that will be asked for.
  /// - Throws: `model.tensor-missing`, `model.tensor-unexpected`, `model.shape`, `model.dtype`.
  init(_ store: ModelStore, _ specs: [WeightSpec]) throws(Refusal) {
    let missing = specs.filter { !store.hasTensor($0.name) }.map(\.name)
    guard missing.isEmpty else {
      throw Refusal(
        .modelTensorMissing, found: "no \(missing.joined(separator: ", "))",
        expected: counted(specs.count, "tensor"))
    }
    let known = Set(specs.map { ExactString($0.name) })
    let unexpected = store.tensors.map(\.name).filter { !known.contains(ExactString($0)) }
    guard unexpected.isEmpty else {
      throw Refusal(
        .modelTensorUnexpected, found: unexpected.joined(separator: ", "),
        expected: "\(counted(specs.count, "tensor")) of the architecture")
    }
    var tensors: [ExactString: Tensor] = [:]
    for spec in specs { tensors[ExactString(spec.name)] = try Self.tensor(spec, of: store) }
    self.init(List(tensors), prefix: "")
  }

  private static func tensor(
    _ spec: WeightSpec, of store: ModelStore
  ) throws(Refusal) -> Tensor {
    let tensor = try store.tensor(spec.name)
    guard tensor.shape == spec.shape else {
      throw Refusal(
        .modelShape, at: .tensor(spec.name), found: "\(tensor.shape)", expected: "\(spec.shape)")
    }
    let types: [DataType] = [.f32, .bf16, .f16] + (spec.kind == .vector ? [] : DataType.blockTypes)
    guard types.contains(tensor.dataType) else {
      throw Refusal(
        .modelDataType, at: .tensor(spec.name), found: tensor.dataType.rawValue,
        expected: types.map(\.rawValue).joined(separator: ", "))
    }
    return tensor
  }
}

/// 1 + x: the factors of zero-centred norms.
func plusOne(_ x: Tensor) -> Tensor {
  var y = x
  y.withMutableFloats { values in for i in values.indices { values[i] += 1 } }
  return y
}

/// -exp(x): decays are stored as logarithms.
func negativeExponential(_ x: Tensor) -> Tensor {
  var y = x
  Kernels.exp(&y)
  Kernels.scale(&y, by: -1)
  return y
}
