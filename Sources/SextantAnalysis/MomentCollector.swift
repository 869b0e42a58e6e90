import SextantModels
import SextantStore
import SextantTensor

/// Adds vectors to moments in blocks of one size, so that the result depends on the order of the vectors
/// alone, and not on how many come at a time.
struct MomentCollector {
  private var moments: MomentSet
  /// The vectors that do not yet fill a block, one after the other.
  private var waiting: [Place: [Float]] = [:]

  private struct Place: Hashable {
    var site: Site
    var name: String
  }

  /// Elements of a block at most; a block has 256 vectors at most.
  private static let blockElements = 1 << 18

  /// Adds to moments.
  init(_ moments: MomentSet) {
    self.moments = moments
  }

  /// Adds vectors, [M, n], of a site and class.
  mutating func add(_ rows: Tensor, to site: Site, _ name: String) {
    let place = Place(site: site, name: name)
    let blockSize = max(1, min(256, Self.blockElements / rows.columnCount)) * rows.columnCount
    var block = waiting.removeValue(forKey: place) ?? []
    rows.withFloats { values in
      var start = 0
      while start < values.count {
        let end = min(start + blockSize - block.count, values.count)
        block.append(contentsOf: values[start..<end])
        start = end
        guard block.count == blockSize else { continue }
        moments.add(
          Tensor(block, shape: [blockSize / rows.columnCount, rows.columnCount]), to: site, name)
        block.removeAll(keepingCapacity: true)
      }
    }
    waiting[place] = block
  }

  /// The moments of all vectors.
  consuming func finished() -> MomentSet {
    for site in moments.sites {
      for name in moments.classes {
        guard let block = waiting[Place(site: site.site, name: name)], !block.isEmpty else {
          continue
        }
        let rows = [block.count / site.elementCount, site.elementCount]
        moments.add(Tensor(block, shape: rows), to: site.site, name)
      }
    }
    return moments
  }
}

extension Tensor {
  /// The rows of several positions, [B, n] each, as [B · S, n]: all positions of the first text, then
  /// those of the next.
  static func textByText(_ positions: [Tensor]) -> Tensor {
    guard positions.count > 1, let batch = positions.first?.rowCount else {
      return Tensor.concatenated(positions)
    }
    let rows = (0..<batch).flatMap { text in positions.indices.map { $0 * batch + text } }
    return Kernels.gather(Tensor.concatenated(positions), rows: rows)
  }
}
