import SextantBytes
import SextantConversion
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Models with rare options give the numbers of transformers.
@Suite struct UnusualConfigurationTests {
  private static let names = [
    "llama-act-quick_gelu", "llama-act-swish", "llama-dynamic-in-long-text",
    "llama-llama3-length-outside", "llama-longrope-in-long-text", "llama-no-model-type",
    "llama-partial-rotary", "llama-scaling-beside-parameters", "llama-yarn-length-outside",
    "llama-yarn-mscale", "mamba-intermediate-size", "mamba2-limits", "mistral-window-and-yarn",
    "neox-dynamic", "neox-odd", "neox-theta-that-it-ignores", "rwkv-epsilon",
    "rwkv-rescaled-epsilon", "rwkv-tied",
  ]

  private static func logits(
    _ model: any LanguageModel, _ tokens: [Int], chunk: Int = 512
  ) throws -> Tensor {
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(tokens), from: &state, logits: .all, chunk: chunk)  // [1, T, V]
    return logits.reshaped([tokens.count, model.description.vocabularySize])
  }

  @Test(arguments: names) func logitsAreThoseOfTransformers(name: String) throws {
    let converted = try ConvertedModel("configurations/\(name)")
    let golden = try Goldens("configurations/\(name)/expected.safetensors")
    let (tokens, expected) = try (golden.integers("tokens"), golden.floats("logits"))
    expectClose(try Self.logits(converted.model, tokens), expected, .logits, name)
    // Pieces of one run are one text.
    expectClose(try Self.logits(converted.model, tokens, chunk: 5), expected, .logits, name)
  }

  @Test(arguments: [
    ("llama-partial-rotary", "partial_rotary_factor"),
    ("llama-scaling-beside-parameters", "rope_parameters"),
    ("neox-theta-that-it-ignores", "rope_theta, partial_rotary_factor"),
  ])
  func aNoteNamesWhatTransformersDoesNotRead(name: String, members: String) throws {
    let notes = try ConvertedModel("configurations/\(name)").report.notes
    let note = try #require(notes.first { $0.hasPrefix("not used: \(members). ") }, "\(notes)")
    #expect(
      note.hasSuffix("; rope_scaling replaces rope_parameters.") == (members == "rope_parameters"))
  }

  @Test func nothingIsSaidOfAConfigurationThatIsReadAsAWhole() throws {
    for name in ["llama-yarn-mscale", "neox-odd", "mamba2-limits", "rwkv-rescaled-epsilon"] {
      let notes = try ConvertedModel("configurations/\(name)").report.notes
      #expect(!notes.contains { $0.hasPrefix("not used") }, "\(notes)")
    }
  }

  // MARK: Rotations that depend on the length of the text

  /// These models read 10 and 16 tokens with the frequencies of short texts.
  @Test(arguments: [
    ("llama-dynamic-in-long-text", 10), ("neox-dynamic", 10), ("llama-longrope-in-long-text", 16),
  ])
  func aTextIsContinuedWhereThatHasOneMeaning(name: String, limit: Int) throws {
    let model = try ConvertedModel("configurations/\(name)").model
    let tokens = try Goldens("configurations/\(name)/expected.safetensors").integers("tokens")
    func run(_ pieces: [Range<Int>]) throws -> Tensor {
      var state = model.initialState()
      var rows: [Tensor] = []
      for piece in pieces {
        let part = try model.run(TokenBatch(Array(tokens[piece])), from: &state, logits: .all)
        rows.append(part.reshaped([piece.count, model.description.vocabularySize]))
      }
      return Tensor.concatenated(rows)
    }
    // Within the limit a text may be cut anywhere.
    expectClose(try run([0..<4, 4..<limit]), try run([0..<limit]), .logits, name)
    // Above the limit, tokens are added one at a time, as in decoding.
    #expect(try run([0..<limit, limit..<limit + 1, limit + 1..<limit + 2]).shape[0] == limit + 2)
    expectRefusal(.modelTextLength) { try run([0..<4, 4..<limit + 1]) }
    expectRefusal(.modelTextLength) { try run([0..<limit + 2, limit + 2..<limit + 4]) }
  }

  @Test func earlyTokensOfALongTextAreTurnedAsTheWholeTextWants() throws {
    let model = try ConvertedModel("configurations/llama-dynamic-in-long-text").model
    let golden = try Goldens("configurations/llama-dynamic-in-long-text/expected.safetensors")
    let tokens = try golden.integers("tokens")
    let (short, long) = try (Self.logits(model, Array(tokens[..<8])), Self.logits(model, tokens))
    // Position 0 does not turn at all; later ones turn more slowly in the long text.
    expectClose(short.rows(0..<1), long.rows(0..<1), .logits, "position 0")
    #expect(zip(short.rows(7..<8).values, long.rows(7..<8).values).contains { abs($0 - $1) > 1e-3 })
  }

  // MARK: Architecture

  @Test func theArchitectureMayBeNamedByAnOption() throws {
    let folder = TemporaryFolder()
    let fixture = PackageFiles.fixture("configurations/llama-no-model-type")
    let text = try InputFile("\(fixture)/config.json").readAll(limit: 1 << 20)
    var object = try JSONNode(parsing: text, code: .modelConfiguration, file: nil).object()
    object["architectures"] = nil
    folder.write(JSONValue.object(object).canonicalText, to: "config.json")
    let weights = try InputFile("\(fixture)/model.safetensors").readAll(limit: 1 << 20)
    folder.write(weights, to: "model.safetensors")
    var options = ConversionOptions()
    options.architecture = "llama"
    let report = try Conversion(folder.path, options: options).write(to: folder.path("m.sxt"))
    let named = try ConvertedModel("configurations/llama-no-model-type").report
    #expect(report.identity == named.identity)

    object["model_type"] = "gemma"
    folder.write(JSONValue.object(object).canonicalText, to: "config.json")
    options.replacing = true
    let forced = try Conversion(folder.path, options: options).write(to: folder.path("m.sxt"))
    #expect(forced.identity == named.identity)
    #expect(forced.notes.contains { $0.contains("gemma") })
  }
}
