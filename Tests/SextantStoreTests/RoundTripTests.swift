import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct RoundTripTests {
  @Test func whatIsWrittenIsRead() throws {
    let folder = TemporaryFolder()
    let path = folder.path("model.sxt")
    let sample = Sample()
    let identity = try sample.write(to: path)

    let store = try ModelStore(opening: path)
    #expect(store.path == path)
    #expect(store.architecture == sample.architecture)
    #expect(store.configuration == sample.configuration)
    #expect(store.variant == "source")
    #expect(store.identity == identity)
    #expect(store.fileByteCount == (try contents(of: path).count))
    #expect(store.tensors.map(\.name) == ["a.bias", "b.weight", "empty", "scalar"])
    for piece in sample.tensors {
      let tensor = try store.tensor(piece.plan.name)
      #expect(store.hasTensor(piece.plan.name))
      #expect(tensor.dataType == piece.plan.dataType)
      #expect(tensor.shape == piece.plan.shape)
      #expect(tensor.withUnsafeBytes { Array($0) } == piece.stored)
      let entry = try #require(store.entry(piece.plan.name))
      #expect(entry.digest == SHA256.digest(piece.stored))
      #expect(entry.offset % 64 == 0)
      #expect(entry.byteCount == piece.stored.count)
      #expect(!entry.isConverted)
    }
    #expect(try store.attachment("tokenizer.json") == Array("{}".utf8))
    #expect(try store.attachment("vocab.txt") == nil)
    #expect(!store.hasTensor("c"))
    expectRefusal(.modelTensorMissing) { try store.tensor("c") }
    try store.verify()
  }
}
