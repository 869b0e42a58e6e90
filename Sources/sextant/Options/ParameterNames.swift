import SextantBytes

/// Which option of the command line sets a parameter of the library.
///
/// Refusals and notes of the library name parameters: as the place of a refusal, and in texts as a word in
/// backticks, such as `layers`. The command line shows its options in their place.
enum ParameterNames {
  /// Options that are not named like the parameter.
  private static let others = [
    "allowsModelMismatch": "--allow-model-mismatch", "configuration": "--config",
    "dataType": "--dtype", "ignoring": "--ignore", "leavesOutTokenizer": "--without-tokenizer",
    "readsUInt16AsBFloat16": "--bf16-as-uint16", "replacing": "--force",
    "steeredTokens": "--steer-tokens", "temperature": "--temp",
    "unconfinedHDF5": "--unconfined-hdf5",
  ]

  /// The parameters that the library names. A test compares them with its source code.
  static let all: Set<String> = [
    "allowsModelMismatch", "apply", "applyPositions", "architecture", "batch", "budget", "chat",
    "chatDate",
    "chatTemplate", "checkpoint", "checkpointEvery", "choices", "chunk", "compare",
    "clipNorm", "configuration", "data", "dataType", "digits", "edits", "field", "group", "heads",
    "horizon", "ignoring", "keep", "keepBudget", "label", "layer", "layerConvention", "layers",
    "leavesOutTokenizer", "maxTokens", "method", "methods", "minP", "model", "momentsFor",
    "momentum", "multipliers", "naming", "negative", "noise", "nonsenseBudget", "operation",
    "pairs", "passes", "personas", "positions", "positive", "precision", "probe", "prompt",
    "prompts", "rateScale", "readsUInt16AsBFloat16", "repetitionPenalty", "replacing", "samples",
    "seed", "seeds", "shard", "shards", "shrinkage", "sites", "span", "start", "statePositions",
    "steerAt",
    "steeredTokens", "steps", "stop", "stopWhen", "strengths", "system", "temperature", "template",
    "text", "thinking", "tokenizer", "tokens", "tokensPerStep",
    "topK", "topP", "unconfinedHDF5",
    "weightDecay", "when", "where", "widths",
  ]

  /// The option that sets a parameter: `tokensPerStep` is set by `--tokens-per-step`.
  static func option(_ parameter: String) -> String {
    if let other = others[parameter] { return other }
    return parameter.reduce(into: "--") { option, character in
      option += character.isUppercase ? "-\(character.lowercased())" : String(character)
    }
  }

  /// A text of the library, with options instead of the parameters in backticks.
  static func withOptions(_ text: String) -> String {
    let parts = text.split(separator: "`", omittingEmptySubsequences: false).map(String.init)
    var result = parts[0]
    var isOpen = false
    for (place, part) in parts.enumerated().dropFirst() {
      if !isOpen, place + 1 < parts.count, all.contains(part) {
        result += option(part)
        isOpen = true
      } else {
        result += (isOpen ? "" : "`") + part
        isOpen = false
      }
    }
    return result
  }
}

extension Refusal {
  /// The refusal as the command line shows it: with options instead of parameters.
  ///
  /// The found value is not changed, because it can be a part of a file.
  var withOptions: Refusal {
    var shown = self
    if case .parameter(let name) = place { shown.place = .option(ParameterNames.option(name)) }
    shown.expected = ParameterNames.withOptions(expected)
    let isGeneral = code == .usageOption && remedy == code.remedy
    shown.remedy = isGeneral ? "See --help." : ParameterNames.withOptions(remedy)
    return shown
  }
}
