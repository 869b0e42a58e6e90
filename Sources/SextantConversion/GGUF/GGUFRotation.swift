import SextantBytes
import SextantCheckpoints
import SextantModels

/// The declarations of a GGUF file on a rotation that was scaled for longer texts: metadata under
/// `<architecture>.rope`, and tensors of factors. They are converted from llama.cpp's meaning to
/// the terms of transformers.
struct GGUFRotation {
  private let description: GGUFDescription
  private let name: String
  private let base: Double
  private let width: Int

  /// The rotation of `width` channels of each head.
  init(_ description: GGUFDescription, _ name: String, base: Double, width: Int) {
    self.description = description
    self.name = name
    self.base = base
    self.width = width
  }

  /// The key of a scaling that the other keys and tensors have no exact words for.
  static let scalingKey = "sextant.rope_scaling"
  /// A factor for each pair of channels.
  static let factorsName = "rope_freqs.weight"
  /// The same in long and in short texts.
  static let (longName, shortName) = ("rope_factors_long.weight", "rope_factors_short.weight")

  /// Keys under `<architecture>.rope` that are read here or do not affect values.
  static let keys = [
    "dimension_count", "freq_base", "scale_linear", "scaling.type", "scaling.factor",
    "scaling.attn_factor", "scaling.original_context_length", "scaling.finetuned",
    "scaling.yarn_log_multiplier", "scaling.yarn_ext_factor", "scaling.yarn_attn_factor",
    "scaling.yarn_beta_fast", "scaling.yarn_beta_slow",
  ].map { "rope." + $0 }

  private func key(_ word: String) -> String { "\(name).rope.\(word)" }

  private func number(_ word: String) throws(Refusal) -> Double? {
    guard let value = try description.optionalNumber(key(word)) else { return nil }
    guard value > 0 else {
      throw description.refusal(key: key(word), expected: "a positive number")
    }
    return value
  }

  /// The scaling as a published configuration has it, or null.
  ///
  /// - Throws: `model.config`, `model.unsupported`.
  func scaling() throws(Refusal) -> JSONValue {
    let found = try scalingByNumbers()
    guard found != .null else { return .null }
    var named: JSONNode?
    if case .string(let text)? = description.file.values[Self.scalingKey] {
      named = try JSONNode(
        parsing: Array(text.utf8), code: .modelConfiguration, file: description.file.path)
    }
    return try RotaryFactors.scaling(found, named: named, base: base, width: width)
  }

  private func scalingByNumbers() throws(Refusal) -> JSONValue {
    var type = "linear"  // llama.cpp's default if the file names no type
    if description.file.values[key("scaling.type")] != nil {
      type = try description.string(key("scaling.type"))
    }
    var factor = try description.optionalNumber(key("scaling.factor"))
    if factor == nil { factor = try number("scale_linear") }  // the key of 2023
    // 0 means no factor; negative ones have no meaning.
    guard let factor, factor != 0, type != "none" else { return try scaling(type, by: 1) }
    guard factor > 0 else {
      throw description.refusal(key: key("scaling.factor"), expected: "a positive number")
    }
    return try scaling(type, by: factor)
  }

  private func scaling(_ type: String, by factor: Double) throws(Refusal) -> JSONValue {
    // The share of YaRN's ramp; below 0 it follows from the type.
    let share = try description.optionalNumber(key("scaling.yarn_ext_factor")) ?? -1
    guard share < 0 || share == (type == "yarn" ? 1 : 0) else {
      throw description.unsupported(
        key: key("scaling.yarn_ext_factor"),
        expected: "the value that belongs to the type of scaling")
    }
    if type == "longrope" { return try longRoPE(factor: factor) }
    if let factors = try self.factors(Self.factorsName) {
      guard type != "yarn" else {
        throw description.unsupported(
          "\(Self.factorsName) and YaRN", at: .key(key("scaling.type")),
          expected: "one scaling of the rotation")
      }
      let product = JSONValue.array(factors.map { .number($0 * factor) })
      return longRoPE(short: product, long: product, length: 1, attention: try attention())
    }
    switch type {
    case "none", "linear":
      guard try attention() == 1 else {
        throw description.unsupported(
          key: key("scaling.attn_factor"), expected: "1 for this type of scaling")
      }
      return factor == 1 ? .null : ["rope_type": "linear", "factor": .number(factor)]
    case "yarn": return try yarn(factor: factor)
    default:
      throw description.unsupported(
        key: key("scaling.type"), expected: "none, linear, yarn or longrope")
    }
  }

  /// The factor of cosines and sines.
  private func attention() throws(Refusal) -> Double { try number("scaling.attn_factor") ?? 1 }

  private func originalLength() throws(Refusal) -> Int64 {
    let words = [key("scaling.original_context_length"), "\(name).context_length"]
    for word in words {
      if let length = try description.optionalInteger(word), length > 0 { return length }
    }
    throw description.refusal(
      "no \(words[0])", at: .key(words[0]),
      expected: "the length of the first training's texts")
  }

  private func yarn(factor: Double) throws(Refusal) -> JSONValue {
    var attention = RotaryFactors.usualAttentionFactor(yarn: factor)
    if let multiplier = try number("scaling.yarn_log_multiplier"), factor > 1 {
      attention /= 1 + multiplier * (attention - 1)
    }
    return [
      "rope_type": "yarn", "factor": .number(factor),
      "original_max_position_embeddings": .integer(try originalLength()),
      "attention_factor": .number(try attention * self.attention()),
      "beta_fast": .number(try number("scaling.yarn_beta_fast") ?? 32),
      "beta_slow": .number(try number("scaling.yarn_beta_slow") ?? 1), "truncate": true,
    ]
  }

  private func longRoPE(factor: Double) throws(Refusal) -> JSONValue {
    guard let short = try factors(Self.shortName), let long = try factors(Self.longName) else {
      throw description.refusal(
        "a longrope without \(Self.shortName) and \(Self.longName)",
        at: .key(key("scaling.type")), expected: "both tensors")
    }
    func product(_ factors: [Double]) -> JSONValue { .array(factors.map { .number($0 * factor) }) }
    return longRoPE(
      short: product(short), long: product(long), length: try originalLength(),
      attention: try attention())
  }

  private func longRoPE(
    short: JSONValue, long: JSONValue, length: Int64, attention: Double
  ) -> JSONValue {
    [
      "rope_type": "longrope", "short_factor": short, "long_factor": long,
      "original_max_position_embeddings": .integer(length), "attention_factor": .number(attention),
    ]
  }

  /// The numbers of a tensor of factors, or nil if there is none.
  private func factors(_ tensorName: String) throws(Refusal) -> [Double]? {
    guard let tensor = description.file.tensor(named: tensorName) else { return nil }
    guard tensor.dataType == .f32, tensor.shape == [width / 2] else {
      throw description.refusal(
        "\(tensor.dataType.rawValue) \(tensor.shape)", at: .tensor(tensorName),
        expected: "F32 [\(width / 2)]")
    }
    let bytes = try description.file.bytes(of: tensor)
    let values = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    guard values.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw description.refusal(
        "a factor that is not a positive number", at: .tensor(tensorName),
        expected: "positive numbers")
    }
    // In their shortest decimal form, as other numbers of 32 bits.
    return values.map { Double("\($0)") ?? Double($0) }
  }
}
