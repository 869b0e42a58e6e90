import SextantModels
import SextantTensor

/// How probable a token was where it came, and the most probable token there: 12 bytes.
struct TokenScore: Equatable {
  /// The log-probability of the token; NaN if it was not computed.
  var logProbability: Float
  /// The most probable token.
  var best: Int32
  /// Its log-probability.
  var bestLogProbability: Float

  /// Not computed.
  static let unknown = TokenScore(logProbability: .nan, best: 0, bestLogProbability: .nan)
  /// Whether it was computed.
  var isKnown: Bool { !logProbability.isNaN }
}

/// The state after a prefix, and the prediction after it.
struct Snapshot {
  /// A state of one sequence, which shares no memory with a batch.
  var state: State
  /// [V]. Without it, a prompt that ends here would have to be read again by one token.
  var prediction: Tensor
  /// The number of edited tokens of each edit; empty if nothing was edited.
  var editedCounts: [Int] = []
}

/// A tree of token prefixes. A node stands for the tokens on the way to it, and has at most one snapshot;
/// the tokens of its edge have their scores.
final class PrefixNode {
  /// The tokens between the parent and this node.
  fileprivate(set) var edge: [Int32]
  /// Their scores, one for each.
  fileprivate(set) var scores: [TokenScore]
  fileprivate(set) var children: [Int32: PrefixNode] = [:]
  fileprivate(set) weak var parent: PrefixNode?
  /// The state here.
  fileprivate(set) var snapshot: Snapshot?
  /// Bytes of the snapshot.
  fileprivate(set) var byteCount = 0
  /// When a text last started here, or the snapshot was made.
  fileprivate(set) var lastUse: UInt64 = 0
  /// The number of tokens on the way.
  fileprivate(set) var depth: Int

  fileprivate init(
    _ edge: [Int32], _ scores: [TokenScore], depth: Int, parent: PrefixNode?
  ) {
    (self.edge, self.scores, self.depth, self.parent) = (edge, scores, depth, parent)
  }

  /// The root of an empty tree.
  convenience init() { self.init([], [], depth: 0, parent: nil) }

  /// Cuts the edge, so that a node lies after its first `count` tokens.
  fileprivate func split(after count: Int) -> PrefixNode {
    let upper = PrefixNode(
      Array(edge[..<count]), Array(scores[..<count]), depth: depth - edge.count + count,
      parent: parent)
    parent?.children[edge[0]] = upper
    edge.removeFirst(count)
    scores.removeFirst(count)
    upper.children[edge[0]] = self
    parent = upper
    return upper
  }

  /// The tokens of `tokens` after `place` that the edge has, too.
  fileprivate func matchCount(_ tokens: [Int32], from place: Int) -> Int {
    let limit = min(edge.count, tokens.count - place)
    var count = 0
    while count < limit, edge[count] == tokens[place + count] { count += 1 }
    return count
  }

  /// Calls `body` for each node of the tree.
  fileprivate func forEach(_ body: (PrefixNode) -> Void) {
    var stack = [self]
    while let node = stack.popLast() {
      body(node)
      stack += node.children.values
    }
  }
}

/// The states after prefixes that were read, by their tokens.
///
/// There is a tree for each key: prefixes that were read under different steering have nothing in common. A
/// recurrent state cannot be cut back, so that a prompt starts at the deepest snapshot on its way. Not for
/// use by several threads at once.
final class PrefixCache {
  /// What is known of a prompt's beginning.
  struct Found {
    /// Tokens that the snapshot has read; 0 for none.
    var count = 0
    /// The state after them; nil for none.
    var snapshot: Snapshot?
    /// The scores of these tokens.
    var scores: [TokenScore] = []
    /// Tokens that the tree knows, with or without a snapshot there: where the prompt leaves all earlier
    /// ones.
    var matched = 0
  }

  /// Snapshots on the way to one node at most.
  static let pathLimit = 32
  /// Bytes that a token takes: its id and its score.
  static let tokenByteCount = 16

  private let limit: Int
  private var roots: [String: PrefixNode] = [:]
  private var clock: UInt64 = 0
  /// Bytes of all snapshots and tokens.
  private(set) var byteCount = 0
  /// The number of snapshots.
  private(set) var snapshotCount = 0

  /// A cache of at most this number of bytes.
  init(limit: Int) { self.limit = limit }

  /// The deepest snapshot from which a prompt can start.
  ///
  /// - Parameters:
  ///   - most: tokens that the snapshot may have read at most.
  ///   - needsScores: whether the scores of all tokens but the first must be known. The text then gets the
  ///     same figures as if all of it had been read.
  func find(_ prompt: [Int32], key: String, most: Int, needsScores: Bool) -> Found {
    var found = Found()
    guard let root = roots[key] else { return found }
    var (node, scores, isScored) = (root, [TokenScore](), true)
    var best: PrefixNode?
    while found.matched < prompt.count, let next = node.children[prompt[found.matched]] {
      let count = next.matchCount(prompt, from: found.matched)
      found.matched += count
      guard count == next.edge.count, found.matched <= most else { break }
      scores += next.scores
      if needsScores {
        let own = next.scores.dropFirst(found.matched == count ? 1 : 0)
        isScored = isScored && own.allSatisfy(\.isKnown)
      }
      if next.snapshot != nil, isScored { best = next }
      node = next
    }
    guard let best else { return found }
    // Only the snapshot that is used stays young, and not all on the way to it.
    clock += 1
    best.lastUse = clock
    found.count = best.depth
    found.snapshot = best.snapshot
    found.scores = Array(scores.prefix(best.depth))
    return found
  }

  /// Keeps the state after a prefix.
  ///
  /// - Parameter scores: of the tokens; `unknown` for those that were not computed.
  func insert(_ prefix: [Int32], _ scores: [TokenScore], key: String, _ snapshot: Snapshot) {
    let own = snapshot.state.byteCount + 4 * snapshot.prediction.count
    guard !prefix.isEmpty, own <= limit else { return }
    let node = place(of: prefix, scores, key)
    if node.snapshot == nil {
      node.snapshot = snapshot
      node.byteCount = own
      byteCount += own
      snapshotCount += 1
      clock += 1
      node.lastUse = clock
      thinOut(pathTo: node)
    }
    while byteCount > limit, let oldest { drop(oldest) }
  }

  /// The node of a prefix, which is made if there is none.
  private func place(of prefix: [Int32], _ scores: [TokenScore], _ key: String) -> PrefixNode {
    let root = roots[key] ?? PrefixNode()
    roots[key] = root
    var (node, done) = (root, 0)
    while done < prefix.count {
      guard let next = node.children[prefix[done]] else {
        let rest = PrefixNode(
          Array(prefix[done...]), Array(scores[done...]), depth: prefix.count, parent: node)
        node.children[prefix[done]] = rest
        byteCount += Self.tokenByteCount * rest.edge.count
        return rest
      }
      let count = next.matchCount(prefix, from: done)
      for index in 0..<count where !next.scores[index].isKnown {
        next.scores[index] = scores[done + index]
      }
      done += count
      node = count < next.edge.count ? next.split(after: count) : next
    }
    return node
  }

  /// Drops the least recently used snapshots on the way to a node, if there are many.
  private func thinOut(pathTo node: PrefixNode) {
    var path: [PrefixNode] = []
    var place = node.parent
    while let own = place {
      if own.snapshot != nil { path.append(own) }
      place = own.parent
    }
    guard path.count >= Self.pathLimit, let oldest = path.min(by: { $0.lastUse < $1.lastUse })
    else {
      return
    }
    drop(oldest)
  }

  /// The snapshot that was not used for the longest time.
  private var oldest: PrefixNode? {
    var oldest: PrefixNode?
    for root in roots.values {
      root.forEach { node in
        guard node.snapshot != nil else { return }
        if node.lastUse < oldest?.lastUse ?? .max { oldest = node }
      }
    }
    return oldest
  }

  /// Drops a snapshot, and the tokens that lead to no other one.
  private func drop(_ node: PrefixNode) {
    node.snapshot = nil
    byteCount -= node.byteCount
    node.byteCount = 0
    snapshotCount -= 1
    var place = node
    while place.children.isEmpty, place.snapshot == nil, let parent = place.parent {
      byteCount -= Self.tokenByteCount * place.edge.count
      parent.children[place.edge[0]] = nil
      place = parent
    }
    roots = roots.filter { !$0.value.children.isEmpty }
  }
}
