import Glibc

/// The mean of independent measurements, with its standard error.
public struct SampleMean: Sendable, Equatable {
  /// Measurements.
  public let count: Int
  /// Their mean; 0 for none.
  public let mean: Double
  /// The standard error of the mean: the sample's standard deviation over √count; NaN for fewer than
  /// two measurements.
  public let standardError: Double

  /// The mean of `values`.
  public init(_ values: [Double]) {
    count = values.count
    let mean = values.reduce(0, +) / Double(max(count, 1))
    self.mean = mean
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    standardError = count > 1 ? sqrt(squares / Double(count - 1) / Double(count)) : .nan
  }
}
