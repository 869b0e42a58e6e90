import Glibc

/// The mean of independent measurements, with its standard error.
package struct SampleMean: Sendable, Equatable {
  /// Measurements.
  package let count: Int
  /// Their mean; 0 for none.
  package let mean: Double
  /// The standard error of the mean: the sample's standard deviation over √count; NaN for fewer than
  /// two measurements.
  package let standardError: Double

  /// The mean of `values`.
  package init(_ values: [Double]) {
    count = values.count
    let mean = values.reduce(0, +) / Double(max(count, 1))
    self.mean = mean
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    standardError = count > 1 ? sqrt(squares / Double(count - 1) / Double(count)) : .nan
  }
}
