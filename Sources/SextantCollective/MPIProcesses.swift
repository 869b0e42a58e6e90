import CSextantMPI
import Glibc
import SextantBytes

/// Ranks that are processes of MPI, through the plugin that is compiled for the MPI of the place.
package struct MPIProcesses: Collective, @unchecked Sendable {
  private let table: UnsafePointer<sextant_mpi>

  package var rank: Int { Int(table.pointee.rank) }
  package var size: Int { Int(table.pointee.size) }
  /// The name and version of the MPI library.
  package var library: String { table.pointee.library.map { String(cString: $0) } ?? "MPI" }

  /// The name of the plugin in the folder of the executable.
  package static let pluginName = "sextant-mpi.so"

  /// The path of the plugin; nil for none.
  ///
  /// It is the absolute path that the variable `SEXTANT_MPI` of the environment contains, or a file beside
  /// the executable. No other folder is searched, because a library is code.
  ///
  /// - Throws: `system.ranks` for a path that is not absolute.
  package static func pluginPath() throws(Refusal) -> String? {
    if let named = getenv("SEXTANT_MPI").map({ String(cString: $0) }), !named.isEmpty {
      guard named.hasPrefix("/") else {
        throw Refusal(
          .systemRanks, found: "SEXTANT_MPI=\(named)", expected: "an absolute path, or none",
          remedy: "Name the plugin with its whole path, or set SEXTANT_MPI=none to run alone.")
      }
      return named
    }
    guard let folder = ExecutableFolder.path else { return nil }
    let path = "\(folder)/\(pluginName)"
    return access(path, F_OK) == 0 ? path : nil
  }

  /// Opens a plugin, and starts MPI.
  ///
  /// - Throws: `system.ranks` for a file that is no plugin of this version, or an MPI that does not start.
  package init(plugin path: String) throws(Refusal) {
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw Refusal(
        .systemRanks, file: path, found: dlerror().map { String(cString: $0) } ?? "no library",
        expected: "the plugin for MPI", remedy: "Compile it again with `make mpi`.")
    }
    guard let symbol = dlsym(library, "sextant_mpi_open") else {
      throw Refusal(
        .systemRanks, file: path, found: "a library without sextant_mpi_open",
        expected: "the plugin for MPI", remedy: "Compile it again with `make mpi`.")
    }
    let open = unsafeBitCast(symbol, to: sextant_mpi_open_function.self)
    var text = [CChar](repeating: 0, count: 512)
    guard let table = open(&text, UInt64(text.count - 1)) else {
      throw Refusal(
        .systemRanks, file: path, found: Self.string(text), expected: "an MPI that starts")
    }
    guard table.pointee.version == UInt32(SEXTANT_MPI_VERSION) else {
      throw Refusal(
        .systemRanks, file: path, found: "a plugin of version \(table.pointee.version)",
        expected: "version \(SEXTANT_MPI_VERSION)", remedy: "Compile it again with `make mpi`.")
    }
    self.table = table
  }

  package func exchange(_ messages: [[UInt8]]) throws(Refusal) -> [[UInt8]] {
    precondition(messages.count == size)
    let outCounts = messages.map { UInt64($0.count) }
    var inCounts = [UInt64](repeating: 0, count: size)
    try check(table.pointee.counts(outCounts, &inCounts))
    let total = MemoryBudget.sum(inCounts.map { Int(clamping: $0) })
    try MemoryBudget.check(total, for: "the messages of \(counted(size, "rank"))")
    // One block of memory receives all messages, one after the other.
    let block = UnsafeMutableRawPointer.allocate(byteCount: max(total, 1), alignment: 16)
    let targets = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: size)
    let sources = UnsafeMutablePointer<UnsafeRawPointer?>.allocate(capacity: size)
    defer {
      block.deallocate()
      targets.deallocate()
      sources.deallocate()
    }
    var starts: [Int] = []
    var start = 0
    for (rank, count) in inCounts.enumerated() {
      starts.append(start)
      (targets + rank).initialize(to: block + start)
      start += Int(count)
    }
    var code: Int32 = 0
    Self.withPointers(to: messages, 0, into: sources) {
      code = table.pointee.exchange(sources, outCounts, targets, inCounts)
    }
    try check(code)
    return (0..<size).map { rank in
      Array(UnsafeRawBufferPointer(start: block + starts[rank], count: Int(inCounts[rank])))
    }
  }

  /// Calls `body` while `pointers` point to the bytes of all messages from `place` on.
  private static func withPointers(
    to messages: [[UInt8]], _ place: Int, into pointers: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ body: () -> Void
  ) {
    guard place < messages.count else { return body() }
    messages[place].withUnsafeBytes { bytes in
      (pointers + place).initialize(to: bytes.baseAddress)
      withPointers(to: messages, place + 1, into: pointers, body)
    }
  }

  /// Ends MPI, when the work of all ranks is done.
  package func finish() throws(Refusal) { try check(table.pointee.finish()) }

  /// Ends all ranks with an exit status.
  package func giveUp(_ status: Int32) -> Never {
    table.pointee.give_up(status)
    exit(status)
  }

  private func check(_ code: Int32) throws(Refusal) {
    guard code != 0 else { return }
    var text = [CChar](repeating: 0, count: 512)
    table.pointee.describe(code, &text, UInt64(text.count - 1))
    throw Refusal(.systemRanks, found: Self.string(text), expected: "messages that arrive")
  }

  private static func string(_ text: [CChar]) -> String {
    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
