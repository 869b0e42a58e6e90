import Testing

@testable import SextantTensor

/// The memory of tensors is used again, and never by two tensors at the same time.
@Suite struct BlockCacheTests {
  @Test(arguments: [0, 1, 3072, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1_000_003])
  func aBlockThatIsGivenBackIsTakenAgain(byteCount: Int) {
    let cache = BlockCache(limit: 4 << 20)
    let first = cache.take(byteCount)
    let second = cache.take(byteCount)
    #expect(first != second)
    cache.giveBack(first, byteCount)
    #expect(cache.unusedByteCount >= byteCount)
    #expect(cache.take(byteCount) == first)
    #expect(cache.unusedByteCount == 0)
    cache.giveBack(first, byteCount)
    cache.giveBack(second, byteCount)
  }

  @Test func aBlockOfAnotherSizeIsNotTaken() {
    let cache = BlockCache(limit: 4 << 20)
    let block = cache.take(1 << 20)
    cache.giveBack(block, 1 << 20)
    let other = cache.take(2 << 20)
    #expect(cache.unusedByteCount == 1 << 20)
    cache.giveBack(other, 2 << 20)
  }

  @Test func beyondTheLimitTheLongestUnusedGo() {
    let cache = BlockCache(limit: 2 << 20)
    let blocks = (0..<3).map { _ in cache.take(1 << 20) }
    for block in blocks { cache.giveBack(block, 1 << 20) }
    #expect(cache.unusedByteCount == 2 << 20)
    #expect(cache.take(1 << 20) == blocks[2])
    #expect(cache.take(1 << 20) == blocks[1])
    #expect(cache.unusedByteCount == 0)
    for block in blocks[1...] { cache.giveBack(block, 1 << 20) }
  }

  @Test func ofManySmallBlocksOfOneSizeAQuarterOfAMegabyteIsKept() {
    let cache = BlockCache(limit: 2 << 20)
    let blocks = (0..<300).map { _ in cache.take(3000) }
    for block in blocks { cache.giveBack(block, 3000) }
    #expect(cache.unusedByteCount == (256 << 10) / (3 << 10) * (3 << 10))
  }

  @Test func aBlockLargerThanTheLimitIsNotKept() {
    let cache = BlockCache(limit: 1 << 20)
    cache.giveBack(cache.take(2 << 20), 2 << 20)
    #expect(cache.unusedByteCount == 0)
  }

  @Test(arguments: [1, 64 << 10, 100_000])
  func everyByteOfABlockCanBeWritten(byteCount: Int) {
    let cache = BlockCache(limit: 1 << 20)
    let block = cache.take(byteCount)
    #expect(Int(bitPattern: block) % TensorStorage.alignment == 0)
    block.initializeMemory(as: UInt8.self, repeating: 7, count: byteCount)
    #expect(block.load(fromByteOffset: byteCount - 1, as: UInt8.self) == 7)
    cache.giveBack(block, byteCount)
  }

  @Test func tensorsOfEqualSizeKeepTheirOwnNumbers() {
    let count = 1 << 16
    let first = Tensor([Float](repeating: 1, count: count), shape: [count])
    for _ in 0..<3 { _ = Tensor([Float](repeating: 2, count: count), shape: [count]) }
    let second = Tensor(zeros: [count])
    #expect(first.values.allSatisfy { $0 == 1 })
    #expect(second.values.allSatisfy { $0 == 0 })
  }
}
