import CSextantKernels
import Glibc
import SextantLocks
import Synchronization
import Testing

@testable import SextantTensor

/// Counters that chunks may raise from any thread.
private final class Counters: Sendable {
  private let counts: Lock<[Int]>

  init(_ count: Int) { counts = Lock([Int](repeating: 0, count: count)) }

  func raise(_ index: Int) { counts.withLock { $0[index] += 1 } }
  var values: [Int] { counts.withLock { $0 } }
}

@Suite struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 1000])
  func callsEachIndexOnce(threads: Int, count: Int) {
    let pool = WorkerPool(threads: threads)
    let counters = Counters(count)
    pool.forEach(count) { counters.raise($0) }
    #expect(counters.values == [Int](repeating: 1, count: count))
    #expect(pool.threadCount == threads)
  }

  @Test func manyShortLoopsInARow() {
    let pool = WorkerPool(threads: 4)
    let total = Atomic<Int>(0)
    for loop in 0..<5000 {
      pool.forEach(loop % 9) { total.add($0 + 1, ordering: .relaxed) }
    }
    let expected = (0..<5000).reduce(0) { sum, loop in sum + (loop % 9) * (loop % 9 + 1) / 2 }
    #expect(total.load(ordering: .relaxed) == expected)
  }

  @Test func sleepersWakeForTheNextLoop() {
    let pool = WorkerPool(threads: 3)
    let counters = Counters(100)
    for _ in 0..<5 {
      usleep(3000)
      pool.forEach(100) { counters.raise($0) }
    }
    #expect(counters.values == [Int](repeating: 5, count: 100))
  }

  @Test func nestedLoopsRunOnTheirOwnThread() {
    let pool = WorkerPool(threads: 3)
    let counters = Counters(20 * 30)
    pool.forEach(20) { outer in
      let thread = pthread_self()
      pool.forEach(30) { inner in
        counters.raise(outer * 30 + inner)
        if pthread_equal(thread, pthread_self()) == 0 { counters.raise(0) }
      }
    }
    #expect(counters.values == [Int](repeating: 1, count: 600))
  }

  @Test func severalThreadsMayUseOnePool() async {
    let pool = WorkerPool(threads: 3)
    let counters = Counters(64)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask { for _ in 0..<200 { pool.forEach(64) { counters.raise($0) } } }
      }
    }
    #expect(counters.values == [Int](repeating: 1600, count: 64))
  }

  @Test func aSlotServesOneChunkAtATime() {
    let pool = WorkerPool(threads: 4)
    let inUse = Lock([Bool](repeating: false, count: 4))
    let clashes = Atomic<Int>(0)
    pool.forEach(2000) { _, slot in
      let clash = inUse.withLock { slots in
        defer { slots[slot] = true }
        return slots[slot]
      }
      if clash { clashes.add(1, ordering: .relaxed) }
      inUse.withLock { $0[slot] = false }
    }
    #expect(clashes.load(ordering: .relaxed) == 0)
  }

  @Test(arguments: [(0, 5), (1, 5), (10, 3), (9, 3), (10, 0), (10, 100)])
  func splitsAtMultiplesOfTheGrain(count: Int, grain: Int) {
    let ranges = Lock<[Range<Int>]>([])
    WorkerPool(threads: 2).split(count, by: grain) { range in ranges.withLock { $0.append(range) } }
    let sorted = ranges.withLock { $0 }.sorted { $0.lowerBound < $1.lowerBound }
    let step = max(grain, 1)
    #expect(sorted == stride(from: 0, to: count, by: step).map { $0..<min($0 + step, count) })
  }

  @Test func theSharedPoolKeepsItsSizeOnceUsed() {
    let size = WorkerPool.shared.threadCount
    #expect(size >= 1)
    #expect(!WorkerPool.setSharedThreadCount(size + 1))
    #expect(!WorkerPool.setSharedThreadCount(0))
    #expect(WorkerPool.shared.threadCount == size)
  }

  @Test func thereIsAtLeastOneProcessor() {
    #expect(ProcessorCount.available >= 1)
  }

  @Test(
    arguments: [
      ("max 100000\n", nil), ("200000 100000\n", 2), ("150000 100000", 2), ("1 100000", 1),
      ("-1\n 100000\n", nil), ("0 100000", nil), ("100 0", nil), ("", nil), ("x y", nil),
      ("1 2 3", nil),
    ] as [(String, Int?)])
  func readsTheQuotaOfAControlGroup(text: String, processors: Int?) {
    #expect(ProcessorCount.quota(cpuMax: text) == processors)
  }
}

@Suite struct KernelChoiceTests {
  @Test(arguments: KernelLevel.available)
  func aLevelIsChosenByName(_ level: KernelLevel) {
    #expect(sxk_choose(sxk_level_name(level.level)).pointee.level == level.level)
  }

  @Test(arguments: ["", "best", "AVX2", "avx512 "])
  func anUnknownNameGivesTheBestLevel(name: String) {
    #expect(sxk_choose(name) == sxk_choose(nil))
    #expect(sxk_choose(nil).pointee.level == KernelLevel.available.last?.level)
  }

  @Test func theLevelInUseHasAName() {
    #expect(["portable", "neon", "avx2", "avx512", "avx512-dot"].contains(Kernels.level))
  }
}
