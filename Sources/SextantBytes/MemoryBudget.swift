import Glibc

/// The memory that the process can still get, and refusals of work that needs more.
package enum MemoryBudget {
  /// Needs up to this are not compared with anything.
  private static let smallByteCount = 16 << 20

  /// The memory limit of the current task, in addition to the limits of the system; nil for no
  /// limit of its own.
  @TaskLocal package static var taskLimit: Int?

  /// Refuses work that needs more memory than there is.
  ///
  /// - Parameters:
  ///   - byteCount: the memory that the work needs in addition to the memory of the process.
  ///   - what: the purpose of the memory, such as `the logits of 70,000 tokens`.
  ///   - remedy: how to need less.
  /// - Throws: `system.memory`.
  package static func check(
    _ byteCount: Int, for what: String, remedy: String? = nil
  ) throws(Refusal) {
    guard byteCount > min(smallByteCount, taskLimit ?? .max) else { return }
    let limit =
      taskLimit.map { Limit(byteCount: $0, source: "the task may take") } ?? Limit.tightest()
    guard byteCount > limit.byteCount else { return }
    throw Refusal(
      .systemMemory, found: "\(text(byteCount)) for \(what)",
      expected: "at most \(text(limit.byteCount)), which \(limit.source)", remedy: remedy)
  }

  /// The product of counts, or `Int.max` if it is larger.
  package static func product(_ factors: Int...) -> Int {
    var product = 1
    for factor in factors {
      let (next, overflow) = product.multipliedReportingOverflow(by: max(factor, 0))
      if overflow { return factors.contains(0) ? 0 : .max }
      product = next
    }
    return product
  }

  /// The sum of counts, or `Int.max` if it is larger.
  package static func sum(_ terms: [Int]) -> Int {
    terms.reduce(0) { sum, term in
      let (next, overflow) = sum.addingReportingOverflow(term)
      return overflow ? .max : next
    }
  }

  private static func text(_ byteCount: Int) -> String {
    byteCount == .max ? "more bytes than can be counted" : "\(byteCount) bytes"
  }

  /// Something that limits the memory of the process.
  struct Limit: Equatable {
    /// Bytes that the process can still get.
    let byteCount: Int
    /// The source of the limit, as the end of a sentence: `which …`.
    let source: String

    /// The limit that is reached first.
    ///
    /// - Parameter root: the folder that contains `proc` and `sys`.
    static func tightest(root: String = "") -> Limit {
      let limits = [machine(root), addressSpace(root)] + controlGroups(root)
      return limits.compactMap { $0 }.min { $0.byteCount < $1.byteCount }
        ?? Limit(byteCount: .max, source: "nothing limits")
    }

    /// The memory of the machine: free memory, caches that it can drop, and swap.
    private static func machine(_ root: String) -> Limit? {
      guard let text = smallFile("\(root)/proc/meminfo"),
        let available = kibibytes(of: "MemAvailable:", in: text)
      else { return nil }
      let swap = kibibytes(of: "SwapFree:", in: text) ?? 0
      return Limit(byteCount: (available + swap) << 10, source: "the machine has available")
    }

    /// The rest below `ulimit -v`.
    private static func addressSpace(_ root: String) -> Limit? {
      var limits = rlimit()
      guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limits) == 0,
        limits.rlim_cur < rlim_t(Int.max),
        let status = smallFile("\(root)/proc/self/status"),
        let used = kibibytes(of: "VmSize:", in: status)
      else { return nil }
      return Limit(
        byteCount: max(Int(limits.rlim_cur) - used << 10, 0),
        source: "the limit of the address space (ulimit -v) leaves")
    }

    /// The rest below the limits of control groups, from the process's own group up.
    private static func controlGroups(_ root: String) -> [Limit] {
      let lines = (smallFile("\(root)/proc/self/cgroup") ?? "").split(separator: "\n")
      var limits: [Limit] = []
      for line in lines {
        let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { continue }
        let isUnified = fields[1].isEmpty
        guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
        let mount = "\(root)/sys/fs/cgroup" + (isUnified ? "" : "/memory")
        var parts = fields[2].split(separator: "/")
        while true {
          let folder = mount + parts.map { "/\($0)" }.joined()
          if let limit = isUnified ? unified(folder) : legacy(folder) { limits.append(limit) }
          if parts.isEmpty { break }
          parts.removeLast()
        }
      }
      return limits
    }

    private static func unified(_ folder: String) -> Limit? {
      group(
        limit: "\(folder)/memory.max", used: "\(folder)/memory.current",
        statistics: "\(folder)/memory.stat", cache: "inactive_file ")
    }

    private static func legacy(_ folder: String) -> Limit? {
      group(
        limit: "\(folder)/memory.limit_in_bytes", used: "\(folder)/memory.usage_in_bytes",
        statistics: "\(folder)/memory.stat", cache: "total_inactive_file ")
    }

    private static func group(
      limit: String, used: String, statistics: String, cache: String
    ) -> Limit? {
      guard let limit = number(smallFile(limit)), let used = number(smallFile(used)) else {
        return nil
      }
      // Pages of files that the group can drop count as used.
      let lines = (smallFile(statistics) ?? "").split(separator: "\n")
      let dropped = lines.first { $0.hasPrefix(cache) }.flatMap { Int($0.dropFirst(cache.count)) }
      return Limit(
        byteCount: max(limit - used + (dropped ?? 0), 0),
        source: "the memory limit of the control group leaves")
    }

    private static func number(_ text: String?) -> Int? {
      text?.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
    }

    private static func kibibytes(of name: String, in text: String) -> Int? {
      let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
      return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
    }
  }
}
