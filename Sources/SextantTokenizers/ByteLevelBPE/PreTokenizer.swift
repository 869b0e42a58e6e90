/// Splits a text into the words inside which bytes are merged.
struct PreTokenizer: Sendable {
  /// One step; it splits every piece that the step before has left.
  enum Step: Sendable, Equatable {
    /// Isolates numbers, each scalar for itself or in runs.
    case digits(individual: Bool)
    /// Puts a space before a piece that has none.
    case prefixSpace
    /// Splits by a pattern.
    case split(SplitPattern)
  }

  /// The steps, in their order.
  var steps: [Step] = []

  /// Calls `body` with each word of the text `bytes[range]`, in order: the word's bytes are
  /// `buffer[range]`, where the buffer is `bytes` itself unless something was inserted.
  func forEachWord(
    in bytes: [UInt8], range: Range<Int>, step: Int = 0,
    _ body: (_ buffer: [UInt8], _ range: Range<Int>) -> Void
  ) {
    if range.isEmpty { return }
    guard step < steps.count else { return body(bytes, range) }
    switch steps[step] {
    case .prefixSpace:
      let space = UInt8(ascii: " ")
      if bytes[range.lowerBound] == space {
        forEachWord(in: bytes, range: range, step: step + 1, body)
      } else {
        let spaced = [space] + bytes[range]
        forEachWord(in: spaced, range: 0..<spaced.count, step: step + 1, body)
      }
    case .split(let pattern):
      var start = range.lowerBound
      while start < range.upperBound {
        let end = pattern.matchEnd(in: bytes, from: start, to: range.upperBound)
        forEachWord(in: bytes, range: start..<end, step: step + 1, body)
        start = end
      }
    case .digits(let individual):
      var start = range.lowerBound
      while start < range.upperBound {
        let end = digitsEnd(in: bytes, from: start, to: range.upperBound, individual: individual)
        forEachWord(in: bytes, range: start..<end, step: step + 1, body)
        start = end
      }
    }
  }

  private func digitsEnd(
    in bytes: [UInt8], from start: Int, to end: Int, individual: Bool
  ) -> Int {
    let first = bytes.scalar(at: start)
    let numeric = ScalarClass.of(first.value).isNumeric
    var position = start + first.byteCount
    if numeric && individual { return position }
    while position < end {
      let scalar = bytes.scalar(at: position)
      guard ScalarClass.of(scalar.value).isNumeric == numeric else { break }
      position += scalar.byteCount
    }
    return position
  }
}
