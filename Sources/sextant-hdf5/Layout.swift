import CHDF5

/// The positions of a dataset's elements.
enum Layout: Equatable {
  /// In the dataset's own header.
  case compact
  /// In one piece, from this offset of the file on; nil when there are no elements.
  case contiguous(offset: Int?)
  /// In chunks.
  case chunked(Chunks)
}

/// The division of a dataset into chunks: boxes of equal shape anywhere in the file, each stored
/// through the same filters. Those at the end of an axis extend over the dataset's edge.
struct Chunks: Equatable {
  /// The shape of the dataset.
  let shape: [Int]
  /// The shape of a chunk.
  let chunk: [Int]
  /// Bytes of one element.
  let width: Int
  /// The filters, in the order in which the writer applied them.
  let filters: [Filter]

  /// Bytes of a chunk, unpacked.
  var byteCount: Int { chunk.reduce(width, *) }

  /// Bytes of the rows that one row of chunks covers, which must all be unpacked before the first
  /// of these rows is complete.
  var bandByteCount: Int { shape.dropFirst().reduce(width * min(shape[0], chunk[0]), *) }

  /// Chunks along each axis.
  var grid: [Int] { zip(shape, chunk).map { $0 == 0 ? 0 : ($0 - 1) / $1 + 1 } }
}

/// A step between the elements and the bytes of a chunk.
enum Filter: Equatable {
  /// The bytes in zlib's format.
  case deflate
  /// First the first bytes of all elements, then the second ones, and so on.
  case shuffle
  /// The bytes and a checksum.
  case fletcher32

  /// The filter of this number in the format, if it is one of these.
  init?(number: H5Z_filter_t) {
    switch number {
    case H5Z_FILTER_DEFLATE: self = .deflate
    case H5Z_FILTER_SHUFFLE: self = .shuffle
    case H5Z_FILTER_FLETCHER32: self = .fletcher32
    default: return nil
    }
  }
}
