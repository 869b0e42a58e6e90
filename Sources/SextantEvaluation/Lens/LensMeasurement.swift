import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantStore

extension LensEvaluation {
  /// The mean of a measure over tokens, with an interval over chunks of text.
  public struct Mean: Sendable, Equatable {
    /// The mean over all tokens, in nats (for agreement: a share).
    public let mean: Double
    /// 95% interval: chunks are resampled.
    public let interval: Interval
    /// The mean of each chunk, for comparisons on the same chunks.
    public let chunks: [Double]
  }
}

extension LensEvaluation {
  /// The predictions of one lens at one site, measured over a text.
  public struct Layer: Sendable {
    /// The site.
    public let site: Site
    /// -log q[next token], nats per token.
    public let crossEntropy: LensEvaluation.Mean
    /// Divergence of the lens's predictions from the model's, nats per token.
    public let divergence: LensEvaluation.Mean
    /// Entropy of the lens's predictions, nats per token.
    public let entropy: LensEvaluation.Mean
    /// The share of tokens at which lens and model rank the same token first.
    public let agreement: LensEvaluation.Mean
  }
}

/// Sums of one lens at one site, chunk by chunk.
struct LensSums {
  private var crossEntropy: [Double]
  private var divergence: [Double]
  private var entropy: [Double]
  private var agreeing: [Double]

  init(chunks: Int) {
    crossEntropy = Array(repeating: 0, count: chunks)
    divergence = crossEntropy
    entropy = crossEntropy
    agreeing = crossEntropy
  }

  mutating func add(_ comparison: ReadoutComparison, _ target: ReadoutTarget, chunks: [Int]) {
    for (row, chunk) in chunks.enumerated() {
      crossEntropy[chunk] += comparison.crossEntropy[row].map { Double($0) } ?? 0
      divergence[chunk] += Double(comparison.divergence[row])
      entropy[chunk] += Double(comparison.entropy[row])
      agreeing[chunk] += comparison.best[row] == target.best[row] ? 1 : 0
    }
  }

  /// Adds the chunks that follow.
  mutating func append(_ other: LensSums) {
    crossEntropy += other.crossEntropy
    divergence += other.divergence
    entropy += other.entropy
    agreeing += other.agreeing
  }

  /// Appends the sums, for another rank.
  func put(into message: inout Message) {
    for sums in [crossEntropy, divergence, entropy, agreeing] { message.put(sums) }
  }

  /// The sums that another rank has put.
  init(_ reader: inout MessageReader) throws(Refusal) {
    (crossEntropy, divergence) = (try reader.doubles(), try reader.doubles())
    (entropy, agreeing) = (try reader.doubles(), try reader.doubles())
  }

  /// The measures; a chunk has one next token less than tokens.
  func layer(_ site: Site, chunkLength: Int, _ bootstrap: Bootstrap) -> LensEvaluation.Layer {
    func figure(_ sums: [Double], _ count: Int) -> LensEvaluation.Mean {
      let means = sums.map { $0 / Double(count) }
      return LensEvaluation.Mean(
        mean: means.reduce(0, +) / Double(max(means.count, 1)),
        interval: bootstrap.interval(ofMean: means), chunks: means)
    }
    return LensEvaluation.Layer(
      site: site, crossEntropy: figure(crossEntropy, chunkLength - 1),
      divergence: figure(divergence, chunkLength), entropy: figure(entropy, chunkLength),
      agreement: figure(agreeing, chunkLength))
  }
}

/// The sums of all lenses over some chunks of a text.
struct LensSumSet {
  private let lenses: [NamedLens]
  private let sites: [Site]
  /// Of the model itself.
  private(set) var own: LensSums
  /// [lens][site]; nil where a lens has no translator.
  private(set) var sums: [[LensSums?]]
  /// [lens][translator][site]; empty unless asked for.
  private(set) var transfers: [[[LensSums]]]

  /// Sums of 0.
  init(_ lenses: [NamedLens], _ sites: [Site], chunks: Int, measuresTransfer: Bool) {
    (self.lenses, self.sites) = (lenses, sites)
    let empty = LensSums(chunks: chunks)
    own = empty
    sums = lenses.map { lens in
      sites.map { lens.lens == nil || lens.lens?.translator($0.name) != nil ? empty : nil }
    }
    transfers = lenses.map { _ in
      measuresTransfer ? sites.map { _ in sites.map { _ in empty } } : []
    }
  }

  /// Adds some tokens.
  mutating func add(_ tile: ResidualReader.Tile, _ readout: Readout) {
    let target = ReadoutTarget(readout, residual: tile.last)  // [M, V]
    own.add(
      readout.comparison(of: tile.last, with: target, next: tile.next), target,
      chunks: tile.chunks)
    for (place, lens) in lenses.enumerated() {
      for (index, site) in sites.enumerated() where sums[place][index] != nil {
        guard let rows = lens.translated(tile.values[index], at: site) else { continue }
        sums[place][index]?.add(
          readout.comparison(of: rows, with: target, next: tile.next), target,
          chunks: tile.chunks)
      }
      guard !transfers[place].isEmpty, lens.lens != nil else { continue }
      for (first, site) in sites.enumerated() {
        for second in sites.indices {
          guard let rows = lens.translated(tile.values[second], at: site) else { continue }
          transfers[place][first][second].add(
            readout.comparison(of: rows, with: target, next: tile.next), target,
            chunks: tile.chunks)
        }
      }
    }
  }

  /// Adds the chunks that follow.
  mutating func append(_ other: LensSumSet) {
    own.append(other.own)
    for lens in sums.indices {
      for site in sums[lens].indices {
        if let more = other.sums[lens][site] { sums[lens][site]?.append(more) }
      }
      for first in transfers[lens].indices {
        for second in transfers[lens][first].indices {
          transfers[lens][first][second].append(other.transfers[lens][first][second])
        }
      }
    }
  }

  /// Appends all sums, for another rank.
  func put(into message: inout Message) {
    own.put(into: &message)
    for sums in sums.joined() { sums?.put(into: &message) }
    for sums in transfers.joined().joined() { sums.put(into: &message) }
  }

  /// Reads what `put` wrote of the same lenses.
  mutating func fill(from reader: inout MessageReader) throws(Refusal) {
    own = try LensSums(&reader)
    for lens in sums.indices {
      for site in sums[lens].indices where sums[lens][site] != nil {
        sums[lens][site] = try LensSums(&reader)
      }
    }
    for lens in transfers.indices {
      for first in transfers[lens].indices {
        for second in transfers[lens][first].indices {
          transfers[lens][first][second] = try LensSums(&reader)
        }
      }
    }
  }
}
