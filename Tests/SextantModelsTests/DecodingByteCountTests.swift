import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// One step reads the whole embedding only if it is also the output head.
@Test(arguments: ["mamba", "rwkv7", "gpt-neox", "llama"])
func decodingReadsEveryMatrixButALookedUpEmbedding(_ name: String) throws {
  let pair = try #require(Architectures.named(name)).tiedPair
  let folder = TemporaryFolder()
  let weights = [
    ("blocks.0.weight", Tensor(zeros: [5, 3])), (pair.embedding, Tensor(zeros: [7, 3])),
    (pair.head, Tensor(zeros: [7, 3], dataType: .bf16)),
  ]
  func byteCount(_ tensors: [(name: String, tensor: Tensor)]) throws -> Int {
    let path = folder.path("\(tensors.count).sxt")
    try StoreWriter.publish(
      tensors, to: path, architecture: name, configuration: JSONObject())
    return try ModelStore(opening: path).decodingByteCount
  }
  #expect(try byteCount(weights) == 5 * 3 * 4 + 7 * 3 * 2)
  #expect(try byteCount(Array(weights.prefix(2))) == 5 * 3 * 4 + 7 * 3 * 4)
}
