import SextantBytes
import SextantCheckpoints

/// An adapter, such as those of PEFT: small tensors in files of their own that change a model's
/// output.
struct Adapter {
  /// The declaration of its configuration, such as `LORA for "a/b"`; empty if it declares nothing.
  private let description: String

  /// The adapter whose configuration or weights are in the folder of a checkpoint; nil if there is none.
  init?(beside source: CheckpointSource) {
    guard let path = source.sideFile("adapter_config.json") else {
      if source.adapterWeights.isEmpty { return nil }
      description = ""
      return
    }
    let bytes = (try? InputFile(path).readAll(limit: 1 << 20)) ?? []
    let config = try? JSONNode(parsing: bytes, code: .modelConfiguration, file: path)
    let kind = try? config?.optionalMember("peft_type")?.string()
    let base = try? config?.optionalMember("base_model_name_or_path")?.string()
    description = [kind, base.map { "for \"\($0)\"" }].compactMap { $0 }.joined(separator: " ")
  }

  /// Refuses an adapter instead of a model, and one that is not merged into the model around it.
  ///
  /// - Parameter ignores: whether the user excludes a tensor.
  /// - Returns: the note for the user on an adapter in the model's folder.
  /// - Throws: `model.adapter`.
  static func check(
    _ source: CheckpointSource, ignoring ignores: (String) -> Bool
  ) throws(Refusal) -> [String] {
    let adapter = Adapter(beside: source)
    let file = source.checkpoint.path.split(separator: "/").last ?? ""
    let isAdapter = adapter != nil && file.hasPrefix("adapter_model.")
    let own = source.checkpoint.tensors.map(\.name).filter {
      (isAdapter || isOfAdapter($0)) && !ignores($0)
    }
    let details = adapter.map { $0.description.isEmpty ? "" : " (\($0.description))" } ?? ""
    guard own.isEmpty else {
      let shown = own.prefix(2).joined(separator: ", ")
      throw Refusal(
        .modelAdapter, file: source.checkpoint.path,
        found: "tensors of an adapter\(details): \(shown)" + (own.count > 2 ? ", …" : ""),
        expected: "the weights of a whole model",
        remedy: own.contains { $0.lowercased().contains("prompt_") }
          ? "Convert the base model: learned prompts are not part of its weights." : nil)
    }
    guard adapter != nil else { return [] }
    return [
      "the adapter in the model's folder\(details) is left out, and transformers would apply it: merge it "
        + "into the model to keep its effect"
    ]
  }

  /// Whether a tensor has a name of an adapter's: of LoRA and its relatives, IA³, prompts and prefixes.
  private static func isOfAdapter(_ name: String) -> Bool {
    name.lowercased().split(separator: ".").contains { part in
      beginnings.contains { part.hasPrefix($0) }
    }
  }

  private static let beginnings = [
    "lora_", "ia3_", "prompt_embeddings", "prompt_encoder", "hada_", "lokr_", "oft_", "boft_",
    "vera_lambda", "fourierft_", "vblora_", "hra_", "adaption_",
  ]
}
