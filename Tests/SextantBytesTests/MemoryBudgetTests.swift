import Glibc
import SextantTestSupport
import Testing

@testable import SextantBytes

/// The system reports how much memory is available. Work that needs more is refused.
@Suite struct MemoryBudgetTests {
  private let root = TemporaryFolder()

  private func system(_ files: [(path: String, text: String)]) -> MemoryBudget.Limit {
    for (path, text) in files {
      var folder = ""
      for part in path.split(separator: "/").dropLast() {
        folder += folder.isEmpty ? "\(part)" : "/\(part)"
        if access(root.path(folder), F_OK) != 0 { root.makeFolder(folder) }
      }
      root.write(text, to: path)
    }
    return MemoryBudget.Limit.tightest(root: root.path)
  }

  private let memory = (
    "proc/meminfo", "MemTotal: 99 kB\nMemAvailable:  1000 kB\nSwapFree: 24 kB\n"
  )

  @Test func machineGivesWhatIsAvailableAndSwap() {
    #expect(system([memory]).byteCount == 1024 << 10)
  }

  @Test func controlGroupOfTheProcessOrOneAboveItLimits() {
    let limit = system([
      memory, ("proc/self/cgroup", "0::/outer/inner\n"),
      ("sys/fs/cgroup/outer/memory.max", "600000\n"),
      ("sys/fs/cgroup/outer/memory.current", "500000\n"),
      ("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 20000\n"),
      ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
      ("sys/fs/cgroup/outer/inner/memory.current", "500000\n"),
    ])
    #expect(limit.byteCount == 120_000)
    #expect(limit.source.contains("control group"))
  }

  @Test func firstVersionOfControlGroupsLimitsToo() {
    let limit = system([
      memory, ("proc/self/cgroup", "5:cpu:/a\n4:memory,other:/a\n"),
      ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"),
      ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "2000\n"),
    ])
    #expect(limit.byteCount == 0)
  }

  @Test func needsBeyondAllMemoryAreRefusedWithTheFigure() {
    let refusal = #expect(throws: Refusal.self) {
      try MemoryBudget.check(1 << 60, for: "the logits of 9 tokens", remedy: "Read less.")
    }
    #expect(refusal?.code == .systemMemory)
    #expect(refusal?.found == "\(1 << 60) bytes for the logits of 9 tokens")
    #expect(refusal?.remedy == "Read less.")
    #expect(throws: Never.self) { try MemoryBudget.check(1 << 20, for: "little") }
  }

  @Test func aTaskMayHaveALimitOfItsOwn() {
    MemoryBudget.$taskLimit.withValue(100) {
      #expect(throws: Never.self) { try MemoryBudget.check(100, for: "little") }
      let refusal = #expect(throws: Refusal.self) {
        try MemoryBudget.check(101, for: "a bit more")
      }
      #expect(refusal?.code == .systemMemory && refusal?.expected.contains("100 bytes") == true)
    }
    #expect(throws: Never.self) { try MemoryBudget.check(101, for: "a bit more") }
  }

  @Test func productsAndSumsThatOverflowAreTheLargestNumber() {
    #expect(MemoryBudget.product(3, 4, 5) == 60)
    #expect(MemoryBudget.product(Int.max, 2) == .max)
    #expect(MemoryBudget.product(Int.max, Int.max, 0) == 0)
    #expect(MemoryBudget.sum([Int.max, 1]) == .max)
    #expect(MemoryBudget.sum([1, 2]) == 3)
  }
}
