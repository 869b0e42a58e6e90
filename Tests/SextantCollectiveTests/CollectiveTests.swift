import SextantBytes
import SextantCollective
import SextantTensor
import SextantTestSupport
import Testing

/// Ranks exchange messages, share work and agree; here they are threads.
@Suite struct CollectiveTests {
  static let sizes = 1...8

  /// A refusal made by a test.
  private static let refusal = Refusal(.dataRecord, found: "a fault", expected: "none")

  @Test(arguments: sizes)
  func messagesArriveWhereTheyWereSent(size: Int) throws {
    let received = try ThreadGroup.run(size) { ranks throws(Refusal) -> [[[UInt8]]] in
      var rounds: [[[UInt8]]] = []
      for round in 0..<3 {
        // Messages of different lengths, some of them empty.
        let messages = (0..<ranks.size).map { to in
          [UInt8](repeating: UInt8(10 * ranks.rank + to), count: (ranks.rank + to + round) % 3)
        }
        rounds.append(try ranks.exchange(messages))
      }
      return rounds
    }
    for (to, rounds) in received.enumerated() {
      for (round, messages) in rounds.enumerated() {
        #expect(
          messages
            == (0..<size).map { from in
              [UInt8](repeating: UInt8(10 * from + to), count: (from + to + round) % 3)
            })
      }
    }
  }

  /// Addition of these numbers depends on the order in every bit that is compared.
  @Test(arguments: sizes, [0, 1, 7, 16])
  func resultsComeInTheOrderOfTheJobs(size: Int, count: Int) throws {
    let number = { @Sendable (index: Int) in 1 / Double(index + 3) * (index % 2 == 0 ? 1e9 : -1) }
    let expected = (0..<count).map(number)
    let found = try ThreadGroup.run(size) {
      ranks throws(Refusal) -> (all: [Double], first: [Double]?, sum: Double, jobs: Int) in
      var jobs = 0
      let job = { (index: Int) throws(Refusal) -> Double in
        jobs += 1
        return number(index)
      }
      let all = try ranks.map(
        count, job, pack: { $1.put($0) },
        unpack: { reader throws(Refusal) in try reader.double() })
      let first = try ranks.mapToFirst(
        count, { number($0) }, pack: { $1.put($0) },
        unpack: { reader throws(Refusal) in try reader.double() })
      var sum = 0.0
      var places: [Int] = []
      try ranks.stream(
        count, { number($0) }, pack: { value, _, message in message.put(value) },
        unpack: { _, reader throws(Refusal) in try reader.double() },
        use: { place, value in
          places.append(place)
          sum += value
        })
      #expect(places == Array(0..<count))
      return (all, first, sum, jobs)
    }
    for (rank, found) in found.enumerated() {
      #expect(found.all == expected && found.sum == expected.reduce(0, +))
      #expect(found.first == (rank == 0 ? expected : nil))
      // The work is divided.
      #expect(found.jobs == (count + size - 1 - rank) / size)
    }
  }

  @Test func everyRankSeesTheFirstFactThatDiffers() throws {
    let check = { (values: [[String]]) throws -> Refusal? in
      try ThreadGroup.run(values.count) { ranks throws(Refusal) -> Refusal? in
        do throws(Refusal) {
          try ranks.requireSame(
            zip(["version", "kernels", "BLAS core"], values[ranks.rank]).map { ($0, $1) })
          return nil
        } catch { return error }
      }.reduce(into: nil) { first, found in
        if let first { #expect(first == found) }
        first = found
      }
    }
    #expect(try check([["1", "avx2", "Zen"], ["1", "avx2", "Zen"]]) == nil)
    let refusal = try #require(
      try check([["1", "avx2", "Zen"], ["1", "avx2", "Zen"], ["1", "portable", "Haswell"]]))
    #expect(refusal.code == .usageRanks)
    #expect(refusal.found.hasPrefix("rank 2 (on ") && refusal.found.hasSuffix("kernels portable"))
    #expect(refusal.expected.hasPrefix("avx2, as rank 0"))
  }

  @Test func aRankThatRefusesEndsTheOthers() throws {
    for rank in 0..<3 {
      let refusal = expectRefusal(.dataRecord) {
        _ = try ThreadGroup.run(3) { ranks throws(Refusal) -> Int in
          if ranks.rank == rank { throw Self.refusal }
          while true { _ = try ranks.share(Message()) }
        }
      }
      #expect(refusal == Self.refusal)
    }
  }

  @Test func messagesKeepEveryBit() throws {
    var message = Message()
    let tensor = Tensor([1, -0, .leastNonzeroMagnitude, 3], shape: [2, 2])
    let doubles = [-0.0, .pi, .leastNonzeroMagnitude, 1e300]
    message.put(-7)
    message.put("a é")
    message.put(doubles)
    message.put(tensor)
    message.put(0.1)
    message.put([Float(2.5)])
    var reader = MessageReader(message.bytes)
    #expect(try reader.integer() == -7)
    #expect(try reader.text() == "a é")
    #expect(try reader.doubles().map(\.bitPattern) == doubles.map(\.bitPattern))
    #expect(try reader.tensor() == tensor)
    expectRefusal(.systemRanks) { try reader.expectEnd() }
    #expect(try reader.double() == 0.1)
    #expect(try reader.floats() == [2.5])
    try reader.expectEnd()
    expectRefusal(.systemRanks) { try reader.integer() }
  }

  /// Sizes come from another process: none of them makes this one take memory or trap.
  @Test func damagedMessagesAreRefused() {
    for count in [-1, 2, 1 << 40, Int.max, Int.min] {
      var message = Message()
      message.put(count)
      message.put(1.0)
      expectRefusal(.systemRanks) {
        var reader = MessageReader(message.bytes)
        return try reader.doubles()
      }
      var tensor = Message()
      tensor.put(2)
      tensor.put(count)
      tensor.put(count)
      expectRefusal(.systemRanks) {
        var reader = MessageReader(tensor.bytes)
        return try reader.tensor()
      }
    }
  }
}
