import Glibc
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A model of a published shape with random weights, as a store.
///
/// The numbers have the scales from which training starts, so that activations stay finite. The
/// same seed gives the same file. Stores of other types contain the numbers of the f32 store,
/// rounded.
struct RandomModel {
  let shape: PublishedShape
  let dataType: DataType
  let seed: UInt64

  var name: String { "\(shape.rawValue)-\(dataType.word)" }

  /// The store in `cache`. It is made if it does not exist.
  func make(in cache: String) throws -> String {
    let path = "\(cache)/\(name)-\(seed).sxt"
    if access(path, R_OK) == 0 { return path }
    mkdir(cache, 0o755)
    let (architecture, configuration) = try shape.model()
    let specs = try architecture.weights(configuration)
    let plan = specs.map {
      PlannedTensor(name: $0.name, dataType: storedType(of: $0), shape: $0.shape)
    }
    let writer = try StoreWriter(
      destination: path, architecture: architecture.name, configuration: configuration,
      tensors: plan)
    for tensor in writer.tensors {
      guard let place = specs.firstIndex(where: { $0.name == tensor.name }) else { continue }
      var values = InitialValues(of: specs[place], seed: seed &+ UInt64(place) << 32)
      let count = tensor.shape.reduce(1, *)
      try writer.write(tensor.name) { sink throws(Refusal) in
        for start in stride(from: 0, to: count, by: 1 << 20) {
          let piece = (start..<min(start + 1 << 20, count)).map { _ in values.next() }
          guard
            let stored = Tensor(piece, shape: [1, piece.count]).converted(to: tensor.dataType)
          else { return }
          try stored.withUnsafeBytes { bytes throws(Refusal) in try sink.append(bytes) }
        }
      }
    }
    _ = try writer.finish()
    return path
  }

  /// As in conversion, small tensors and tensors without whole blocks keep their type.
  private func storedType(of spec: WeightSpec) -> DataType {
    guard dataType == .q8 else { return dataType }
    let width = spec.shape.last ?? 1
    let hasBlocks = spec.shape.count > 1 && width.isMultiple(of: dataType.blockLength)
    return spec.kind != .vector && hasBlocks ? .q8 : .f32
  }
}

/// The initial values of training, one after the other.
private struct InitialValues {
  private enum Rule {
    case ones
    /// Uniform from -bound to bound.
    case uniform(bound: Float)
    /// log(1), log(2), … along rows of this width: A of a state space, as published.
    case logarithms(width: Int)
    /// Values for which softplus gives step sizes from 0.001 to 0.1, uniform in the logarithm.
    case stepBias
  }

  private let rule: Rule
  private var numbers: SeededRandom
  private var place = 0

  init(of spec: WeightSpec, seed: UInt64) {
    numbers = SeededRandom(seed: seed)
    let width = spec.shape.last ?? 1
    let name = spec.name
    rule =
      if name.hasSuffix(".weight") && spec.kind == .vector && !name.contains("conv1d")
        && !name.hasSuffix("router.weight")
        || name.hasSuffix(".D")
      {
        .ones
      } else if name.hasSuffix("A_log") {
        .logarithms(width: width)
      } else if name.hasSuffix("dt_proj.bias") || name.hasSuffix("dt_bias") {
        .stepBias
      } else if name.hasSuffix("embedding.weight") {
        .uniform(bound: 0.1 * sqrtf(3))  // standard deviation 0.1
      } else if name.hasSuffix("bias") {
        .uniform(bound: 0.1)
      } else {
        .uniform(bound: 1 / sqrtf(Float(width)))
      }
  }

  mutating func next() -> Float {
    defer { place += 1 }
    switch rule {
    case .ones: return 1
    case .uniform(let bound): return bound * (2 * numbers.uniform() - 1)
    case .logarithms(let width): return logf(Float(place % width + 1))
    case .stepBias:
      let step = expf(logf(1e-3) + numbers.uniform() * (logf(1e-1) - logf(1e-3)))
      return step + logf(-expm1f(-step))
    }
  }
}
