import SextantBytes
import SextantLocks
import SextantTensor

/// Reads elements of a file's storages, and checks each storage's checksum before or while it does,
/// if the format has checksums.
final class StorageReader: Sendable {
  private let file: InputFile
  /// Offsets of the storages whose checksum was found right.
  private let checked = Lock<Set<Int>>([])

  /// Bytes of the pieces that are passed on.
  static let pieceByteCount = 256 << 10

  init(_ file: InputFile) {
    self.file = file
  }

  /// Hands over a view's elements in row-major order, in pieces of at most 256 KiB.
  ///
  /// A view that takes its whole storage in order is checked while it is passed on, and refused
  /// after its last piece. For any other the storage is read twice; one that is not contiguous is
  /// kept in memory from its first element to its last.
  func read(
    _ view: StorageView, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let width = view.dataType.byteWidth
    let region = view.region
    if region.checksum != nil && view.isContiguous && view.count * width == region.byteCount {
      var checksum = CRC32()
      unsafe try stream(region.offset, region.byteCount) { piece throws(Refusal) in
        unsafe checksum.update(piece)
        unsafe try body(piece)
      }
      return try region.check(checksum.value, in: file)
    }
    try check(region)
    let start = region.offset + view.offset * width
    if view.isContiguous {
      unsafe try stream(start, view.count * width, body)
    } else if view.count > 0 {
      let source = try file.read(at: start, count: view.extent * width)
      switch width {
      case 1: unsafe try gather(view, source, as: UInt8.self, body)
      case 2: unsafe try gather(view, source, as: UInt16.self, body)
      case 4: unsafe try gather(view, source, as: UInt32.self, body)
      default: unsafe try gather(view, source, as: UInt64.self, body)
      }
    }
  }

  private func check(_ region: StorageRegion) throws(Refusal) {
    guard region.checksum != nil, !checked.withLock({ $0.contains(region.offset) }) else { return }
    var checksum = CRC32()
    unsafe try stream(region.offset, region.byteCount) { piece throws(Refusal) in
      unsafe checksum.update(piece)
    }
    try region.check(checksum.value, in: file)
    checked.withLock { _ = $0.insert(region.offset) }
  }

  private func stream(
    _ start: Int, _ byteCount: Int,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(byteCount, Self.pieceByteCount), alignment: 64)
    defer { unsafe buffer.deallocate() }
    var done = 0
    while done < byteCount {
      let piece = unsafe UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(buffer.count, byteCount - done)])
      unsafe try file.read(at: start + done, into: piece)
      unsafe try body(UnsafeRawBufferPointer(piece))
      done += piece.count
    }
  }

  /// Walks the view's indices in row-major order and copies element by element.
  private func gather<Element: FixedWidthInteger>(
    _ view: StorageView, _ source: [UInt8], as type: Element.Type,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let width = MemoryLayout<Element>.size
    let (outer, inner) = (view.axes.dropLast(), view.axes[view.axes.count - 1])
    var index = [Int](repeating: 0, count: outer.count)
    var (row, column) = (0, 0)  // elements from the view's first; index in the last axis
    let piece = UnsafeMutableBufferPointer<Element>.allocate(
      capacity: min(view.count, Self.pieceByteCount / width))
    defer { unsafe piece.deallocate() }
    var left = view.count
    while left > 0 {
      let goal = min(left, piece.count)
      var filled = 0
      while filled < goal {
        let end = min(column + goal - filled, inner.size)
        unsafe source.withUnsafeBytes { bytes in
          for place in column..<end {
            let offset = (row + place * inner.stride) * width
            unsafe piece[filled] = bytes.loadUnaligned(fromByteOffset: offset, as: Element.self)
            filled += 1
          }
        }
        column = end
        guard column == inner.size else { continue }
        column = 0
        for axis in outer.indices.reversed() {
          index[axis] += 1
          row += outer[axis].stride
          if index[axis] < outer[axis].size { break }
          row -= index[axis] * outer[axis].stride
          index[axis] = 0
        }
      }
      left -= goal
      unsafe try body(UnsafeRawBufferPointer(UnsafeMutableBufferPointer(rebasing: piece[..<goal])))
    }
  }
}
