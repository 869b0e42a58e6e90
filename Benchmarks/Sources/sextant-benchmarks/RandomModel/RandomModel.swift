import Glibc
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A model of a published shape with random weights, as a store.
///
/// The numbers have the scales from which training starts, so that activations stay finite. The
/// same seed gives the same file. Stores of other types contain the numbers of the f32 store,
/// rounded. Blocks of types that numbers are not converted to have random bits, and scales that make
/// numbers of about that size.
struct RandomModel {
  let shape: PublishedShape
  let dataType: DataType
  let seed: UInt64

  /// The types of models.
  static let types: [DataType] = [.f32, .bf16, .f16] + DataType.blockTypes

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
        if tensor.dataType.isBlocks, !Kernels.writtenBlocks.contains(tensor.dataType) {
          var blocks = RandomBlocks(
            tensor.dataType, width: tensor.shape.last ?? 1, seed: seed &+ UInt64(place) << 32)
          for start in stride(from: 0, to: count, by: 1 << 20) {
            let piece = blocks.next(elements: min(1 << 20, count - start))
            try piece.span.bytes.withUnsafeBytes { bytes throws(Refusal) in try sink.append(bytes) }
          }
          return
        }
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

  /// As in conversion, small tensors and tensors without whole blocks keep their type. As llama.cpp's
  /// quantiser does, rows that are no multiple of 256 get blocks of 32 with one bit more.
  private func storedType(of spec: WeightSpec) -> DataType {
    guard dataType.isBlocks else { return dataType }
    guard spec.kind == .experts || (spec.kind == .matrix && spec.shape.count == 2) else {
      return .f32
    }
    let types = [dataType] + (dataType == .q4k ? [.q5v0] : [])
    return types.first { $0.byteCount(shape: spec.shape) != nil } ?? .f32
  }
}

/// Blocks of random bits.
private struct RandomBlocks {
  private let type: DataType
  private let scale: Float
  private var numbers: SeededRandom

  init(_ type: DataType, width: Int, seed: UInt64) {
    self.type = type
    numbers = SeededRandom(seed: seed)
    // The integers have a standard deviation of a quarter of their range, and those of types with 256
    // elements are multiplied by scales of 6 or 8 bits.
    let range: Float =
      switch type {
      case .q4v0, .q4v1: 8
      case .q5v0, .q5v1: 16
      case .q4k: 8 * 36
      case .q5k: 16 * 36
      default: 32 * 74
      }
    scale = 1 / (range * sqrtf(Float(width)))
  }

  mutating func next(elements: Int) -> [UInt8] {
    var bytes = (0..<type.byteCount(elements: elements)).map { _ in
      UInt8(truncatingIfNeeded: numbers.next() >> 32)
    }
    for block in stride(from: 0, to: bytes.count, by: type.byteWidth) {
      let own = type == .q6k ? block + 208 : block
      set(&bytes, own, scale * (0.75 + 0.5 * numbers.uniform()))
      switch type {
      case .q4v1: set(&bytes, block + 2, -7.5 * scale)
      case .q5v1: set(&bytes, block + 2, -15.5 * scale)
      case .q4k: set(&bytes, block + 2, 7.5 * scale)
      case .q5k: set(&bytes, block + 2, 15.5 * scale)
      default: break
      }
    }
    return bytes
  }

  private func set(_ bytes: inout [UInt8], _ place: Int, _ value: Float) {
    let bits = Float16(value).bitPattern
    (bytes[place], bytes[place + 1]) = (UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8))
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
