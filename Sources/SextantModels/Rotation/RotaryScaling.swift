import Glibc
import SextantBytes

extension RotaryEmbedding {
  /// How frequencies were changed for longer texts. The kinds and their numbers are those of
  /// transformers.
  enum Scaling: Sendable, Equatable {
    /// No scaling.
    case none
    /// All are divided by a factor.
    case linear(factor: Double)
    /// The base grows with the length of the text, if that is above `length` (NTK).
    case dynamic(factor: Double, length: Double)
    /// Slow ones are divided by a factor, fast ones are not, and there is a ramp between them:
    /// wavelengths in relation to the length of the texts that the model was first trained on, as
    /// Llama 3.1.
    case llama3(factor: Double, low: Double, high: Double, length: Double)
    /// The ramp is over channels (arXiv 2309.00071).
    case yarn(YaRN)
    /// Each pair of channels has a factor of its own (arXiv 2402.13753).
    case longrope(LongRoPE)

    /// The numbers of YaRN.
    struct YaRN: Sendable, Equatable {
      var factor: Double
      /// The length of the texts that the model was first trained on.
      var length: Double
      /// The factor of cosines and sines.
      var attentionFactor: Double
      /// Channels that turn more often than this in `length` positions keep their frequency.
      var fast: Double
      /// Channels that turn less often than this are divided by the factor.
      var slow: Double
      /// Whether the ends of the ramp are whole channels.
      var truncates: Bool
    }

    /// The numbers of LongRoPE.
    struct LongRoPE: Sendable, Equatable {
      /// The divisors of frequencies in texts of at most `length` tokens, R numbers.
      var short: [Double]
      /// The same in longer texts.
      var long: [Double]
      /// The length of the texts that the model was first trained on.
      var length: Double
      /// The factor of cosines and sines.
      var attentionFactor: Double
    }

    /// The length above which frequencies depend on the length of the text; nil if they never do.
    var lengthLimit: Int? {
      switch self {
      case .dynamic(let factor, let length) where factor != 1:
        Int(exactly: length.rounded(.down))
      case .longrope(let numbers) where numbers.short != numbers.long:
        Int(exactly: numbers.length.rounded(.down))
      default: nil
      }
    }

    /// The factor of cosines and sines.
    var attentionFactor: Double {
      switch self {
      case .yarn(let numbers): numbers.attentionFactor
      case .longrope(let numbers): numbers.attentionFactor
      default: 1
      }
    }
  }
}

// MARK: Configuration

extension RotaryEmbedding.Scaling {
  static let lengthKey = "original_max_position_embeddings"
  private static let kinds =
    "\"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" or \"longrope\""

  /// The scaling as configurations spell it, with all numbers.
  var json: JSONValue {
    switch self {
    case .none: .null
    case .linear(let factor): ["rope_type": "linear", "factor": .number(factor)]
    case .dynamic(let factor, let length):
      ["rope_type": "dynamic", "factor": .number(factor), Self.lengthKey: .number(length)]
    case .llama3(let factor, let low, let high, let length):
      [
        "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": .number(low),
        "high_freq_factor": .number(high), Self.lengthKey: .number(length),
      ]
    case .yarn(let numbers):
      [
        "rope_type": "yarn", "factor": .number(numbers.factor),
        Self.lengthKey: .number(numbers.length),
        "attention_factor": .number(numbers.attentionFactor), "beta_fast": .number(numbers.fast),
        "beta_slow": .number(numbers.slow), "truncate": .boolean(numbers.truncates),
      ]
    case .longrope(let numbers):
      [
        "rope_type": "longrope", "short_factor": .array(numbers.short.map { .number($0) }),
        "long_factor": .array(numbers.long.map { .number($0) }),
        Self.lengthKey: .number(numbers.length),
        "attention_factor": .number(numbers.attentionFactor),
      ]
    }
  }

  /// The values of a scaling that may be elsewhere in a published configuration.
  struct Surroundings {
    /// The configuration. Where it has the length of the texts that the model was first trained on,
    /// that comes before the scaling's own.
    var configuration: JSONNode
    /// The length of the texts that the model is for.
    var contextLength: Double
  }

  /// Reads a scaling, of a canonical configuration or a published one.
  ///
  /// - Parameters:
  ///   - node: null for none.
  ///   - width: channels of a head that turn.
  ///   - surroundings: nil for a canonical configuration, whose scaling has all numbers.
  /// - Throws: `model.config`, `model.unsupported` for kinds that are not known.
  init(
    _ node: JSONNode?, width: Int, _ surroundings: Surroundings? = nil
  ) throws(Refusal) {
    self = .none
    guard let node else { return }
    for (_, member) in try node.members() {
      if case .object = member.value {
        throw member.unsupported(expected: "one rotation for all blocks")
      }
    }
    var type = try node.optionalMember("rope_type")
    if type == nil { type = try node.optionalMember("type") }
    func factor() throws(Refusal) -> Double { try node.positive("factor") }
    func length() throws(Refusal) -> Double {
      if let length = try surroundings?.configuration.optionalPositive(Self.lengthKey) {
        if try node.unnoted.optionalPositive(Self.lengthKey) == length {
          _ = try node.optionalMember(Self.lengthKey)
        }
        return length
      }
      if let length = try node.optionalPositive(Self.lengthKey) { return length }
      if let length = surroundings?.contextLength { return length }
      return try node.positive(Self.lengthKey)
    }
    switch try type?.string() {
    case nil, "default": break
    case "linear": self = .linear(factor: try factor())
    case "dynamic":
      guard width > 2 else {
        throw node.refusal(found: "\(width) rotated channels", expected: "at least 4")
      }
      // A published one has no other length than the model's own.
      if let length = surroundings?.contextLength {
        self = .dynamic(factor: try factor(), length: length)
      } else {
        self = .dynamic(factor: try factor(), length: try node.positive(Self.lengthKey))
      }
    case "llama3":
      let (low, high) = try (node.positive("low_freq_factor"), node.positive("high_freq_factor"))
      guard high > low else {
        throw node.refusal(
          found: "a low_freq_factor of \(low), a high_freq_factor of \(high)",
          expected: "the second above the first")
      }
      self = .llama3(factor: try factor(), low: low, high: high, length: try length())
    case "yarn":
      // transformers does not run one of an odd number of channels, either.
      guard width % 2 == 0 else {
        throw node.unsupported(found: "\(width) rotated channels", expected: "an even number")
      }
      self = .yarn(try YaRN(node, length: length(), surroundings?.contextLength))
    case "longrope":
      self = .longrope(
        try LongRoPE(node, pairs: (width + 1) / 2, length: length(), surroundings?.contextLength))
    default: if let type { throw type.unsupported(expected: Self.kinds) }
    }
  }
}

extension RotaryEmbedding.Scaling.YaRN {
  /// - Parameter contextLength: with `length` it makes the factor, if that is null.
  fileprivate init(
    _ node: JSONNode, length: Double, _ contextLength: Double?
  ) throws(Refusal) {
    let (object, stated) = (try node.object(), try node.optionalPositive("factor"))
    if let stated {
      factor = stated
    } else if object["factor"] == .null, let contextLength {
      factor = contextLength / length
    } else {
      factor = try node.positive("factor")
    }
    self.length = length
    // 0 stands for the default, too.
    let betas = try (
      node.optionalMember("beta_fast")?.number() ?? 0,
      node.optionalMember("beta_slow")?.number() ?? 0
    )
    (fast, slow) = (betas.0 == 0 ? 32 : betas.0, betas.1 == 0 ? 1 : betas.1)
    truncates = try node.optionalMember("truncate")?.boolean() ?? true
    let scale = try node.optionalMember("mscale")?.number() ?? 0
    let scaleOfAll = try node.optionalMember("mscale_all_dim")?.number() ?? 0
    if let stated = try node.optionalPositive("attention_factor") {
      attentionFactor = stated
    } else if scale != 0, scaleOfAll != 0 {
      attentionFactor = Self.magnitude(factor, scale) / Self.magnitude(factor, scaleOfAll)
    } else {
      attentionFactor = Self.magnitude(factor)
    }
    guard attentionFactor.isFinite, attentionFactor > 0, fast > 0, slow > 0 else {
      throw node.refusal(
        found: "an attention factor of \(attentionFactor), betas of \(fast) and \(slow)",
        expected: "positive numbers")
    }
  }

  /// The usual factor of cosines and sines.
  static func magnitude(_ factor: Double, _ scale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }

  /// The share of each pair's frequency that is divided by the factor, from 0 to 1.
  func ramp(pairs: Int, width: Int, base: Double) -> [Double] {
    func channel(turning turns: Double) -> Double {
      Double(width) * log(length / (turns * 2 * .pi)) / (2 * log(base))
    }
    var (first, last) = (channel(turning: fast), channel(turning: slow))
    if truncates { (first, last) = (first.rounded(.down), last.rounded(.up)) }
    (first, last) = (max(first, 0), min(last, Double(width - 1)))
    if first == last { last += 0.001 }
    return (0..<pairs).map { min(max((Double($0) - first) / (last - first), 0), 1) }
  }
}

extension RotaryEmbedding.Scaling.LongRoPE {
  /// - Parameters:
  ///   - pairs: pairs of channels, R.
  ///   - contextLength: with `length` it makes the factor, if there is none.
  fileprivate init(
    _ node: JSONNode, pairs: Int, length: Double, _ contextLength: Double?
  ) throws(Refusal) {
    func factors(_ key: String) throws(Refusal) -> [Double] {
      let member = try node.member(key)
      let elements = try member.elements()
      guard elements.count == pairs else {
        throw member.refusal(expected: "a number for each of the \(pairs) pairs of channels")
      }
      var numbers: [Double] = []
      for element in elements {
        let number = try element.number()
        guard number > 0 else { throw element.refusal(expected: "a positive number") }
        numbers.append(number)
      }
      return numbers
    }
    (short, long) = (try factors("short_factor"), try factors("long_factor"))
    self.length = length
    let factor = try node.optionalPositive("factor") ?? contextLength.map { $0 / length } ?? 1
    let usual = factor <= 1 || length <= 1 ? 1 : (1 + log(factor) / log(length)).squareRoot()
    attentionFactor = try node.optionalPositive("attention_factor") ?? usual
  }
}
