import SextantBytes
import SextantModels

/// The quantisation of weights, as a configuration or the names of tensors declare it.
///
/// Quantised files have other tensors instead of the weights, or additional scales. No reader here
/// combines them again. GGUF files are different: their reader computes the weights of the
/// quantised types.
struct Quantisation {
  /// The programs' or methods' names by those of `quant_method`, if they are written otherwise.
  private static let methods = [
    "aqlm": "AQLM", "awq": "AWQ", "eetq": "EETQ", "exl2": "EXL2", "fbgemm_fp8": "FP8", "fp8": "FP8",
    "gptq": "GPTQ", "higgs": "HIGGS", "hqq": "HQQ", "mxfp4": "MXFP4", "nvfp4": "NVFP4",
    "quip": "QuIP", "spqr": "SpQR", "vptq": "VPTQ",
  ]

  /// Parts of names that tensors have if a program quantised them. The first row that fits counts:
  /// GPTQ has names of AWQ's, too.
  private static let marks: [(method: String, parts: Set<Substring>)] = [
    ("GPTQ", ["g_idx"]), ("AWQ or GPTQ", ["qweight", "qzeros"]),
    (
      "bitsandbytes",
      [
        "absmax", "nested_absmax", "quant_map", "nested_quant_map", "quant_state", "SCB",
        "weight_format",
      ]
    ),
    (
      "compressed-tensors",
      ["weight_packed", "weight_shape", "weight_zero_point", "weight_g_idx", "bitmask"]
    ),
    ("NVFP4", ["weight_scale_2"]),
    ("FP8", ["weight_scale_inv"]),
    ("FP8 or INT8", ["weight_scale", "input_scale", "output_scale", "act_scale"]),
    ("EXL2", ["q_weight", "q_invperm"]), ("HQQ", ["W_q"]), ("AQLM", ["codebooks"]),
    ("QuIP#", ["Qidxs"]), ("quanto", ["_scale"]), ("MLX", ["scales"]),
  ]

  private static let expected = "weights in F32, BF16, F16 or F64"

  /// Refuses a configuration that declares quantised weights.
  ///
  /// - Throws: `model.quantised`.
  static func check(_ config: JSONNode?) throws(Refusal) {
    guard let config, case .object(let object) = config.value else { return }
    // Those of 8 bits are read with their scales.
    let modes = KerasHub.quantisations(config).filter {
      $0.prefix { $0 != "_" && $0 != "/" } != "int8"
    }
    if let mode = modes.sorted().first {
      throw Refusal(
        .modelQuantised, file: config.file, at: .pointer("\(config.pointer)/config"),
        found: "weights that are quantised by Keras to \(mode)",
        expected: "\(expected), or Keras' int8")
    }
    var places = [(config.pointer, object)]
    if case .object(let text)? = object["text_config"] {
      places.append((config.pointer + "/text_config", text))
    }
    for (pointer, object) in places {
      for key in ["quantization_config", "compression_config", "quantization"] {
        guard case .object(let members)? = object[key], let method = method(members, key) else {
          continue
        }
        throw Refusal(
          .modelQuantised, file: config.file, at: .pointer("\(pointer)/\(key)"),
          found: "weights that are quantised by \(method)", expected: expected,
          remedy: Refusal.Code.modelQuantised.remedy
            + " If these weights are not quantised, remove \(key) from the configuration.")
      }
    }
  }

  /// The method that a member of the configuration declares; nil if it declares none.
  private static func method(_ members: JSONObject, _ key: String) -> String? {
    if members.members.isEmpty { return nil }
    let flags = ["load_in_8bit", "load_in_4bit", "_load_in_8bit", "_load_in_4bit"]
    let given = flags.compactMap { members[$0] }
    // bitsandbytes with both switches off quantises nothing.
    let isOff = !given.isEmpty && given.allSatisfy { $0 == .boolean(false) }
    for name in ["quant_method", "quant_algo"] {
      guard case .string(let word)? = members[name] else { continue }
      if word == "bitsandbytes", isOff { return nil }
      return methods[word.lowercased()] ?? word
    }
    if !given.isEmpty { return isOff ? nil : "bitsandbytes" }
    return key == "quantization" ? "MLX" : "a method that the configuration does not name"
  }

  /// Refuses tensors with names that quantised weights have.
  ///
  /// - Throws: `model.quantised`.
  static func check(_ names: [String], in path: String) throws(Refusal) {
    for (method, parts) in marks {
      let found = names.filter { name in
        name.split { $0 == "." || $0 == "/" }.contains(where: parts.contains)
      }
      guard let first = found.first else { continue }
      let others = found.count > 1 ? " and \(found.count - 1) more" : ""
      throw Refusal(
        .modelQuantised, file: path, at: .tensor(first),
        found: "weights that are quantised by \(method): \(first)\(others)", expected: expected)
    }
  }

  /// The refusal of a file with a type that only quantised weights have; nil for other types.
  ///
  /// - Parameter refusal: a reader's refusal of the type.
  static func refusal(ofUnreadType refusal: Refusal) -> Refusal? {
    let type = refusal.found.replacing("torch.float", with: "F").uppercased()
    guard let bits = ["F4", "F6", "F8"].first(where: type.hasPrefix) else { return nil }
    return Refusal(
      .modelQuantised, file: refusal.file, at: refusal.place,
      found: "weights that are quantised to \(bits.replacing("F", with: "FP")): \(refusal.found)",
      expected: expected)
  }
}
