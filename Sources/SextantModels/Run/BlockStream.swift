import SextantBytes
import SextantTensor

/// The values that pass through the blocks of one run: the residual stream of its tokens, and other
/// values that blocks pass on.
///
/// A value: a copy between two blocks can continue from there any number of times, each with
/// another edit, and the earlier blocks are not run again.
public struct BlockStream: Sendable {
  /// The tokens, [B][T].
  public let tokens: TokenBatch
  /// The position of the first token of each sequence, [B].
  public let starts: [Int]
  /// The residual stream, [B·T, D], rows by sequence, then by position.
  public var residual: Tensor
  /// Values of the first block that later ones read, [B·T, D]: RWKV-7 mixes them into theirs.
  var firstValue: Tensor?
  /// Angles by position, of every rotary embedding of the model; nil if it turns nothing. [T, R]
  /// each, or [B·T, R] if the sequences start at different positions.
  var angles: [(cosines: Tensor, sines: Tensor)?] = []

  /// The stream before the first block: the tokens' rows of an embedding.
  ///
  /// - Parameters:
  ///   - starts: the position of the first token of each sequence, [B].
  ///   - embedding: [V, D].
  package init(_ tokens: TokenBatch, at starts: [Int], embedding: Tensor) {
    self.tokens = tokens
    self.starts = starts
    residual = Kernels.gather(embedding, rows: tokens.flattened)  // [B·T, D]
  }

  /// Turns the heads of some rows, [B·T, …], by the angles of their positions.
  ///
  /// - Parameter rotation: the place of the rotary embedding among the model's.
  func rotate(_ rows: inout Tensor, _ heads: HeadColumns, _ rotation: Int) {
    if let angles = angles[rotation] { Kernels.rotate(&rows, heads, by: angles) }
  }

  private init(tokens: TokenBatch, starts: [Int], residual: Tensor) {
    (self.tokens, self.starts, self.residual) = (tokens, starts, residual)
  }

  private init(_ stream: BlockStream, sequences: [Int]) {
    let length = stream.length
    let rows = sequences.flatMap { $0 * length..<($0 + 1) * length }
    tokens = TokenBatch(sequences.map { stream.tokens.sequences[$0] })
    starts = sequences.map { stream.starts[$0] }
    residual = Kernels.gather(stream.residual, rows: rows)
    firstValue = stream.firstValue.map { Kernels.gather($0, rows: rows) }
    angles = stream.angles.map { angles in
      angles.map { angles in
        // One table for all sequences, or one for each.
        guard angles.cosines.rowCount > length else { return angles }
        return (
          Kernels.gather(angles.cosines, rows: rows), Kernels.gather(angles.sines, rows: rows)
        )
      }
    }
  }

  /// Sequences, B.
  public var batch: Int { tokens.batch }

  /// Tokens of each sequence, T.
  public var length: Int { tokens.length }

  /// The positions of the tokens of a sequence, T of them; in most runs all sequences have the same.
  public func positions(ofSequence sequence: Int = 0) -> Range<Int> {
    guard starts.indices.contains(sequence) else { return 0..<length }
    return starts[sequence]..<starts[sequence] + length
  }

  /// The stream of some of the sequences, in the given order; one may be taken several times.
  package func selecting(_ sequences: [Int]) -> BlockStream {
    BlockStream(self, sequences: sequences)
  }

  /// The stream of the tokens of every sequence from the token `place` on.
  package func suffix(from place: Int) -> BlockStream {
    let length = length
    precondition((0...length).contains(place), "token \(place) of \(length)")
    let rows = (0..<batch).flatMap { $0 * length + place..<($0 + 1) * length }
    var result = BlockStream(
      tokens: tokens.slice(place..<length), starts: starts.map { $0 + place },
      residual: Kernels.gather(residual, rows: rows))
    result.firstValue = firstValue.map { Kernels.gather($0, rows: rows) }
    result.angles = angles.map { angles in
      angles.map { angles in
        // One table for all sequences, or one for each.
        let rows = angles.cosines.rowCount > length ? rows : Array(place..<length)
        return (
          Kernels.gather(angles.cosines, rows: rows), Kernels.gather(angles.sines, rows: rows)
        )
      }
    }
    return result
  }

  /// The sequences of several streams at one place between two blocks, one stream after the other.
  ///
  /// - Parameter streams: at least one; all of the same number of tokens, from the same position on.
  package static func joining(_ streams: [BlockStream]) -> BlockStream {
    if streams.count == 1 { return streams[0] }
    let starts = streams.flatMap(\.starts)
    precondition(Set(starts).count <= 1, "streams from several positions")
    var result = BlockStream(
      tokens: TokenBatch(streams.flatMap(\.tokens.sequences)), starts: starts,
      residual: Tensor.concatenated(streams.map(\.residual)))
    let values = streams.compactMap(\.firstValue)
    result.firstValue = values.count == streams.count ? Tensor.concatenated(values) : nil
    // One table for all sequences, which share their positions.
    let length = result.length
    result.angles = streams[0].angles.map { angles in
      angles.map { ($0.cosines.rows(0..<length), $0.sines.rows(0..<length)) }
    }
    return result
  }
}
