import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// Reads chunks of text on all ranks together. Each rank runs a part of the chunks, and receives the
/// values of all chunks at the sites that it owns.
///
/// The tiles of a site are the same, and come in the same order, for every number of ranks.
struct DividedResiduals {
  private let reader: ResidualReader
  private let ranks: any Collective
  private let siteCount: Int

  /// The sites that this rank owns, as places among all sites.
  let owned: [Int]

  /// - Parameter sites: all sites; rank r owns every `ranks.size`-th from r on.
  init(_ model: any LanguageModel, sites: [Site], _ ranks: any Collective) {
    reader = ResidualReader(model, sites: sites)
    self.ranks = ranks
    siteCount = sites.count
    owned = ranks.owned(sites.count)
  }

  /// Reads chunks of one length.
  ///
  /// - Parameters:
  ///   - rows: tokens of a tile at most.
  ///   - body: is given one tile after the other, with the values of `owned`; not called on a rank that
  ///     owns no site.
  /// - Throws: `model.token`, `system.ranks`, and the errors of `body`.
  func read(
    _ chunks: [[Int]], rows: Int = Readout.tileRows,
    _ body: (ResidualReader.Tile) throws(Refusal) -> Void
  ) throws(Refusal) {
    // One process does not keep the pieces of a batch.
    if ranks.size == 1 { return try reader.read(chunks, rows: rows, body) }
    let batches = ResidualReader.batches(of: chunks)
    try ranks.stream(
      batches.count,
      { index throws(Refusal) -> [ResidualReader.Piece] in
        var pieces: [ResidualReader.Piece] = []
        try reader.run(batches[index], of: chunks) { pieces.append($0) }
        return pieces
      },
      pack: { pieces, rank, message in
        let owned = ranks.owned(siteCount, by: rank)
        guard !owned.isEmpty else { return message.put(0) }
        message.put(pieces.count)
        for piece in pieces {
          message.put(piece.positions.lowerBound)
          message.put(piece.positions.upperBound)
          message.put(piece.last)
          for site in owned { message.put(piece.values[site]) }
        }
      },
      unpack: { index, reader throws(Refusal) -> [ResidualReader.Piece] in
        let count = try reader.integer(in: 0...chunks[0].count)
        var pieces: [ResidualReader.Piece] = []
        for _ in 0..<count {
          let first = try reader.integer(in: 0...chunks[0].count)
          let end = try reader.integer(in: first...chunks[0].count)
          let last = try reader.tensor()
          var values: [Tensor] = []
          for _ in owned { values.append(try reader.tensor()) }
          try Self.check(values + [last], rows: batches[index].count * (end - first))
          pieces.append(.init(values: values, last: last, positions: first..<end))
        }
        return pieces
      },
      use: { index, pieces throws(Refusal) in
        for piece in pieces {
          try ResidualReader.tiles(of: piece, batches[index], of: chunks, rows: rows, body)
        }
      })
  }

  private static func check(_ values: [Tensor], rows: Int) throws(Refusal) {
    guard values.allSatisfy({ $0.shape.count == 2 && $0.shape[0] == rows }) else {
      throw Refusal(
        .systemRanks, found: "activations of other tokens", expected: counted(rows, "row"))
    }
  }
}
