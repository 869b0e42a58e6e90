/// A regular expression by which text is split before bytes are merged: one of those that published
/// tokenizers use, each matched by code of its own.
///
/// Every position of a text is covered by a match, so that splitting is repeated matching.
enum SplitPattern: Sendable, Equatable {
  /// The pattern of GPT-2.
  case gpt2
  /// The pattern of GPT-4, with at most this number of digits in a row.
  case gpt4(numbers: Int)

  /// The spellings of patterns in files. The spellings of one pattern differ in their possessive
  /// quantifiers, and never in their matches.
  static let published: [(spelling: String, pattern: SplitPattern)] = [
    (
      #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
      .gpt2
    ),
    (
      #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
      .gpt2
    ),
    // GPT-4 (cl100k) and Llama 3.
    (
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .gpt4(numbers: 3)
    ),
    (
      #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"#
        + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#,
      .gpt4(numbers: 3)
    ),
    // Qwen 2.
    (
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .gpt4(numbers: 1)
    ),
  ]

  /// The pattern of a spelling.
  init?(spelling: String) {
    guard
      let known = Self.published.first(where: { $0.spelling.utf8.elementsEqual(spelling.utf8) })
    else { return nil }
    self = known.pattern
  }

  /// The end of the match that starts at `start`, where the text ends at `end`; `start < end`.
  @inline(__always)
  func matchEnd(in bytes: [UInt8], from start: Int, to end: Int) -> Int {
    switch self {
    case .gpt2: GPT2Pattern.matchEnd(in: bytes, from: start, to: end)
    case .gpt4(let numbers): GPT4Pattern.matchEnd(in: bytes, from: start, to: end, numbers: numbers)
    }
  }
}

extension [UInt8] {
  /// The end of the scalars of one kind that continue from `start`.
  @inline(__always)
  func runEnd(of kind: ScalarClass.Kind, from start: Int, to end: Int) -> Int {
    var position = start
    while position < end {
      let scalar = scalar(at: position)
      guard ScalarClass.of(scalar.value).kind == kind else { break }
      position += scalar.byteCount
    }
    return position
  }

  /// The kind of the scalar at `position` and where it ends; nil at the end of the text.
  @inline(__always)
  func kind(at position: Int, to end: Int) -> (kind: ScalarClass.Kind, end: Int)? {
    guard position < end else { return nil }
    let scalar = scalar(at: position)
    return (ScalarClass.of(scalar.value).kind, position + scalar.byteCount)
  }
}
