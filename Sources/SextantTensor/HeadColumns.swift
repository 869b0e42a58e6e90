/// The positions of heads in a row of activations: head h is the columns from `first + h · stride`
/// on.
package struct HeadColumns: Sendable, Equatable {
  /// The column of the first head.
  package let first: Int
  /// The number of heads.
  package let count: Int
  /// Columns of a head.
  package let width: Int
  /// Columns from one head to the next.
  package let stride: Int

  /// Heads from column `first` on; adjacent unless `stride` is given.
  package init(first: Int = 0, count: Int, width: Int, stride: Int? = nil) {
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
