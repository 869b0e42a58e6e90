extension FixedWidthInteger {
  /// The whole part of a number, or the nearest end of the range if it is outside; 0 for NaN.
  ///
  /// `Int(_:)` ends the process for such numbers, which computations on data can give.
  package init(clamping value: some BinaryFloatingPoint) {
    if let whole = Self(exactly: value.rounded(.towardZero)) {
      self = whole
    } else if value.isNaN {
      self = 0
    } else {
      self = value < 0 ? .min : .max
    }
  }
}
