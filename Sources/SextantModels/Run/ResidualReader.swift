import SextantBytes
import SextantStore
import SextantTensor

/// Runs a model over chunks of text and passes the activations at some sites on, a tile of tokens
/// at a time.
///
/// Nothing is kept beyond a piece of about a thousand tokens, so that memory does not grow with the
/// text.
package struct ResidualReader {
  private let model: any LanguageModel
  private let sites: [Site]

  /// Tokens that run together.
  private static let batchTokens = 1024

  /// Reads `sites` of a model; residual stream only.
  package init(_ model: any LanguageModel, sites: [Site]) {
    self.model = model
    self.sites = sites
  }

  /// Some tokens as every site shows them.
  package struct Tile {
    /// Indexed by site, in the reader's order, [M, D] each.
    package let values: [MatrixSlice]
    /// The stream that the model itself reads out, [M, D].
    package let last: MatrixSlice
    /// The token that follows each row in its chunk; nil at the end of the chunk.
    package let next: [Int?]
    /// The chunk that each row belongs to.
    package let chunks: [Int]
  }

  /// Some tokens of a batch of chunks, as they were run together.
  package struct Piece {
    /// Indexed by site, in the reader's order, [B·T, D] each.
    package let values: [Tensor]
    /// The stream that the model itself reads out, [B·T, D].
    package let last: Tensor
    /// The tokens of each chunk.
    package let positions: Range<Int>

    /// The values of tokens that were read elsewhere.
    package init(values: [Tensor], last: Tensor, positions: Range<Int>) {
      (self.values, self.last, self.positions) = (values, last, positions)
    }
  }

  /// Reads chunks of one length, each from an empty state.
  ///
  /// - Parameters:
  ///   - rows: tokens of a tile at most.
  ///   - body: is given one tile after the other.
  /// - Throws: `model.token`, and the errors of `body`.
  package func read(
    _ chunks: [[Int]], rows: Int = Readout.tileRows,
    _ body: (Tile) throws(Refusal) -> Void
  ) throws(Refusal) {
    for batch in Self.batches(of: chunks) {
      try run(batch, of: chunks) { piece throws(Refusal) in
        try Self.tiles(of: piece, batch, of: chunks, rows: rows, body)
      }
    }
  }

  /// The chunks that run together, in order.
  package static func batches(of chunks: [[Int]]) -> [Range<Int>] {
    guard let length = chunks.first?.count, length > 0 else { return [] }
    let size = max(1, batchTokens / length)
    return stride(from: 0, to: chunks.count, by: size).map {
      $0..<min($0 + size, chunks.count)
    }
  }

  /// Runs the chunks of a batch together.
  ///
  /// - Parameter body: is given one piece after the other, in the order of the positions.
  package func run(
    _ batch: Range<Int>, of chunks: [[Int]], _ body: (Piece) throws(Refusal) -> Void
  ) throws(Refusal) {
    let part = Array(chunks[batch])
    let length = part[0].count
    let shown = sites + [model.description.lastSite]
    let tap = Recorder(shown)
    var state = model.initialState(batch: part.count)
    let step = max(1, Self.batchTokens / part.count)
    for first in stride(from: 0, to: length, by: step) {
      let range = first..<min(first + step, length)
      _ = try model.run(
        TokenBatch(part.map { Array($0[range]) }), from: &state, logits: .none, tap: tap,
        chunk: Self.batchTokens)
      let values = tap.take(shown)  // [B·T, D] each
      try body(
        Piece(values: Array(values.dropLast()), last: values[sites.count], positions: range))
    }
  }

  /// Cuts a piece into tiles.
  ///
  /// - Parameters:
  ///   - batch: the chunks of the piece.
  ///   - rows: tokens of a tile at most.
  package static func tiles(
    of piece: Piece, _ batch: Range<Int>, of chunks: [[Int]], rows: Int = Readout.tileRows,
    _ body: (Tile) throws(Refusal) -> Void
  ) throws(Refusal) {
    let places = batch.flatMap { chunk in piece.positions.map { (chunk, $0) } }
    for row in stride(from: 0, to: places.count, by: rows) {
      let tile = row..<min(row + rows, places.count)
      try body(
        Tile(
          values: piece.values.map { $0.slice(rows: tile) },
          last: piece.last.slice(rows: tile),
          next: places[tile].map { chunk, position in
            position + 1 < chunks[chunk].count ? chunks[chunk][position + 1] : nil
          },
          chunks: places[tile].map(\.0)))
    }
  }
}
