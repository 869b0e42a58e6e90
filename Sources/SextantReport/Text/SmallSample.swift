import SextantBytes

/// The note on results from few items.
package enum SmallSample {
  /// With fewer items, an interval of a mean is rough, and what is learned depends on each of them.
  private static let limit = 20

  /// The note; nil if there are enough items.
  package static func note(_ count: Int, _ noun: String) -> String? {
    count < limit
      ? "only \(counted(count, noun)): results from so few may be different for others" : nil
  }
}
