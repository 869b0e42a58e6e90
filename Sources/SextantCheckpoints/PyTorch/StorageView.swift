import SextantBytes
import SextantTensor

/// A tensor as a view of one member of an archive, checked to lie inside it.
struct StorageView: Sendable {
  /// The member.
  let member: ZipArchive.Member
  /// The type of the elements.
  let dataType: DataType
  /// Elements of the tensor.
  let count: Int
  /// The first element, counted from the member's start.
  let offset: Int
  /// From the first element to the last that the view touches, in elements.
  let extent: Int
  /// Dimensions and strides, outermost first, with all merged that lie in one line. Never empty.
  let axes: [(size: Int, stride: Int)]

  /// Whether the elements lie in the member in the tensor's own order, without gaps.
  var isContiguous: Bool { axes.count == 1 && axes[0].stride == 1 || count <= 1 }

  /// Holds a tensor against the member of its storage.
  ///
  /// - Throws: `pth.storage.size`, `pth.tensor.bounds`.
  init(
    _ tensor: PickledTensor, of storage: PickledStorage, in member: ZipArchive.Member,
    name: String, file: String
  ) throws(FormatError) {
    let (byteCount, overflow) = storage.count.multipliedReportingOverflow(
      by: storage.dataType.byteWidth)
    guard storage.count >= 0, !overflow, byteCount == member.byteCount else {
      throw FormatError(
        .pytorchStorageSize, file: file, at: .tensor(name),
        found: "\(storage.count) elements of \(storage.dataType.rawValue)",
        expected: "the \(member.byteCount) bytes of \"\(member.name)\"")
    }
    func outside(_ found: String) -> FormatError {
      FormatError(
        .pytorchTensorBounds, file: file, at: .tensor(name), found: found,
        expected: "a view of \(storage.count) elements")
    }
    let (shape, strides) = (tensor.shape, tensor.strides)
    guard shape.count == strides.count, tensor.offset >= 0, strides.allSatisfy({ $0 >= 0 }),
      // More elements than the storage has are repeated ones: a small file would fill any memory.
      let count = Shape.elementCount(shape), count <= storage.count
    else {
      throw outside("shape \(shape), strides \(strides), offset \(tensor.offset)")
    }
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
    self.member = member
    self.count = count
    dataType = storage.dataType
    offset = tensor.offset
    extent = last + 1
    axes = Self.merged(shape, strides)
  }

  private static func merged(_ shape: [Int], _ strides: [Int]) -> [(size: Int, stride: Int)] {
    var axes: [(size: Int, stride: Int)] = []
    for (size, stride) in zip(shape, strides) where size != 1 {
      // Cannot overflow where it matters: both lie within the storage.
      if let outer = axes.last, outer.stride == size.multipliedReportingOverflow(by: stride).0 {
        axes[axes.count - 1] = (outer.size * size, stride)
      } else {
        axes.append((size, stride))
      }
    }
    return axes.isEmpty ? [(1, 1)] : axes
  }
}
