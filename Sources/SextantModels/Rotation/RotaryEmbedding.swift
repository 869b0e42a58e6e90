import Glibc
import SextantBytes
import SextantTensor

/// Rotary position embedding (arXiv 2104.09864): which channels of a head turn, and how fast.
///
/// Channel pair c of R rotates by position · frequency c. Frequency c is base^(-2 c / width),
/// changed if the model was trained further for longer texts. Angles are computed in double
/// precision.
struct RotaryEmbedding: Sendable, Equatable {
  /// The base of the frequencies, "theta".
  var base = 10_000.0
  /// The number of channels of a head that rotate, from the first on. If it is odd, one more
  /// rotates.
  var width = 0
  /// How frequencies were changed.
  var scaling = Scaling.none

  /// Pairs of channels that turn, R.
  var pairCount: Int { (width + 1) / 2 }

  // MARK: Configuration

  /// The members of a canonical configuration.
  var members: [(String, JSONValue)] {
    [
      ("rope_theta", .number(base)), ("rotary_dim", .integer(Int64(width))),
      ("rope_scaling", scaling.json),
    ]
  }

  /// The members of a family's published configurations for a rotation, in addition to
  /// `rope_parameters`.
  struct Spelling {
    /// The key of the base.
    var base = "rope_theta"
    /// The key of the rotated part of each head.
    var part = "partial_rotary_factor"
    /// The default part; nil for families that always rotate the whole head.
    var usualPart: Double?
    /// The default base.
    var usualBase = 10_000.0
  }

  /// The members of a published `config.json`: the spelling of transformers 5, and the older one.
  ///
  /// - Parameter headWidth: given if only a part of each head rotates.
  func publishedMembers(headWidth: Int? = nil) -> [(String, JSONValue)] {
    let (parameters, scaling) = publishedParameters(headWidth: headWidth)
    return [
      ("rope_parameters", .object(parameters)), ("rope_theta", .number(base)),
      ("rope_scaling", scaling),
    ]
  }

  /// The members of `rope_parameters` and those of `rope_scaling`.
  fileprivate func publishedParameters(
    headWidth: Int? = nil
  ) -> (parameters: JSONObject, scaling: JSONValue) {
    var parameters = JSONObject([("rope_type", "default")])
    var scaling = scaling.json
    if case .object(var object) = scaling {
      // A number of positions: transformers expects an integer.
      if case .number(let length)? = object[Scaling.lengthKey], let whole = Int64(exactly: length) {
        object[Scaling.lengthKey] = .integer(whole)
      }
      // Here it is the model's own length.
      if object["rope_type"] == "dynamic" { object[Scaling.lengthKey] = nil }
      scaling = .object(object)
      for (key, value) in object.members { parameters[key] = value }
    }
    parameters["rope_theta"] = .number(base)
    if let headWidth {
      parameters["partial_rotary_factor"] = .number(part(ofHead: headWidth))
    }
    return (parameters, scaling)
  }

  /// The part of a head that rotates, so that readers compute the same number of channels.
  func part(ofHead headWidth: Int) -> Double {
    let part = Double(width) / Double(headWidth)
    return Int(part * Double(headWidth)) < width ? part.nextUp : part
  }

  /// An embedding without a rotation.
  init() {}

  /// An embedding of these numbers.
  init(base: Double, width: Int, scaling: Scaling) {
    (self.base, self.width, self.scaling) = (base, width, scaling)
  }

  /// Reads `members` of a canonical configuration.
  init(canonical node: JSONNode) throws(Refusal) {
    base = try node.positive("rope_theta")
    width = try node.member("rotary_dim").integer(in: 0...Kernels.widestHead)
    scaling = try Scaling(node.optionalMember("rope_scaling"), width: width)
    try check(node)
  }

  /// Reads a published `config.json` as transformers does.
  ///
  /// Members of `rope_parameters` come before the configuration's own, and a `rope_scaling` that has
  /// members replaces `rope_parameters` as a whole.
  ///
  /// - Parameters:
  ///   - headWidth: channels of a head.
  ///   - contextLength: the length of the texts that the model is for.
  /// - Throws: `model.config`, `model.unsupported`.
  init(
    published config: JSONNode, headWidth: Int, contextLength: Int, _ spelling: Spelling
  ) throws(Refusal) {
    let (scaling, parameters) = ("rope_scaling", "rope_parameters")
    let used = try Self.hasMembers(config, scaling) ? scaling : parameters
    let sizes = (headWidth, contextLength)
    try self.init(config, config.optionalMember(used), sizes, spelling)
    guard used == scaling else { return }
    // Files for old and new readers have both; members that occur twice need no note.
    let quiet = config.unnoted
    let other = try? RotaryEmbedding(quiet, quiet.optionalMember(parameters), sizes, spelling)
    if other == self { try config.noteAll(of: parameters) }
  }

  /// Reads the rotation of the blocks of one kind, in a published `config.json` with a rotation for
  /// each kind. Older files have no `rope_parameters`.
  ///
  /// - Parameter isScaled: whether the `rope_scaling` of such a file applies to this kind.
  /// - Throws: `model.config`, `model.unsupported`.
  init(
    published config: JSONNode, ofBlocks kind: String, isScaled: Bool, headWidth: Int,
    contextLength: Int, _ spelling: Spelling
  ) throws(Refusal) {
    let sizes = (headWidth, contextLength)
    let own = try config.optionalMember("rope_parameters")?.optionalMember(kind)
    let hasScaling = isScaled ? try Self.hasMembers(config, "rope_scaling") : false
    let used = hasScaling ? try config.optionalMember("rope_scaling") : own
    try self.init(config, used, sizes, spelling)
    guard hasScaling, own != nil else { return }
    // Files for old and new readers have both; members that occur twice need no note.
    let quiet = config.unnoted
    let other = try? RotaryEmbedding(
      quiet, quiet.optionalMember("rope_parameters")?.optionalMember(kind), sizes, spelling)
    if other == self { try config.optionalMember("rope_parameters")?.noteAll(of: kind) }
  }

  private static func hasMembers(_ config: JSONNode, _ key: String) throws(Refusal) -> Bool {
    guard let node = try config.unnoted.optionalMember(key) else { return false }
    return try !node.object().members.isEmpty
  }

  /// - Parameter parameters: the object with the rotation's own members.
  private init(
    _ config: JSONNode, _ parameters: JSONNode?, _ sizes: (headWidth: Int, contextLength: Int),
    _ spelling: Spelling
  ) throws(Refusal) {
    /// The first of a number's spellings; others with the same value are noted as read.
    func number(_ inner: String, _ outer: String) throws(Refusal) -> Double? {
      var value = try parameters?.optionalMember(inner)?.number()
      if value == nil { value = try config.optionalMember(outer)?.number() }
      for key in [outer, inner] where try config.unnoted.optionalMember(key)?.number() == value {
        _ = try config.optionalMember(key)
      }
      return value
    }
    base = try number("rope_theta", spelling.base) ?? spelling.usualBase
    let hasKind = try Self.hasKind(parameters)
    if let usual = spelling.usualPart {
      let part = try number("partial_rotary_factor", spelling.part) ?? usual
      guard part >= 0, part <= 1 else {
        throw config.refusal(found: "\(part) of each head rotated", expected: "between 0 and 1")
      }
      width = Int(Double(sizes.headWidth) * part)
    } else {
      width = sizes.headWidth
      let quiet = (config.unnoted, parameters?.unnoted)
      let key = "partial_rotary_factor"
      var part = try quiet.1?.optionalMember(key)
      if part == nil { part = try quiet.0.optionalMember(spelling.part) }
      // transformers has no such model, either: its frequencies do not fit the heads.
      if hasKind, let part, try part.number() != 1 {
        throw part.unsupported(expected: "the whole head rotated, because the rotation is scaled")
      }
    }
    scaling = try Scaling(
      parameters, width: width,
      .init(configuration: config, contextLength: Double(sizes.contextLength)))
    try check(config)
  }

  /// Whether a rotation is of another kind than the default.
  private static func hasKind(_ parameters: JSONNode?) throws(Refusal) -> Bool {
    guard let quiet = parameters?.unnoted else { return false }
    var kind = try quiet.optionalMember("rope_type")
    if kind == nil { kind = try quiet.optionalMember("type") }
    return kind != nil && kind?.value != "default"
  }

  private func check(_ node: JSONNode) throws(Refusal) {
    guard base > 0 else {
      throw node.refusal(found: "a rotation of base \(base)", expected: "a positive number")
    }
    if case .yarn = scaling, base <= 1 {
      throw node.refusal(found: "a rotation of base \(base)", expected: "a base above 1")
    }
  }

  // MARK: Angles

  /// The frequency of each pair of channels, R of them, in radians for each position.
  ///
  /// - Parameter textLength: tokens of the whole text, which some scalings depend on.
  func frequencies(textLength: Int) -> [Double] {
    let width = Double(width)
    func plain(_ base: Double) -> [Double] {
      (0..<pairCount).map { pow(base, -2 * Double($0) / width) }
    }
    switch scaling {
    case .none: return plain(base)
    case .linear(let factor): return plain(base).map { $0 / factor }
    case .dynamic(let factor, let length):
      let ratio = max(Double(textLength), length) / length
      return plain(base * pow(factor * ratio - (factor - 1), width / (width - 2)))
    case .llama3(let factor, let low, let high, let length):
      return plain(base).map { frequency in
        // How many wavelengths fit into the length: few for slow frequencies.
        let wavelengths = length * frequency / (2 * Double.pi)
        if wavelengths < low { return frequency / factor }
        if wavelengths > high { return frequency }
        let ramp = (wavelengths - low) / (high - low)
        return (1 - ramp) * frequency / factor + ramp * frequency
      }
    case .yarn(let numbers):
      let ramp = numbers.ramp(pairs: pairCount, width: self.width, base: base)
      return zip(plain(base), ramp).map { frequency, share in
        frequency / numbers.factor * share + frequency * (1 - share)
      }
    case .longrope(let numbers):
      let factors = Double(textLength) > numbers.length ? numbers.long : numbers.short
      return zip(plain(base), factors).map { $0 / $1 }
    }
  }

  /// Cosines and sines at some positions, each [T, R]; nil if nothing rotates.
  ///
  /// - Parameters:
  ///   - positions: T of them.
  ///   - textLength: tokens of the whole text, which some scalings depend on.
  func angles(
    _ positions: Range<Int>, textLength: Int
  ) -> (cosines: Tensor, sines: Tensor)? {
    guard pairCount > 0 else { return nil }
    let frequencies = frequencies(textLength: textLength)
    let angles = positions.flatMap { position in frequencies.map { Double(position) * $0 } }
    let (shape, scale) = ([positions.count, frequencies.count], scaling.attentionFactor)
    return (
      Tensor(angles.map { Float(scale * cos($0)) }, shape: shape),
      Tensor(angles.map { Float(scale * sin($0)) }, shape: shape)
    )
  }
}

extension ConfigurationForm.Member {
  /// A rotary embedding in the published form.
  ///
  /// - Parameters:
  ///   - headWidth: channels of a head.
  ///   - contextLength: the length of the texts that the model is for.
  static func publishedRotary(
    _ path: WritableKeyPath<C, RotaryEmbedding>, headWidth: KeyPath<C, Int>,
    contextLength: KeyPath<C, Int>,
    _ spelling: RotaryEmbedding.Spelling = .init()
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = try RotaryEmbedding(
        published: node, headWidth: configuration[keyPath: headWidth],
        contextLength: configuration[keyPath: contextLength], spelling)
    } write: {
      $0[keyPath: path].publishedMembers(
        headWidth: spelling.usualPart == nil ? nil : $0[keyPath: headWidth])
    }
  }

  /// The same, of the heads and the length of a decoder.
  static func publishedRotary(_ path: WritableKeyPath<C, RotaryEmbedding>) -> Self
  where C: DecoderConfiguration {
    .publishedRotary(
      path, headWidth: \.decoder.headWidth, contextLength: \.decoder.contextLength)
  }

  /// A rotary embedding in the canonical form.
  static func rotary(_ path: WritableKeyPath<C, RotaryEmbedding>) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = try RotaryEmbedding(canonical: node)
    } write: {
      $0[keyPath: path].members
    }
  }

  /// The rotations of blocks with attention to all positions and of those with a window, which may
  /// differ, in the published form.
  ///
  /// - Parameters:
  ///   - windows: the rotation in blocks with a window. The `rope_scaling` of older files does not
  ///     apply to it.
  ///   - windowBase: the key of its base in older files, and the default.
  static func publishedRotaries(
    _ path: WritableKeyPath<C, RotaryEmbedding>, windows: WritableKeyPath<C, RotaryEmbedding>,
    headWidth: KeyPath<C, Int>, contextLength: KeyPath<C, Int>, usualBase: Double,
    windowBase: (key: String, usual: Double)
  ) -> Self {
    let kinds = ("full_attention", "sliding_attention")
    return Self { node, configuration throws(Refusal) in
      let sizes = (configuration[keyPath: headWidth], configuration[keyPath: contextLength])
      configuration[keyPath: path] = try RotaryEmbedding(
        published: node, ofBlocks: kinds.0, isScaled: true, headWidth: sizes.0,
        contextLength: sizes.1, .init(usualBase: usualBase))
      configuration[keyPath: windows] = try RotaryEmbedding(
        published: node, ofBlocks: kinds.1, isScaled: false, headWidth: sizes.0,
        contextLength: sizes.1, .init(base: windowBase.key, usualBase: windowBase.usual))
    } write: {
      let (rotary, windowRotary) = ($0[keyPath: path], $0[keyPath: windows])
      let (parameters, scaling) = rotary.publishedParameters()
      let both = JSONObject([
        (kinds.0, .object(parameters)), (kinds.1, .object(windowRotary.publishedParameters().0)),
      ])
      var members: [(String, JSONValue)] = [
        ("rope_parameters", .object(both)), ("rope_theta", .number(rotary.base)),
        ("rope_scaling", scaling),
      ]
      if windowBase.key != "rope_theta" {
        members.append((windowBase.key, .number(windowRotary.base)))
      }
      return members
    }
  }
}
