import CSextantKernels
import Glibc

/// Rows of heads, one for each position of each sequence of a batch, to which positions are added at
/// the end: the keys or the values that attention reads.
///
/// A value with cheap copies. Rows are in pages of 64 positions, and each sequence has its own: a
/// copy or a fork shares all pages, adding a position writes to the last one in place, and copies
/// that one page alone if it is shared. The order inside a page is the one that the attention
/// kernel reads.
package struct PagedRows: Sendable, Equatable {
  /// The order of the elements inside a page.
  package enum Order: Sendable, Equatable {
    /// [heads, width, 64]: the positions of a channel side by side.
    case keys
    /// [heads, 64, width], width rounded up to 16: the channels of a position side by side.
    case values
  }

  static let pageLength = Int(SXK_PAGE)

  /// The order inside a page.
  package let order: Order
  /// The number of heads.
  package let heads: Int
  /// Channels of a head.
  package let width: Int
  /// The number of positions of each sequence.
  package private(set) var counts: [Int]
  /// [sequence][page]; positions that were never written are zero.
  private(set) var pages: [[TensorStorage]]

  /// The number of sequences.
  package var batch: Int { pages.count }

  /// No positions yet.
  package init(batch: Int, heads: Int, width: Int, order: Order) {
    self.order = order
    self.heads = heads
    self.width = width
    counts = Array(repeating: 0, count: batch)
    pages = Array(repeating: [], count: batch)
  }

  /// Columns of a position in a page of values.
  static func paddedWidth(_ width: Int) -> Int { (width + 15) / 16 * 16 }

  /// Floats of one head in a page.
  private var headSize: Int {
    Self.pageLength * (order == .keys ? width : Self.paddedWidth(width))
  }

  /// Floats from one position to the next and from one channel to the next in a page.
  private var steps: (position: Int, channel: Int) {
    order == .keys ? (1, Self.pageLength) : (Self.paddedWidth(width), 1)
  }

  // MARK: Positions

  /// Adds positions at the end of every sequence.
  ///
  /// - Parameters:
  ///   - x: `[B·T, …]`, ordered by sequence, then by position.
  ///   - layout: the positions of a row's heads.
  package mutating func append(
    _ x: some MatrixRows, _ layout: HeadColumns, pool: WorkerPool = .shared
  ) {
    let length = x.rowCount / max(batch, 1)
    precondition(
      x.rowCount == batch * length && layout.count == heads && layout.width == width
        && layout.fits(x.columnCount),
      "rows [\(x.rowCount), \(x.columnCount)] for \(batch) sequences of \(heads) heads")
    guard length > 0 else { return }
    let starts = counts
    for sequence in pages.indices { makePages(of: sequence, for: length) }
    let (heads, width, steps, headSize, pages) = (heads, width, steps, headSize, pages)
    x.withRows { x, stride in
      nonisolated(unsafe) let x = x
      pool.forEach(pages.count * heads) { index in
        let (sequence, head) = (index / heads, index % heads)
        for position in 0..<length {
          let source = x + (sequence * length + position) * stride + layout.first
          let place = starts[sequence] + position
          let page = pages[sequence][place / Self.pageLength].floats
          let target = page + head * headSize + place % Self.pageLength * steps.position
          for channel in 0..<width {
            target[channel * steps.channel] = source[head * layout.stride + channel]
          }
        }
      }
    }
  }

  /// Counts new positions of a sequence: adds zeroed pages for them, and makes the last page that has
  /// positions writable.
  private mutating func makePages(of sequence: Int, for length: Int) {
    let count = counts[sequence]
    if count % Self.pageLength != 0 {
      let last = count / Self.pageLength
      if !isKnownUniquelyReferenced(&pages[sequence][last]) {
        pages[sequence][last] = TensorStorage(copying: pages[sequence][last].bytes)
      }
    }
    counts[sequence] += length
    let pageSize = heads * headSize * MemoryLayout<Float>.stride
    while pages[sequence].count * Self.pageLength < counts[sequence] {
      pages[sequence].append(TensorStorage(zeroedByteCount: pageSize))
    }
  }

  /// The sequences `rows`, in that order; one may be taken several times. Pages are shared.
  package func selecting(_ rows: [Int]) -> PagedRows {
    var result = self
    result.pages = rows.map { pages[$0] }
    result.counts = rows.map { counts[$0] }
    return result
  }

  /// The sequences of several values, which may have different numbers of positions. Pages are
  /// shared.
  package static func joining(_ parts: [PagedRows]) -> PagedRows {
    var result = parts[0]
    result.pages = parts.flatMap(\.pages)
    result.counts = parts.flatMap(\.counts)
    return result
  }

  /// Replaces a sequence by the only one of `other`, whose pages are then shared.
  package mutating func replace(_ sequence: Int, by other: PagedRows) {
    (pages[sequence], counts[sequence]) = (other.pages[0], other.counts[0])
  }

  /// Calls `body` with the addresses of a sequence's pages.
  package func withPages<R>(
    ofSequence sequence: Int, _ body: (UnsafePointer<UnsafePointer<Float>?>?) -> R
  ) -> R {
    let addresses = pages[sequence].map { UnsafePointer($0.floats) as UnsafePointer<Float>? }
    defer { withExtendedLifetime(self) {} }
    return addresses.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  // MARK: As a tensor

  /// The rows as a tensor `[B, positions, heads, width]`; all sequences must have equally many
  /// positions.
  package var tensor: Tensor {
    let count = counts.first ?? 0
    precondition(counts.allSatisfy { $0 == count }, "sequences of \(counts) positions")
    var result = Tensor(unfilled: [batch, count, heads, width])
    result.withMutableFloats { result in
      var index = 0
      for sequence in pages {
        for place in 0..<count {
          let page = sequence[place / Self.pageLength].floats
          for head in 0..<heads {
            let source = page + head * headSize + place % Self.pageLength * steps.position
            for channel in 0..<width {
              result[index] = source[channel * steps.channel]
              index += 1
            }
          }
        }
      }
    }
    return result
  }

  /// The rows of an f32 tensor `[B, positions, heads, width]`.
  package init(_ tensor: Tensor, order: Order) {
    precondition(tensor.shape.count == 4, "rows of shape \(tensor.shape)")
    let (heads, width) = (tensor.shape[2], tensor.shape[3])
    self.init(batch: tensor.shape[0], heads: heads, width: width, order: order)
    let rows = tensor.reshaped([tensor.shape[0] * tensor.shape[1], heads * width])
    append(rows, HeadColumns(count: heads, width: width))
  }

  /// Equal positions with equal bits.
  package static func == (a: PagedRows, b: PagedRows) -> Bool {
    guard a.order == b.order, a.heads == b.heads, a.width == b.width, a.counts == b.counts
    else { return false }
    return zip(a.pages, b.pages).allSatisfy { a, b in
      a.count == b.count
        && zip(a, b).allSatisfy { a, b in
          a === b || (a.byteCount == b.byteCount && memcmp(a.base, b.base, a.byteCount) == 0)
        }
    }
  }
}

extension TensorStorage {
  /// The first float.
  var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
}
