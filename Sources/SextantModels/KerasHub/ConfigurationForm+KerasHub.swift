import SextantBytes

// Members of the configurations of keras-hub's backbones that several families have. Absent members have
// keras-hub's defaults.

extension ConfigurationForm.Member {
  /// A value that the format has no member for.
  static func implied(_ set: @escaping (inout C) -> Void) -> Self {
    Self { _, configuration throws(Refusal) in
      set(&configuration)
    } write: { _ in
      []
    }
  }

  /// A number above 0.
  static func positive(
    _ key: String, _ path: WritableKeyPath<C, Double>, default usual: Double
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = try node.optionalPositive(key) ?? usual
    } write: {
      [(key, .number($0[keyPath: path]))]
    }
  }

  /// A switch that must be on, and that is off if the member is absent.
  static func on(_ key: String) -> Self {
    Self { node, _ throws(Refusal) in
      guard try node.optionalMember(key)?.boolean() == true else {
        let member = try node.optionalMember(key)
        throw (member ?? node).unsupported(found: "no true \(key)", expected: "\(key) true")
      }
    } write: { _ in
      [(key, .boolean(true))]
    }
  }

  /// A rotary embedding, all of whose frequencies may be divided by one factor.
  ///
  /// - Parameters:
  ///   - width: channels of a head that rotate.
  ///   - base: the key of the base, or the base that the format always has.
  static func kerasHubRotary(
    _ path: WritableKeyPath<C, RotaryEmbedding>, width: @escaping (C) -> Int,
    base: KerasHubBase = .member("rope_max_wavelength"), factor: String
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let factor = try node.optionalPositive(factor) ?? 1
      var theta = 10_000.0
      switch base {
      case .member(let key): theta = try node.optionalPositive(key) ?? theta
      case .fixed(let number): theta = number
      }
      configuration[keyPath: path] = RotaryEmbedding(
        base: theta, width: width(configuration),
        scaling: factor == 1 ? .none : .linear(factor: factor))
    } write: {
      let rotary = $0[keyPath: path]
      let divisor = if case .linear(let factor) = rotary.scaling { factor } else { 1.0 }
      var members: [(String, JSONValue)] = [(factor, .number(divisor))]
      if case .member(let key) = base { members.append((key, .number(rotary.base))) }
      return members
    }
  }

  /// The part of each head that rotates.
  static func kerasHubRotatedPart(
    _ key: String, ofHead headWidth: KeyPath<C, Int>,
    _ rotary: WritableKeyPath<C, RotaryEmbedding>
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let part = try node.optionalMember(key)?.number() ?? 0.25
      guard part >= 0, part <= 1 else {
        throw try node.member(key).refusal(expected: "between 0 and 1")
      }
      configuration[keyPath: rotary].width = Int(Double(configuration[keyPath: headWidth]) * part)
    } write: {
      [(key, .number($0[keyPath: rotary].part(ofHead: $0[keyPath: headWidth])))]
    }
  }

  /// A window that has no effect on texts of the usual length. keras-hub applies it with some of its
  /// programs for tensors, and not with others.
  static func kerasHubWideWindow(_ key: String, _ length: KeyPath<C, Int>) -> Self {
    Self { node, configuration throws(Refusal) in
      guard let member = try node.optionalMember(key) else { return }
      let least = configuration[keyPath: length]
      guard try member.integer() >= least else {
        throw member.unsupported(
          expected: "null, or at least \(least): PyTorch and JAX under keras-hub ignore the window")
      }
    } write: { _ in
      [(key, .null)]
    }
  }
}

/// Where a form of keras-hub has the base of a rotation.
enum KerasHubBase {
  /// In a member of this key.
  case member(String)
  /// In its code.
  case fixed(Double)
}

extension ConfigurationForm.Member where C: DecoderConfiguration {
  /// The sizes of a decoder.
  ///
  /// - Parameters:
  ///   - hasHeadWidth: whether the class has the member `head_dim`. Without it, the heads share the width.
  ///   - contextLength: the length of the texts, for which keras-hub has no member.
  static func kerasHubDecoder(hasHeadWidth: Bool, contextLength: Int) -> Self {
    let headWidth = Self.headWidth(
      \.decoder.headWidth, of: \.decoder.width, among: \.decoder.headCount, in: C.headWidths)
    return .group([
      .integer("vocabulary_size", \.decoder.vocabularySize, in: C.sizes),
      .integer("hidden_dim", \.decoder.width, in: C.sizes),
      .integer("intermediate_dim", \.decoder.innerWidth, in: C.sizes),
      .integer("num_query_heads", \.decoder.headCount, in: C.heads),
      .integer("num_key_value_heads", \.decoder.keyHeadCount, in: C.heads),
      hasHeadWidth ? headWidth : sharedHeadWidth,
      .number("layer_norm_epsilon", \.decoder.normEpsilon, default: 1e-6),
      .implied { $0.decoder.contextLength = contextLength },
    ])
  }

  /// The width of a head in a class whose heads always share the width.
  private static var sharedHeadWidth: Self {
    Self { node, configuration throws(Refusal) in
      let (width, heads) = (configuration.decoder.width, configuration.decoder.headCount)
      guard width % heads == 0, C.headWidths.contains(width / heads) else {
        throw node.refusal(
          found: "\(counted(heads, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width")
      }
      configuration.decoder.headWidth = width / heads
    } write: { _ in
      []
    }
  }

  /// Whether the head is the embedding.
  ///
  /// - Parameter usual: the meaning of an absent member.
  static func kerasHubTied(usual: Bool) -> Self {
    .flag("tie_word_embeddings", \.decoder.tiesEmbeddings, default: usual)
  }
}

extension Architecture {
  /// Refuses a model that a class of keras-hub has no place for.
  ///
  /// - Parameter features: what the class lacks, whether the model has it, and what the class has instead.
  static func checkExpressible(
    _ features: [(found: String, isThere: Bool, expected: String)], in name: String
  ) throws(Refusal) {
    guard let feature = features.first(where: \.isThere) else { return }
    throw inexpressible("\(feature.found) in \(name) of keras-hub", expected: feature.expected)
  }
}
