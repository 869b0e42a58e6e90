/// Splits a text into the words inside which bytes or characters are merged.
package struct PreTokenizer: Sendable, Equatable {
  /// One step; it changes or splits every piece that the step before has left.
  enum Step: Sendable, Equatable {
    /// Puts a space before a piece that has none.
    case prefixSpace
    /// Writes spaces as "▁", and puts one before some pieces that have none.
    case markSpaces(SpacePrefix)
    /// Splits by a pattern.
    case split(Split)
    /// Writes each byte as its character, for the steps that follow.
    case mapBytes
    /// Writes the bytes of these characters again.
    case unmapBytes
  }

  /// Which pieces get a "▁" before them, if they do not start with one.
  enum SpacePrefix: String {
    case always
    /// The start of the whole text.
    case first
    case never
  }

  /// A split by a pattern, and what becomes of its matches.
  struct Split: Sendable, Equatable {
    /// What becomes of matches.
    enum Behavior: String {
      case removed = "Removed"
      case isolated = "Isolated"
      case mergedWithPrevious = "MergedWithPrevious"
      case mergedWithNext = "MergedWithNext"
      case contiguous = "Contiguous"

      /// Whether a part belongs to the part before it.
      fileprivate func joins(_ isMatch: Bool, to previous: Bool) -> Bool {
        switch self {
        case .removed, .isolated: false
        case .mergedWithPrevious: isMatch && !previous
        case .mergedWithNext: !isMatch && previous
        case .contiguous: isMatch == previous
        }
      }
    }

    var pattern: SplitPattern
    var behavior = Behavior.isolated
    /// Whether the parts between matches count as matches.
    var inverts = false

    /// Calls `body` with the pieces, in order.
    func forEachPiece(in bytes: [UInt8], range: Range<Int>, _ body: (Range<Int>) -> Void) {
      var piece: Range<Int>?
      var previous = false
      pattern.forEachPart(in: bytes, range: range) { part, isPart in
        let isMatch = isPart != inverts
        if isMatch && behavior == .removed { return }
        if let start = piece?.lowerBound, behavior.joins(isMatch, to: previous) {
          piece = start..<part.upperBound
        } else {
          if let piece { body(piece) }
          piece = part
        }
        previous = isMatch
      }
      if let piece { body(piece) }
    }
  }

  /// The steps, in their order.
  var steps: [Step] = []

  /// Calls `body` with each word of the text `bytes[range]`, in order: the word's bytes are
  /// `buffer[range]`, where the buffer is `bytes` itself unless something was inserted.
  ///
  /// - Parameter isStart: whether the text is the start of a whole one.
  func forEachWord(
    in bytes: [UInt8], range: Range<Int>, isStart: Bool,
    _ body: (_ buffer: [UInt8], _ range: Range<Int>) -> Void
  ) {
    forEachWord(in: bytes, range: range, isStart: isStart, step: 0, body)
  }

  private func forEachWord(
    in bytes: [UInt8], range: Range<Int>, isStart: Bool, step: Int,
    _ body: (_ buffer: [UInt8], _ range: Range<Int>) -> Void
  ) {
    if range.isEmpty { return }
    guard step < steps.count else { return body(bytes, range) }
    func goOn(with piece: [UInt8]) {
      forEachWord(in: piece, range: piece.indices, isStart: isStart, step: step + 1, body)
    }
    switch steps[step] {
    case .split(let split):
      split.forEachPiece(in: bytes, range: range) { piece in
        forEachWord(
          in: bytes, range: piece, isStart: isStart && piece.lowerBound == range.lowerBound,
          step: step + 1, body)
      }
    case .prefixSpace:
      let space = UInt8(ascii: " ")
      if bytes[range.lowerBound] == space {
        forEachWord(in: bytes, range: range, isStart: isStart, step: step + 1, body)
      } else {
        goOn(with: [space] + bytes[range])
      }
    case .markSpaces(let prefix):
      let marked = SpaceMarker.mark(bytes[range]) ?? Array(bytes[range])
      let needsMarker = prefix == .always || prefix == .first && isStart
      goOn(
        with: needsMarker && !marked.starts(with: SpaceMarker.bytes)
          ? SpaceMarker.bytes + marked : marked)
    case .mapBytes: goOn(with: Array(ByteAlphabet.token(of: bytes[range]).utf8))
    case .unmapBytes:
      goOn(with: ByteAlphabet.bytes(of: String(decoding: bytes[range], as: UTF8.self)))
    }
  }
}
