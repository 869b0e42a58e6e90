import SextantBytes
import SextantTensor

/// The place of a storage's elements in a file.
struct StorageRegion: Sendable {
  /// The name of the region in refusals.
  let name: String
  /// The first byte.
  let offset: Int
  /// Bytes of the elements.
  let byteCount: Int
  /// The CRC-32 of the bytes; nil if the format has none.
  let checksum: UInt32?
}

/// A tensor as a view of one storage, checked to be inside it.
struct StorageView: Sendable {
  /// The storage.
  let region: StorageRegion
  /// The type of the elements.
  let dataType: DataType
  /// Elements of the tensor.
  let count: Int
  /// The first element, counted from the storage's start.
  let offset: Int
  /// The range from the first element of the view to the last, in elements.
  let extent: Int
  /// Dimensions and strides, outermost first, with all merged that are in one line. Never empty.
  let axes: [(size: Int, stride: Int)]

  /// Whether the elements are in the storage in the tensor's own order, without gaps.
  var isContiguous: Bool { axes.count == 1 && axes[0].stride == 1 || count <= 1 }

  /// The most elements of a tensor that has more of them than its storage: an expanded one, which
  /// repeats elements. Without a limit, a small file would fill any memory.
  static let expandedLimit = 1 << 24

  /// Compares a tensor with its storage.
  ///
  /// - Throws: `pth.storage.size`, `pth.tensor.bounds`, `pth.tensor.expanded`.
  init(
    _ tensor: PickledTensor, of storage: PickledStorage, in region: StorageRegion,
    name: String, file: String
  ) throws(Refusal) {
    let (byteCount, overflow) = storage.count.multipliedReportingOverflow(
      by: storage.dataType.byteWidth)
    guard storage.count >= 0, !overflow, byteCount == region.byteCount else {
      throw Refusal(
        .pytorchStorageSize, file: file, at: .tensor(name),
        found: "\(counted(storage.count, "element")) of \(storage.dataType.rawValue)",
        expected: "the \(counted(region.byteCount, "byte")) of \"\(region.name)\"")
    }
    func outside(_ found: String) -> Refusal {
      Refusal(
        .pytorchTensorBounds, file: file, at: .tensor(name), found: found,
        expected: "a view of \(counted(storage.count, "element"))")
    }
    let (shape, strides) = (tensor.shape, tensor.strides)
    let view = "shape \(shape), strides \(strides), offset \(tensor.offset)"
    guard shape.count == strides.count, tensor.offset >= 0, strides.allSatisfy({ $0 >= 0 }),
      let count = Shape.elementCount(shape)
    else { throw outside(view) }
    var last = count == 0 ? -1 : 0
    for (size, stride) in zip(shape, strides) where count > 0 {
      let (step, tooFar) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, beyond) = last.addingReportingOverflow(step)
      guard !tooFar, !beyond else { throw outside("strides \(strides)") }
      last = sum
    }
    guard tensor.offset <= storage.count, last < storage.count - tensor.offset else {
      throw outside("elements up to \(tensor.offset) + \(last)")
    }
    guard count <= max(storage.count, Self.expandedLimit) else {
      throw Refusal(
        .pytorchTensorExpanded, file: file, at: .tensor(name), found: view,
        expected:
          "at most \(counted(Self.expandedLimit, "element")) from a storage of \(storage.count)")
    }
    self.region = region
    self.count = count
    dataType = storage.dataType
    offset = tensor.offset
    extent = last + 1
    axes = Self.merged(shape, strides)
  }

  private static func merged(_ shape: [Int], _ strides: [Int]) -> [(size: Int, stride: Int)] {
    var axes: [(size: Int, stride: Int)] = []
    for (size, stride) in zip(shape, strides) where size != 1 {
      // Cannot overflow where it matters: both are within the storage.
      if let outer = axes.last, outer.stride == size.multipliedReportingOverflow(by: stride).0 {
        axes[axes.count - 1] = (outer.size * size, stride)
      } else {
        axes.append((size, stride))
      }
    }
    return axes.isEmpty ? [(1, 1)] : axes
  }
}
