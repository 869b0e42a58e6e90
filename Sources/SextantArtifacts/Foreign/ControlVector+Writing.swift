import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor

extension SteeringVector {
  /// Writes the vector as a GGUF control vector, which llama.cpp adds to the output of blocks.
  ///
  /// `direction.N` is the vector of block N, as in llama.cpp's loader and the GLP specification;
  /// the metadata declares this. llama.cpp adds it at every token and ignores `positions`.
  ///
  /// - Parameters:
  ///   - blocks: the blocks to write; nil for all that the vector has.
  ///   - modelHint: the name of the model's architecture in other tools.
  /// - Throws: `export.inexpressible` for sites other than outputs of blocks from 1 on and for
  ///   operations other than `add`; `file.*`, `disk.*`.
  public func writeControlVector(
    to path: String, blocks: LayerSelection? = nil, modelHint: String, replacing: Bool = false
  ) throws(Refusal) {
    guard operation == .add else {
      throw Refusal(
        .exportInexpressible, file: file, found: "the operation \(operation.rawValue)",
        expected: "add: llama.cpp always adds a vector")
    }
    try blocks?.check(blockCount: model.layerCount)
    let chosen = try outputs(of: blocks)
    if chosen.first?.block == 0 {
      throw Refusal(
        .exportInexpressible, file: file, at: .tensor(Site.output(block: 0).name), found: "block 0",
        expected: "blocks from 1 on: llama.cpp rejects a file with direction.0",
        remedy: "Leave it out with `layers` 1-\(max(1, model.layerCount - 1)).")
    }
    var writer = GGUFWriter()
    var content = SHA256()
    for (_, value) in chosen { unsafe value.withUnsafeBytes { unsafe content.update($0) } }
    let values: [(String, GGUFNewValue)] = [
      ("general.architecture", .string("controlvector")),
      ("controlvector.model_hint", .string(modelHint)),
      ("controlvector.layer_count", .uint32(UInt32(chosen.count))),
      ("glp.mode", .string("add")), ("glp.spec_version", .uint32(1)),
      ("glp.alpha_default", .float32(1)), ("glp.rank", .uint32(1)),
      ("glp.hook_point", .string("residual_stream_post_layer")),
      ("glp.derived_at", .string("residual_stream_post_layer")),
      ("glp.layer_ids_zero_based", .boolean(true)), ("glp.method", .string(training.method)),
      ("glp.content_sha256", .string(content.finalize().description)),
      ("general.base_model.count", .uint32(1)),
      ("general.base_model.0.name", .string(model.architecture)),
      (ControlVectorFile.identityKey, .string(model.identity.description)),
    ]
    for (key, value) in values { writer.set(key, value) }
    for (block, value) in chosen { try writer.add("direction.\(block)", value) }
    try writer.publish(to: path, replacing: replacing)
  }

  /// The vectors of blocks' outputs, in the blocks' order.
  ///
  /// - Throws: `export.inexpressible` for other sites, and if nothing is left.
  func outputs(
    of blocks: LayerSelection?
  ) throws(Refusal) -> [(block: Int, value: Tensor)] {
    var outputs: [(block: Int, value: Tensor)] = []
    for (site, value) in vectors {
      guard case .output(let block)? = site.site else {
        throw Refusal(
          .exportInexpressible, file: file, at: .tensor(site.name), found: "a vector of this site",
          expected: "outputs of blocks: the format cannot express states and parts",
          remedy: "Train with `sites` residual, or export to .npz or .pt.")
      }
      if blocks?.contains(block) ?? true { outputs.append((block, value)) }
    }
    guard !outputs.isEmpty else {
      throw Refusal(
        .exportInexpressible, file: file, found: "no vector of these blocks",
        expected: "at least one")
    }
    return outputs.sorted { $0.block < $1.block }
  }
}
