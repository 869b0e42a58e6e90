import Glibc
import SextantBytes

/// The processes that run one command together: its ranks.
///
/// A rank is one of `size` processes. All ranks call the same functions in the same order. No result
/// depends on the number of ranks: values are put into an order that the data decide, and are added in
/// that order.
package protocol Collective: Sendable {
  /// This process among all, from 0. Rank 0 prints and writes files.
  var rank: Int { get }
  /// The number of processes.
  var size: Int { get }

  /// Sends a message to each rank, and receives one from each.
  ///
  /// - Parameter messages: by rank, `size` of them; a rank may send to itself.
  /// - Returns: the messages of all ranks to this one, by rank.
  /// - Throws: `system.ranks` if another rank has ended, or the transport fails.
  func exchange(_ messages: [[UInt8]]) throws(Refusal) -> [[UInt8]]
}

/// One process alone: rank 0 of 1.
package struct Alone: Collective {
  package let rank = 0
  package let size = 1

  package init() {}

  package func exchange(_ messages: [[UInt8]]) throws(Refusal) -> [[UInt8]] { messages }
}

extension Collective {
  /// Whether this is the rank that prints and writes files.
  package var isFirst: Bool { rank == 0 }

  /// The numbers below `count` that this rank owns: every `size`-th.
  package func owned(_ count: Int) -> [Int] { owned(count, by: rank) }

  /// The numbers below `count` that a rank owns.
  package func owned(_ count: Int, by rank: Int) -> [Int] {
    Array(stride(from: rank, to: count, by: size))
  }

  /// The messages of all ranks, by rank, on every rank.
  package func share(_ message: Message) throws(Refusal) -> [MessageReader] {
    if size == 1 { return [MessageReader(message.bytes)] }
    return try exchange(Array(repeating: message.bytes, count: size)).map { MessageReader($0) }
  }

  /// The messages of all ranks, by rank, on the first rank; nil on the others.
  package func gather(_ message: Message) throws(Refusal) -> [MessageReader]? {
    var messages = [[UInt8]](repeating: [], count: size)
    messages[0] = message.bytes
    let received = try exchange(messages)
    return isFirst ? received.map { MessageReader($0) } : nil
  }

  // MARK: Work that is divided

  /// Does independent jobs, each on one rank, and places the results.
  ///
  /// - Parameters:
  ///   - count: jobs; job i is done by rank i modulo `size`.
  ///   - job: does a job.
  ///   - pack, unpack: write and read a result; not called for one process.
  /// - Returns: the results in the order of the jobs, on every rank.
  package func map<Result>(
    _ count: Int, _ job: (Int) throws(Refusal) -> Result,
    pack: (Result, inout Message) -> Void,
    unpack: (inout MessageReader) throws(Refusal) -> Result
  ) throws(Refusal) -> [Result] {
    if size == 1 { return try (0..<count).map(job) }
    return try ordered(count, share(packed(count, job, pack)), unpack)
  }

  /// As `map`, but the results are only on the first rank; nil on the others.
  package func mapToFirst<Result>(
    _ count: Int, _ job: (Int) throws(Refusal) -> Result,
    pack: (Result, inout Message) -> Void,
    unpack: (inout MessageReader) throws(Refusal) -> Result
  ) throws(Refusal) -> [Result]? {
    if size == 1 { return try (0..<count).map(job) }
    return try gather(packed(count, job, pack)).map { readers throws(Refusal) in
      try ordered(count, readers, unpack)
    }
  }

  /// The results of the jobs of this rank, as a message.
  private func packed<Result>(
    _ count: Int, _ job: (Int) throws(Refusal) -> Result, _ pack: (Result, inout Message) -> Void
  ) throws(Refusal) -> Message {
    var message = Message()
    for index in owned(count) { pack(try job(index), &message) }
    return message
  }

  /// The values of owned numbers, read from the messages of their owners, in the order of the numbers.
  package func ordered<Value>(
    _ count: Int, _ readers: [MessageReader],
    _ unpack: (inout MessageReader) throws(Refusal) -> Value
  ) throws(Refusal) -> [Value] {
    var readers = readers
    var values: [Value] = []
    values.reserveCapacity(count)
    for index in 0..<count { values.append(try unpack(&readers[index % size])) }
    for reader in readers { try reader.expectEnd() }
    return values
  }

  /// Does jobs in rounds, a job for each rank at a time, and gives their values to all ranks in the order
  /// of the jobs.
  ///
  /// A rank receives only what `pack` writes for it, such as the values of the sites that it owns. So it
  /// can add the values of all jobs in one order, as a single process does, and get the same bits.
  ///
  /// - Parameters:
  ///   - count: jobs; job i is done by rank i modulo `size`.
  ///   - job: does a job.
  ///   - pack: writes the part of a value that a rank needs.
  ///   - unpack: reads the part of this rank; it is given the number of the job.
  ///   - use: is given the parts in the order of the jobs.
  package func stream<Value>(
    _ count: Int, _ job: (Int) throws(Refusal) -> Value,
    pack: (Value, _ rank: Int, inout Message) -> Void,
    unpack: (Int, inout MessageReader) throws(Refusal) -> Value,
    use: (Int, Value) throws(Refusal) -> Void
  ) throws(Refusal) {
    if size == 1 {
      for index in 0..<count { try use(index, try job(index)) }
      return
    }
    for start in stride(from: 0, to: count, by: size) {
      var messages = [[UInt8]](repeating: [], count: size)
      if start + rank < count {
        let value = try job(start + rank)
        for other in 0..<size {
          var message = Message()
          pack(value, other, &message)
          messages[other] = message.bytes
        }
      }
      let received = try exchange(messages)
      for index in start..<min(start + size, count) {
        var reader = MessageReader(received[index - start])
        try use(index, try unpack(index, &reader))
        try reader.expectEnd()
      }
    }
  }

  // MARK: Agreement

  /// Refuses ranks that differ in something that the result depends on.
  ///
  /// - Parameter facts: names and values of this rank; all ranks give the same names.
  /// - Throws: `usage.ranks`, on every rank, for the first fact and rank that differ from those of rank 0.
  package func requireSame(_ facts: [(name: String, value: String)]) throws(Refusal) {
    guard size > 1 else { return }
    var message = Message()
    message.put(hostName())
    for fact in facts { message.put(fact.value) }
    var ranks: [(host: String, values: [String])] = []
    for var reader in try share(message) {
      let host = try reader.text()
      ranks.append((host, try facts.map { _ throws(Refusal) in try reader.text() }))
    }
    for (place, fact) in facts.enumerated() {
      for (rank, other) in ranks.enumerated() where other.values[place] != ranks[0].values[place] {
        throw Refusal(
          .usageRanks,
          found: "rank \(rank) (on \(other.host)) with the \(fact.name) \(other.values[place])",
          expected: "\(ranks[0].values[place]), as rank 0 (on \(ranks[0].host)) has")
      }
    }
  }
}

/// The name of this machine.
package func hostName() -> String {
  var bytes = [CChar](repeating: 0, count: 256)
  guard gethostname(&bytes, bytes.count - 1) == 0 else { return "unknown" }
  return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
