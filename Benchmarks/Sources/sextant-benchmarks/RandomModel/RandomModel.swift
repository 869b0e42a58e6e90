import Glibc
import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTensor

/// A model of a published shape with random weights, as a folder in Hugging Face layout.
///
/// The numbers have the scales that training starts from, so that activations stay finite. The same
/// seed gives the same file; the bf16 variant holds the f32 variant's numbers, rounded.
struct RandomModel {
  let shape: PublishedShape
  let dataType: DataType
  let seed: UInt64

  /// The folder of this model within `cache`.
  func folder(in cache: String) -> String {
    "\(cache)/\(shape.rawValue)-\(dataType.word)-\(seed)"
  }

  /// The folder of this model within `cache`, made now unless it is there.
  func make(in cache: String) throws -> String {
    let folder = folder(in: cache)
    let weights = folder + "/model.safetensors"
    if access(weights, R_OK) == 0 { return folder }
    for path in [cache, folder] { mkdir(path, 0o755) }
    let configuration = shape.configuration(dataType: dataType == .bf16 ? "bfloat16" : "float32")
    try FilePublisher.publish(
      Array(JSONValue.object(configuration).prettyText.utf8), to: folder + "/config.json",
      replacing: true)
    try writer(configuration).publish(to: weights, replacing: true)
    return folder
  }

  private func writer(_ configuration: JSONObject) throws -> SafetensorsWriter {
    let config = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    guard let architecture = Architectures.all.first(where: { $0.recognises(config) }) else {
      throw MeasurementFailure("no architecture for \(shape.rawValue)")
    }
    let canonical = try architecture.configuration(from: config, checkpoint: CheckpointShapes([]))
    let specs = try architecture.weights(canonical)
    let dialect = architecture.dialects[0]
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    for (place, spec) in specs.enumerated() {
      // transformers keeps a depthwise convolution as [E, 1, K].
      let isConvolution = spec.name.hasSuffix("conv1d.weight")
      try writer.add(
        dialect.source(spec.name).name, dataType,
        shape: isConvolution ? [spec.shape[0], 1, spec.shape[1]] : spec.shape,
        source: source(of: spec, seed: seed &+ UInt64(place) << 32))
    }
    return writer
  }

  /// Hands over the elements of a tensor in pieces of a million.
  private func source(of spec: WeightSpec, seed: UInt64) -> SafetensorsWriter.Source {
    let (count, dataType) = (spec.shape.reduce(1, *), dataType)
    return { sink throws(FormatError) in
      var generator = InitialValues(of: spec, seed: seed)
      for start in stride(from: 0, to: count, by: 1 << 20) {
        let values = (start..<min(start + 1 << 20, count)).map { _ in generator.next() }
        let piece = Tensor(values, shape: [values.count])
        guard let stored = piece.converted(to: dataType) else { return }
        try stored.withUnsafeBytes(sink)
      }
    }
  }
}

/// The values that training starts from, one after the other.
private struct InitialValues {
  private enum Rule {
    case ones
    /// Uniform from -bound to bound.
    case uniform(bound: Float)
    /// log(1), log(2), … along rows of this width: A of a state space, as published.
    case logarithms(width: Int)
    /// Where softplus gives step sizes from 0.001 to 0.1, uniform in the logarithm.
    case stepBias
  }

  private let rule: Rule
  private var numbers: RandomNumbers
  private var place = 0

  init(of spec: WeightSpec, seed: UInt64) {
    numbers = RandomNumbers(seed: seed)
    let width = spec.shape.last ?? 1
    let name = spec.name
    rule =
      if name.hasSuffix("norm.weight") || name.hasSuffix(".D") {
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
