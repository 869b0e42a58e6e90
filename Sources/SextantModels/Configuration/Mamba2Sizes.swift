import SextantBytes

/// The sizes of the Mamba-2 mixers in a model that has other parts, too.
struct Mamba2Sizes: Equatable, Sendable {
  var headCount = 0  // H
  var headWidth = 0  // P
  var groupCount = 0  // G
  var stateSize = 0  // N
  var kernelWidth = 0  // K
  var hasConvolutionBias = false

  var innerWidth: Int { headCount * headWidth }  // E

  fileprivate static let heads = 1...(1 << 16)
  fileprivate static let states = 1...4096
  fileprivate static let kernelWidths = 2...8

  /// The form of a mixer in a stream of `width` channels.
  func form(width: Int, normEpsilon: Double) -> Mamba2Mixer.Form {
    Mamba2Mixer.Form(
      width: width, heads: headCount, headWidth: headWidth, groups: groupCount,
      stateSize: stateSize, kernelWidth: kernelWidth, normEpsilon: normEpsilon,
      hasLinearBias: false, hasConvolutionBias: hasConvolutionBias)
  }

  /// Refuses numbers that do not fit together.
  ///
  /// - Throws: the node's code.
  func check(_ node: JSONNode) throws(Refusal) {
    guard headCount % groupCount == 0 else {
      throw node.refusal(
        found: "\(counted(headCount, "Mamba head")) in \(counted(groupCount, "group"))",
        expected: "groups of equal size")
    }
    guard 2 * innerWidth + 2 * groupCount * stateSize + headCount <= Limits.sizes.upperBound else {
      throw node.refusal(
        found: "a Mamba mixer with an inner width of \(innerWidth)",
        expected: "a projection of at most \(Limits.sizes.upperBound) rows")
    }
  }
}

extension ConfigurationForm.Member {
  /// Mamba-2 mixers in the canonical form.
  static func mamba2(_ path: WritableKeyPath<C, Mamba2Sizes>) -> Self {
    .group([
      .integer("mamba_n_head", path.appending(path: \.headCount), in: Mamba2Sizes.heads),
      .integer("mamba_head_dim", path.appending(path: \.headWidth), in: Mamba2Sizes.heads),
      .integer("mamba_n_groups", path.appending(path: \.groupCount), in: Mamba2Sizes.heads),
      .integer("mamba_d_state", path.appending(path: \.stateSize), in: Mamba2Sizes.states),
      .integer("mamba_d_conv", path.appending(path: \.kernelWidth), in: Mamba2Sizes.kernelWidths),
      .flag("mamba_conv_bias", path.appending(path: \.hasConvolutionBias)),
    ])
  }

  /// Mamba-2 mixers as transformers publishes them in models of several parts, with its defaults.
  ///
  /// - Parameter innerWidth: E, which the heads must share evenly.
  static func publishedMamba2(
    _ path: WritableKeyPath<C, Mamba2Sizes>,
    innerWidth: @escaping (JSONNode, C) throws(Refusal) -> Int
  ) -> Self {
    .group([
      .integer("mamba_n_heads", path.appending(path: \.headCount), in: Mamba2Sizes.heads) { _ in
        128
      },
      .custom { node, c throws(Refusal) in
        let (inner, heads) = (try innerWidth(node, c), c[keyPath: path].headCount)
        var width = inner / heads
        if let member = try node.optionalMember("mamba_d_head"), member.value != "auto" {
          width = try member.integer(supported: Mamba2Sizes.heads)
        }
        guard heads * width == inner, Mamba2Sizes.heads.contains(width) else {
          throw node.refusal(
            found: "\(counted(heads, "Mamba head")) of \(width)",
            expected: "heads that share an inner width of \(inner)")
        }
        c[keyPath: path].headWidth = width
      } write: {
        [("mamba_d_head", .integer(Int64($0[keyPath: path].headWidth)))]
      },
      .integer("mamba_n_groups", path.appending(path: \.groupCount), in: Mamba2Sizes.heads) { _ in
        1
      },
      .integer("mamba_d_state", path.appending(path: \.stateSize), in: Mamba2Sizes.states) { _ in
        256
      },
      .integer(
        "mamba_d_conv", path.appending(path: \.kernelWidth), in: Mamba2Sizes.kernelWidths
      ) { _ in 4 },
      .flag("mamba_conv_bias", path.appending(path: \.hasConvolutionBias), default: true),
      .fixed("mamba_proj_bias", false),
      // transformers limits step sizes in a prompt, and not while it generates.
      .fixed("time_step_limit", [0.0, ["__float__": "Infinity"]]),
    ])
  }
}

extension GGUFTable.Row {
  /// The sizes of Mamba-2 mixers, of a configuration as `publishedMamba2` writes it.
  static let mamba2: [Self] = [
    .integer("ssm.conv_kernel", "mamba_d_conv"), .integer("ssm.state_size", "mamba_d_state"),
    .integer("ssm.group_count", "mamba_n_groups"),
    .integer("ssm.time_step_rank", "mamba_n_heads"),
    .product("ssm.inner_size", "mamba_d_head", times: "mamba_n_heads"),
  ]
}
