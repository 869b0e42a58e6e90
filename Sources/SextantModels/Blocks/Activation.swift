import SextantBytes
import SextantTensor

/// The function inside a perceptron.
enum Activation: String, Sendable {
  /// x Φ(x), exactly.
  case gelu
  /// Its approximation by a tanh.
  case geluTanh = "gelu_tanh"
  /// Its approximation by a sigmoid.
  case quickGELU = "quick_gelu"
  /// x sigmoid(x).
  case silu
  /// max(x, 0).
  case relu
  /// max(x, 0)².
  case squaredReLU = "relu2"
  case sigmoid
  case tanh

  /// The names that transformers gives them.
  static let published: [String: Activation] = [
    "gelu": .gelu, "gelu_python": .gelu, "gelu_new": .geluTanh, "gelu_fast": .geluTanh,
    "gelu_pytorch_tanh": .geluTanh, "gelu_python_tanh": .geluTanh, "gelu_accurate": .geluTanh,
    "quick_gelu": .quickGELU, "silu": .silu, "swish": .silu, "relu": .relu, "relu2": .squaredReLU,
    "sigmoid": .sigmoid, "tanh": .tanh,
  ]

  /// The name that published configurations get.
  var publishedName: String { self == .geluTanh ? "gelu_new" : rawValue }

  /// Computes it in place.
  func callAsFunction(_ x: inout Tensor) {
    switch self {
    case .gelu: Kernels.gelu(&x)
    case .geluTanh: Kernels.geluTanh(&x)
    case .quickGELU:
      var gate = x
      Kernels.scale(&gate, by: 1.702)
      Kernels.sigmoid(&gate)
      Kernels.multiply(&x, by: gate)
    case .silu: Kernels.silu(&x)
    case .relu:
      x.withMutableFloats { values in for i in values.indices { values[i] = max(values[i], 0) } }
    case .squaredReLU: Kernels.squaredReLU(&x)
    case .sigmoid: Kernels.sigmoid(&x)
    case .tanh: Kernels.tanh(&x)
    }
  }

  /// The middle of a perceptron: x becomes f(x), or x · f(gate) if there is a gate, [M, F] both.
  ///
  /// - Parameter gate: consumed, so that it is changed in place.
  func apply(to x: inout Tensor, gate: consuming Tensor?) {
    guard var gate = consume gate else { return self(&x) }
    if self == .silu {
      Kernels.multiply(&x, bySiLUOf: gate)
    } else {
      self(&gate)
      Kernels.multiply(&x, by: gate)
    }
  }
}

extension ConfigurationForm.Member {
  /// An activation under transformers' names.
  ///
  /// - Parameters:
  ///   - usual: the one if no key names one.
  ///   - key: the key that names it.
  static func publishedActivation(
    _ path: WritableKeyPath<C, Activation>, usual: Activation, key: String = "hidden_act"
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = usual
      guard let name = try node.optionalMember(key) else { return }
      guard let known = try Activation.published[name.string()] else {
        throw name.unsupported(expected: Activation.published.keys.sorted().joined(separator: ", "))
      }
      configuration[keyPath: path] = known
    } write: {
      [(key, .string($0[keyPath: path].publishedName))]
    }
  }

  /// An activation in the canonical form.
  ///
  /// - Parameter usual: the one that needs no member; nil if all are written.
  static func activation(
    _ path: WritableKeyPath<C, Activation>, usual: Activation? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      if let usual, try node.optionalMember("activation") == nil {
        configuration[keyPath: path] = usual
        return
      }
      let activation = try node.member("activation")
      guard let known = try Activation(rawValue: activation.string()) else {
        throw activation.unsupported(
          expected: Set(Activation.published.values.map(\.rawValue)).sorted().joined(
            separator: ", "))
      }
      configuration[keyPath: path] = known
    } write: {
      let activation = $0[keyPath: path]
      return activation == usual ? [] : [("activation", .string(activation.rawValue))]
    }
  }

  /// SiLU under either of its names: the only one that a state space's convolution has here.
  static var onlySiLU: Self { onlySiLU("hidden_act") }

  /// The same under another key.
  static func onlySiLU(_ key: String) -> Self { only(.silu, key, named: "silu") }

  /// One activation, under any of its names.
  ///
  /// - Parameter named: the name that is written.
  static func only(_ activation: Activation, _ key: String, named: String) -> Self {
    Self { node, _ throws(Refusal) in
      guard let name = try node.optionalMember(key) else { return }
      guard try Activation.published[name.string()] == activation else {
        let names = Activation.published.filter { $0.value == activation }.map(\.key).sorted()
        throw name.unsupported(expected: names.joined(separator: " or "))
      }
    } write: { _ in
      [(key, .string(named))]
    }
  }
}
