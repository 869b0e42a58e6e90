import SextantBytes
import SextantCheckpoints
import SextantModels

extension GGUFFamily {
  /// The metadata that describes a model, as `GGUFDescription` reads it.
  ///
  /// - Throws: `export.inexpressible` for features that llama.cpp does not support, `model.config`.
  func metadata(
    _ architecture: any Architecture.Type, _ configuration: JSONObject
  ) throws(Refusal) -> [(key: String, value: GGUFNewValue)] {
    let object = try architecture.published(configuration, dialect: "gguf")
    // The canonical configuration has the sizes that a published one leaves to the tensors.
    func member(_ key: String) throws(Refusal) -> JSONNode {
      let holder = object[key] == nil ? configuration : object
      return try JSONNode(.object(holder), code: .modelConfiguration, file: nil).member(key)
    }
    for (key, value) in fixed {
      let node = try member(key)
      guard node.value == value else {
        throw Refusal(
          .exportInexpressible, found: "\(key) \(node.value.canonicalText)",
          expected: "\(value.canonicalText), the only one that llama.cpp computes")
      }
    }
    var result: [(key: String, value: GGUFNewValue)] = [
      (GGUFDescription.architectureKey, .string(name)),
      ("\(name).vocab_size", .uint32(try Self.word(member("vocab_size")))),
    ]
    for (key, member) in constants { result.append(("\(name).\(key)", member)) }
    for (key, name) in optionalIntegers + integers {
      result.append(("\(self.name).\(key)", .uint32(try Self.word(member(name)))))
    }
    for (key, name) in numbers {
      result.append(("\(self.name).\(key)", .float32(Float(try member(name).number()))))
    }
    for (key, name) in booleans {
      result.append(("\(self.name).\(key)", .boolean(try member(name).boolean())))
    }
    switch special {
    case .none: try checkNothing(member)
    case .headsOfInnerWidth:
      let inner = try member("num_heads").integer() * member("head_dim").integer()
      result.append(("\(name).ssm.inner_size", .uint32(UInt32(clamping: inner))))
    case .rotation:
      let headWidth = try Self.word(member("head_dim"))
      for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        result.append(("\(name).\(key)", .uint32(headWidth)))
      }
      let keyHeads = try Self.word(member("num_key_value_heads"))
      result.append(("\(name).attention.head_count_kv", .uint32(keyHeads)))
      result += try rotation(configuration)
    case .partialRotation:
      let rotated = try Self.word(member("rotary_dim"))
      guard rotated % 2 == 0, rotated > 0 else {
        throw Self.inexpressible("\(rotated) rotated channels", expected: "an even number")
      }
      result.append(("\(name).rope.dimension_count", .uint32(rotated)))
      result += try rotation(configuration)
    }
    return result
  }

  /// The wrong results of llama.cpp for a model that it loads.
  ///
  /// - Throws: `model.config`.
  func warnings(
    _ architecture: any Architecture.Type, _ configuration: JSONObject
  ) throws(Refusal) -> [String] {
    guard let multiple else { return [] }
    let object = try architecture.published(configuration, dialect: "gguf")
    let size = try JSONNode(.object(object), code: .modelConfiguration, file: nil)
      .member(multiple.member).integer()
    guard size % multiple.of != 0 else { return [] }
    return [
      "llama.cpp computes wrong values for this model, without a warning: its \(name) is correct only "
        + "if \(multiple.member) is a multiple of \(multiple.of), and here it is \(size)"
    ]
  }

  private static func word(_ node: JSONNode) throws(Refusal) -> UInt32 {
    UInt32(try node.integer(in: 0...Int(UInt32.max)))
  }

  /// llama.cpp supports only one inner width of Mamba.
  private func checkNothing(
    _ member: (String) throws(Refusal) -> JSONNode
  ) throws(Refusal) {
    guard name == "mamba" else { return }
    let (width, inner) = try (
      member("hidden_size").integer(), member("intermediate_size").integer()
    )
    guard inner == 2 * width else {
      throw Refusal(
        .exportInexpressible, found: "an inner width of \(inner)",
        expected: "\(2 * width), the only one that llama.cpp computes")
    }
  }

  private func rotation(
    _ configuration: JSONObject
  ) throws(Refusal) -> [(key: String, value: GGUFNewValue)] {
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    var result: [(key: String, value: GGUFNewValue)] = [
      ("\(name).rope.freq_base", .float32(Float(try node.member("rope_theta").number())))
    ]
    guard let scaling = try node.optionalMember("rope_scaling") else { return result }
    func number(_ key: String) throws(Refusal) -> Double { try scaling.member(key).number() }
    func length() throws(Refusal) -> GGUFNewValue {
      let length = try number("original_max_position_embeddings")
      guard let whole = UInt32(exactly: length) else {
        throw Self.inexpressible("an original length of \(length)", expected: "a whole number")
      }
      return .uint32(whole)
    }
    func add(_ key: String, _ value: GGUFNewValue) {
      result.append(("\(name).rope.scaling.\(key)", value))
    }
    // Numbers of 32 bits and tensors lose digits; the spelling keeps them.
    let spelling = (GGUFRotation.scalingKey, GGUFNewValue.string(scaling.value.canonicalText))
    switch try scaling.member("rope_type").string() {
    case "linear":
      add("type", .string("linear"))
      add("factor", .float32(Float(try number("factor"))))
    case "llama3" where special == .rotation: result.append(spelling)  // The factors are a tensor.
    case "longrope" where special == .rotation:  // The same is true for these.
      add("type", .string("longrope"))
      add("original_context_length", try length())
      add("attn_factor", .float32(Float(try number("attention_factor"))))
      result.append(spelling)
    case "yarn":
      guard try scaling.member("truncate").boolean() else {
        throw Self.inexpressible(
          "a ramp between parts of channels (truncate: false)", expected: "whole channels")
      }
      let factor = try number("factor")
      let attention = try number("attention_factor")
      add("type", .string("yarn"))
      add("factor", .float32(Float(factor)))
      add("original_context_length", try length())
      add("yarn_beta_fast", .float32(Float(try number("beta_fast"))))
      add("yarn_beta_slow", .float32(Float(try number("beta_slow"))))
      let usual = RotaryFactors.usualAttentionFactor(yarn: factor)
      if attention != usual { add("attn_factor", .float32(Float(attention / usual))) }
      result.append(spelling)
    case let type:
      throw Self.inexpressible(
        "a rotation scaled as \(type)",
        expected: "a kind of scaling that llama.cpp has for a \(name)")
    }
    return result
  }

  /// The tensors of factors that belong to a scaling.
  ///
  /// - Throws: `model.config`.
  func factors(
    _ configuration: JSONObject
  ) throws(Refusal) -> [(name: String, values: [Float])] {
    guard special == .rotation else { return [] }
    if let factors = try RotaryFactors.factors(of: configuration) {
      return [(GGUFRotation.factorsName, factors)]
    }
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    guard let scaling = try node.optionalMember("rope_scaling"),
      try scaling.member("rope_type").value == "longrope"
    else { return [] }
    var result: [(name: String, values: [Float])] = []
    for (key, name) in [
      ("long_factor", GGUFRotation.longName), ("short_factor", GGUFRotation.shortName),
    ] {
      var values: [Float] = []
      for element in try scaling.member(key).elements() {
        values.append(Float(try element.number()))
      }
      result.append((name, values))
    }
    return result
  }

  private static func inexpressible(_ found: String, expected: String) -> Refusal {
    Refusal(.exportInexpressible, found: found, expected: expected)
  }
}
