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
    guard let length = chunks.first?.count, length > 0 else { return }
    let batch = max(1, Self.batchTokens / length)
    for start in stride(from: 0, to: chunks.count, by: batch) {
      let part = Array(chunks[start..<min(start + batch, chunks.count)])
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
        let places = part.indices.flatMap { sequence in range.map { (sequence, $0) } }
        for row in stride(from: 0, to: places.count, by: rows) {
          let tile = row..<min(row + rows, places.count)
          try body(
            Tile(
              values: values.dropLast().map { $0.slice(rows: tile) },
              last: values[sites.count].slice(rows: tile),
              next: places[tile].map { sequence, position in
                position + 1 < length ? part[sequence][position + 1] : nil
              },
              chunks: places[tile].map { start + $0.0 }))
        }
      }
    }
  }
}
