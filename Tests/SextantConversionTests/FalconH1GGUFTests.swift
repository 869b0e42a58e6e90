import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Falcon-H1 and Granite in GGUF files. llama.cpp's converter multiplies the weights of a Falcon-H1 by
/// the model's multipliers, and the file has none.
@Suite struct FalconH1GGUFTests {
  private let folder = ConversionFolder()

  private func export(_ store: ModelStore, to name: String) throws -> String {
    try folder.export(store, to: name)
    return folder.path(name)
  }

  private func logits(_ store: ModelStore) throws -> [Float] {
    let model = try Architectures.open(store)
    var state = model.initialState()
    return try model.run(TokenBatch([3, 14, 15, 92, 65, 35]), from: &state, logits: .all).values
  }

  @Test func theWeightsContainTheMultipliers() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/falcon_h1-bf16")
    let store = try folder.convertToF32(fixture, as: "a.sxt")
    let file = try GGUFFile(export(store, to: "m.gguf"))
    // The configuration of the fixture; the inward projection has rows of z, x, b, c and the step.
    let factors: [(stored: String, own: String, row: Int, factor: Double)] = [
      ("token_embd.weight", "embedding.weight", 0, 5.656854249492381),
      ("output.weight", "head.weight", 100, 0.25),
      ("blk.1.attn_q.weight", "blocks.1.self_attn.q_proj.weight", 0, 0.8),
      ("blk.1.attn_k.weight", "blocks.1.self_attn.k_proj.weight", 31, 0.8 * 0.390625),
      ("blk.1.attn_v.weight", "blocks.1.self_attn.v_proj.weight", 5, 0.8),
      ("blk.1.attn_output.weight", "blocks.1.self_attn.o_proj.weight", 0, 0.9375),
      ("blk.1.ffn_gate.weight", "blocks.1.feed_forward.gate_proj.weight", 0, 0.8838834764831844),
      ("blk.1.ffn_up.weight", "blocks.1.feed_forward.up_proj.weight", 0, 1),
      ("blk.1.ffn_down.weight", "blocks.1.feed_forward.down_proj.weight", 0, 0.5859375),
      ("blk.1.ssm_out.weight", "blocks.1.mamba.out_proj.weight", 0, 0.47),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 71, 1.25 * 0.3535533905932738),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 72, 1.25 * 0.25),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 144, 1.25 * 0.75),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 164, 1.25 * 0.5),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 184, 1.25 * 0.6),
      ("blk.1.ssm_in.weight", "blocks.1.mamba.in_proj.weight", 189, 1.25 * 0.6),
    ]
    for (stored, own, row, factor) in factors {
      let tensor = try #require(file.tensor(named: stored), "\(stored)")
      let found = try file.bytes(of: tensor).withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
      let width = try #require(tensor.shape.last)
      let expected = try store.tensor(own).values[row * width..<(row + 1) * width]
      let pairs = zip(found[row * width..<(row + 1) * width], expected)
      #expect(
        pairs.allSatisfy { abs(Double($0) - factor * Double($1)) <= 3e-7 * abs(Double($0)) },
        "\(stored) \(row)")
    }
    // Without a suffix, as llama.cpp reads it.
    #expect(file.tensor(named: "blk.1.ffn_norm") != nil)
    #expect(file.tensor(named: "blk.1.ssm_a")?.shape == [6, 1])
    #expect(file.values["falcon-h1.ssm.inner_size"] == .integer(72))
    #expect(file.values["falcon-h1.ssm.time_step_rank"] == .integer(6))
    #expect(file.values["falcon-h1.attention.key_length"] == .integer(16))
  }

  @Test func theModelComputesTheSameWithMultipliedWeights() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/falcon_h1-bf16")
    let store = try folder.convertToF32(fixture, as: "a.sxt")
    let first = try export(store, to: "m.gguf")
    let back = try folder.convertToF32(first, as: "b.sxt")
    #expect(back.configuration["ssm_multipliers"] == [1.0, 1.0, 1.0, 1.0, 1.0])
    #expect(back.configuration["rope_theta"] == store.configuration["rope_theta"])
    let pairs = zip(try logits(back), try logits(store))
    #expect(pairs.allSatisfy { abs($0 - $1) <= 1e-4 * max(1, abs($1)) })
  }

  @Test func aTiedEmbeddingWithTwoMultipliersIsRefused() throws {
    let path = PackageFiles.fixture("hybrids/checkpoints/falcon_h1-bf16")
    let text = try InputFile("\(path)/config.json").readAll(limit: 1 << 20)
    guard case .object(var object) = try JSONValue(parsing: text, file: nil) else { return }
    let architecture = try #require(Architectures.named("falcon-h1"))
    let shapes = CheckpointShapes([])
    func configuration() throws -> JSONObject {
      let node = JSONNode(.object(object), code: .modelConfiguration, file: nil)
      return try architecture.configuration(from: node, checkpoint: shapes).json
    }
    object["tie_word_embeddings"] = true
    let refusal = expectRefusal(.exportInexpressible) {
      try architecture.published(configuration(), dialect: "gguf")
    }
    #expect(refusal?.found.contains("0.25") == true)
    object["lm_head_multiplier"] = object["embedding_multiplier"]
    _ = try architecture.published(configuration(), dialect: "gguf")
  }

  /// The rows of queries and keys are permuted even if heads do not turn.
  @Test func aGraniteWithMambaBlocksHasLlamaCppsForm() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/granite_h")
    let store = try folder.convertToF32(fixture, as: "a.sxt")
    let file = try GGUFFile(export(store, to: "m.gguf"))
    #expect(file.values["general.architecture"] == .string("granitehybrid"))
    #expect(file.values["granitehybrid.rope.scaling.finetuned"] == .boolean(false))
    #expect(file.values["granitehybrid.ssm.inner_size"] == .integer(96))
    #expect(file.tensor(named: "blk.0.ssm_norm.weight")?.shape == [2, 48])
    let tensor = try #require(file.tensor(named: "blk.2.attn_q.weight"))
    let found = try file.bytes(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    let own = try store.tensor("blocks.2.self_attn.q_proj.weight").values
    // Row 1 of a head of 8 is row 4, the first of the second half.
    #expect(found[48..<96] == own[4 * 48..<5 * 48])
  }
}
