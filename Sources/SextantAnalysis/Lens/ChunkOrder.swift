import SextantTensor

/// The order in which training reads the chunks of a corpus: every chunk once in each round, every
/// round in an order of its own.
struct ChunkOrder {
  private let count: Int
  private let seed: UInt64
  private var round = -1
  private var order: [Int] = []

  init(count: Int, seed: Int) {
    self.count = count
    self.seed = UInt64(bitPattern: Int64(seed))
  }

  /// The chunk that is read at a place in the endless sequence of rounds.
  mutating func chunk(at place: Int) -> Int {
    if place / count != round {
      round = place / count
      let keys = (0..<count).map { key(of: $0) }
      order = (0..<count).sorted { (keys[$0], $0) < (keys[$1], $1) }
    }
    return order[place % count]
  }

  /// A number that looks random, of seed, round and index.
  private func key(of index: Int) -> UInt64 {
    var z = SeededRandom.mixed(seed &+ 0x9E37_79B9_7F4A_7C15)
    z = SeededRandom.mixed(z ^ UInt64(round))
    return SeededRandom.mixed(z &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
  }
}
