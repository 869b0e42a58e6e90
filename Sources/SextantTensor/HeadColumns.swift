/// The positions of heads in a row of activations: head h is the columns from `first + h · stride`
/// on.
public struct HeadColumns: Sendable, Equatable {
  /// The column of the first head.
  public let first: Int
  /// The number of heads.
  public let count: Int
  /// Columns of a head.
  public let width: Int
  /// Columns from one head to the next.
  public let stride: Int

  /// Heads from column `first` on; adjacent unless `stride` is given.
  public init(first: Int = 0, count: Int, width: Int, stride: Int? = nil) {
    self.first = first
    self.count = count
    self.width = width
    self.stride = stride ?? width
  }

  /// Whether all heads are within rows of this number of columns.
  func fits(_ columns: Int) -> Bool {
    first >= 0 && count >= 1 && width >= 1 && stride >= width
      && first + (count - 1) * stride + width <= columns
  }
}
