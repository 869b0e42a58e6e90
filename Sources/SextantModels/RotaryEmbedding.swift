import Glibc
import SextantBytes
import SextantTensor

/// Rotary position embedding (arXiv 2104.09864): which channels of a head turn, and how fast.
///
/// Channel pair c of R turns by position · frequency c; frequency c is base^(-c / R), changed where the
/// model was trained further for longer texts. Angles are computed in double precision.
struct RotaryEmbedding: Sendable, Equatable {
  /// How frequencies were changed for longer texts.
  enum Scaling: Sendable, Equatable {
    /// Not.
    case none
    /// All divided by a factor.
    case linear(factor: Double)
    /// Slow ones divided by a factor, fast ones not, and a ramp between them: wavelengths in relation
    /// to the length of the texts that the model was first trained on, as Llama 3.1.
    case llama3(factor: Double, low: Double, high: Double, length: Double)
  }

  /// The base of the frequencies, "theta".
  var base = 10_000.0
  /// Channels of a head that turn, 2 R; the others stay.
  var width = 0
  /// How frequencies were changed.
  var scaling = Scaling.none

  // MARK: Configuration

  /// The members of a canonical configuration.
  var members: [(String, JSONValue)] {
    [
      ("rope_theta", .number(base)), ("rotary_dim", .integer(Int64(width))),
      ("rope_scaling", scalingJSON),
    ]
  }

  /// The members of a published `config.json`: the spelling of transformers 5, and the older one.
  ///
  /// - Parameter headWidth: given where only a part of each head turns.
  func publishedMembers(headWidth: Int? = nil) -> [(String, JSONValue)] {
    var parameters = JSONObject([("rope_type", "default")])
    var scaling = scalingJSON
    if case .object(var object) = scaling {
      // A number of positions: transformers wants an integer.
      let key = "original_max_position_embeddings"
      if case .number(let length)? = object[key], let whole = Int64(exactly: length) {
        object[key] = .integer(whole)
      }
      scaling = .object(object)
      for (key, value) in object.members { parameters[key] = value }
    }
    parameters["rope_theta"] = .number(base)
    if let headWidth {
      parameters["partial_rotary_factor"] = .number(Double(width) / Double(headWidth))
    }
    return [
      ("rope_parameters", .object(parameters)), ("rope_theta", .number(base)),
      ("rope_scaling", scaling),
    ]
  }

  /// The scaling as configurations spell it.
  var scalingJSON: JSONValue {
    switch scaling {
    case .none: .null
    case .linear(let factor): ["rope_type": "linear", "factor": .number(factor)]
    case .llama3(let factor, let low, let high, let length):
      [
        "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": .number(low),
        "high_freq_factor": .number(high), "original_max_position_embeddings": .number(length),
      ]
    }
  }

  /// An embedding that turns nothing.
  init() {}

  /// An embedding of these numbers.
  init(base: Double, width: Int, scaling: Scaling) {
    (self.base, self.width, self.scaling) = (base, width, scaling)
  }

  /// Reads `members` of a canonical configuration.
  init(canonical node: JSONNode) throws(FormatError) {
    base = try node.member("rope_theta").number()
    width = try node.member("rotary_dim").integer(in: 2...Kernels.widestHead)
    scaling = try Self.scaling(node.optionalMember("rope_scaling"))
    try check(node)
  }

  /// Reads a published `config.json`: `rope_parameters`, or the older spelling with `rope_scaling` and
  /// members of the configuration itself.
  ///
  /// - Parameters:
  ///   - headWidth: channels of a head.
  ///   - fraction: the part of them that turns where the configuration does not say.
  ///   - olderNames: names of base and fraction beside the usual ones.
  /// - Throws: `model.config`, also for the kinds that depend on the length of the text.
  init(
    published config: JSONNode, headWidth: Int, fraction: Double = 1,
    olderNames: (base: String, fraction: String)
  ) throws(FormatError) {
    let parameters = try config.optionalMember("rope_parameters")
    let places = [parameters, config].compactMap { $0 }
    func number(_ names: String...) throws(FormatError) -> Double? {
      for place in places {
        for name in names {
          if let member = try place.optionalMember(name) { return try member.number() }
        }
      }
      return nil
    }
    base = try number("rope_theta", olderNames.base) ?? 10_000
    let part = try number("partial_rotary_factor", olderNames.fraction) ?? fraction
    guard part > 0, part <= 1 else {
      throw config.refusal(found: "\(part) of each head rotated", expected: "between 0 and 1")
    }
    width = Int(Double(headWidth) * part)
    let older = try config.optionalMember("rope_scaling")
    scaling = try Self.scaling(parameters ?? older)
    try check(config)
  }

  /// Reads a scaling.
  static func scaling(_ node: JSONNode?) throws(FormatError) -> Scaling {
    guard let node else { return .none }
    for (_, member) in try node.members() {
      if case .object = member.value {
        throw member.refusal(expected: "one rotation for all blocks")
      }
    }
    let (newer, older) = (try node.optionalMember("rope_type"), try node.optionalMember("type"))
    guard let type = newer ?? older else { return .none }
    switch try type.string() {
    case "default": return .none
    case "linear": return .linear(factor: try node.member("factor").number())
    case "llama3":
      return .llama3(
        factor: try node.member("factor").number(),
        low: try node.member("low_freq_factor").number(),
        high: try node.member("high_freq_factor").number(),
        length: try node.member("original_max_position_embeddings").number())
    default: throw type.refusal(expected: "\"default\", \"linear\" or \"llama3\"")
    }
  }

  private func check(_ node: JSONNode) throws(FormatError) {
    guard width >= 2, width % 2 == 0 else {
      throw node.refusal(found: "\(width) rotated channels", expected: "an even number")
    }
    let isPossible =
      switch scaling {
      case .none: true
      case .linear(let factor): factor > 0
      case .llama3(let factor, let low, let high, let length):
        factor > 0 && low > 0 && high > low && length > 0
      }
    guard base > 0, isPossible else {
      throw node.refusal(
        found: "a rotation of base \(base), \(scaling)", expected: "positive numbers")
    }
  }

  // MARK: Angles

  /// The frequency of each pair of channels, R of them, in radians for each position.
  var frequencies: [Double] {
    (0..<width / 2).map { pair in
      let frequency = pow(base, -2 * Double(pair) / Double(width))
      switch scaling {
      case .none: return frequency
      case .linear(let factor): return frequency / factor
      case .llama3(let factor, let low, let high, let length):
        // How many wavelengths fit into the length: few for slow frequencies.
        let wavelengths = length * frequency / (2 * Double.pi)
        if wavelengths < low { return frequency / factor }
        if wavelengths > high { return frequency }
        let ramp = (wavelengths - low) / (high - low)
        return (1 - ramp) * frequency / factor + ramp * frequency
      }
    }
  }

  /// Cosines and sines at some positions, each [T, R].
  func angles(_ positions: Range<Int>) -> (cosines: Tensor, sines: Tensor) {
    let frequencies = frequencies
    let angles = positions.flatMap { position in frequencies.map { Double(position) * $0 } }
    let shape = [positions.count, frequencies.count]
    return (
      Tensor(angles.map { Float(cos($0)) }, shape: shape),
      Tensor(angles.map { Float(sin($0)) }, shape: shape)
    )
  }
}

extension ConfigurationForm.Member {
  /// A rotary embedding in the canonical form.
  static func rotary(_ path: WritableKeyPath<C, RotaryEmbedding>) -> Self {
    Self { node, configuration throws(FormatError) in
      configuration[keyPath: path] = try RotaryEmbedding(canonical: node)
    } write: {
      $0[keyPath: path].members
    }
  }
}
