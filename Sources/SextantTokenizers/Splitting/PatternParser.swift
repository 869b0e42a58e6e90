/// A part of a pattern.
indirect enum PatternNode: Sendable {
  /// One scalar of a set.
  case scalar(ScalarSet)
  /// Nothing, if the next scalar is in the set, or if the text ends and that is allowed.
  case lookahead(ScalarSet, allowsEnd: Bool)
  /// One part after the other.
  case sequence([PatternNode])
  /// The first part that leads to a match.
  case choice([PatternNode])
  /// A part `least` to `most` times (nil: any number), as often or as seldom as possible.
  case repetition(PatternNode, least: Int, most: Int?, lazily: Bool = false)
}

/// What a pattern has that is not supported.
struct PatternProblem: Error {
  /// A description with the place.
  var found: String
}

/// Reads the regular expressions by which tokenizers split texts, in Oniguruma's syntax.
///
/// What is read has the meaning that Oniguruma gives it; all else is refused: what looks back, what
/// looks ahead further than one character, back references, flags other than `i`, scripts.
struct PatternParser {
  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var depth = 0

  private static let lengthLimit = 4_096
  private static let depthLimit = 16
  private static let countLimit = 64

  /// Reads a whole pattern.
  static func parse(_ pattern: String) throws(PatternProblem) -> PatternNode {
    var parser = PatternParser(scalars: Array(pattern.unicodeScalars.prefix(lengthLimit + 1)))
    guard parser.scalars.count <= lengthLimit else {
      throw PatternProblem(found: "a pattern of more than \(lengthLimit) characters")
    }
    let node = try parser.choice()
    guard parser.position == parser.scalars.count else {
      throw parser.problem("\")\" without \"(\"")
    }
    return node
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  // MARK: Characters

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ text: String) -> Bool {
    let text = text.unicodeScalars
    guard scalars[position...].starts(with: text) else { return false }
    position += text.count
    return true
  }

  private func problem(_ what: String) -> PatternProblem {
    PatternProblem(found: "\(what) at character \(position) of the pattern")
  }

  // MARK: Structure

  private mutating func choice() throws(PatternProblem) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw problem("too many groups in groups") }
    var alternatives = [try sequence()]
    while take("|") { alternatives.append(try sequence()) }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private mutating func sequence() throws(PatternProblem) -> PatternNode {
    var parts: [PatternNode] = []
    var letter: Unicode.Scalar?
    while let scalar = next, scalar != "|", scalar != ")" {
      try refuseLigature(letter, scalar)
      letter = scalar
      parts.append(try quantified(atom()))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  /// Without regard to case, one ligature is equal to these pairs of letters.
  private func refuseLigature(
    _ first: Unicode.Scalar?, _ second: Unicode.Scalar
  ) throws(PatternProblem) {
    guard ignoresCase, let first else { return }
    let pair = (String(first) + String(second)).lowercased()
    if ["ss", "st", "ff", "fi", "fl"].contains(pair) {
      throw problem("\"\(pair)\" without regard to case")
    }
  }

  private mutating func atom() throws(PatternProblem) -> PatternNode {
    if take("(") { return try group() }
    if take("[") { return .scalar(try bracket()) }
    if take("\\z") { return .lookahead(.none, allowsEnd: true) }
    if take("$") { return .lookahead(.scalar("\n"), allowsEnd: true) }
    if take(".") { return .scalar(.complement(.scalar("\n"))) }
    if take("\\w") { return .scalar(.wordAlone) }
    if take("\\W") { return .scalar(.complement(.wordAlone)) }
    guard let scalar = next, !["*", "+", "?", "{", "^"].contains(scalar) else {
      throw problem("\"\(next.map { String($0) } ?? "")\"")
    }
    if scalar == "\\" {
      switch try escape() {
      case .set(let set): return .scalar(set)
      case .scalar(let scalar): return .scalar(try folded(scalar...scalar))
      }
    }
    position += 1
    return .scalar(try folded(scalar...scalar))
  }

  private mutating func group() throws(PatternProblem) -> PatternNode {
    let outer = ignoresCase
    defer { ignoresCase = outer }
    if take("?=") { return try lookahead(negative: false) }
    if take("?!") { return try lookahead(negative: true) }
    if take("?i:") {
      ignoresCase = true
    } else if !take("?:"), next == "?" {
      throw problem(
        "a group \"(\(String(String.UnicodeScalarView(scalars[position...].prefix(3)))))\"")
    }
    let node = try choice()
    guard take(")") else { throw problem("no \")\"") }
    return node
  }

  private mutating func lookahead(negative: Bool) throws(PatternProblem) -> PatternNode {
    let start = position
    let node = try choice()
    guard let set = node.set else {
      position = start
      throw problem("a lookahead at more than one character")
    }
    guard take(")") else { throw problem("no \")\"") }
    return .lookahead(negative ? .complement(set) : set, allowsEnd: negative)
  }

  // MARK: Quantifiers

  private mutating func quantified(_ node: PatternNode) throws(PatternProblem) -> PatternNode {
    var result = node
    if let (least, most) = try bounds() {
      result = .repetition(node, least: least, most: most)
      // Not possessive in this syntax: the repetition is repeated.
      if take("+") { result = .repetition(result, least: 1, most: nil) }
    } else {
      let least: Int
      let most: Int?
      if take("*") {
        (least, most) = (0, nil)
      } else if take("+") {
        (least, most) = (1, nil)
      } else if take("?") {
        (least, most) = (0, 1)
      } else {
        return node
      }
      if take("+") {
        result = try possessive(node, least: least, most: most)
      } else {
        result = .repetition(node, least: least, most: most, lazily: take("?"))
      }
    }
    if case .lookahead = node { throw problem("a repeated lookahead") }
    if let next, ["*", "+", "?", "{"].contains(next) { throw problem("two quantifiers") }
    return result
  }

  /// A repetition that gives nothing back: it ends where the next character is none of its own.
  private func possessive(
    _ node: PatternNode, least: Int, most: Int?
  ) throws(PatternProblem) -> PatternNode {
    guard let set = node.set else { throw problem("a possessive group") }
    let stop = PatternNode.lookahead(.complement(set), allowsEnd: true)
    if most == 1 { return .choice([node, stop]) }
    return .sequence([.repetition(node, least: least, most: nil), stop])
  }

  /// `{n}`, `{n,}`, `{,m}` or `{n,m}`.
  private mutating func bounds() throws(PatternProblem) -> (Int, Int?)? {
    guard take("{") else { return nil }
    let least = number()
    var most = least
    if take(",") { most = number() } else if least == nil { throw problem("\"{\"") }
    guard take("}"), least != nil || most != nil else { throw problem("\"{\"") }
    let limits = 0...Self.countLimit
    guard limits ~= (least ?? 0), limits ~= (most ?? 0), (least ?? 0) <= (most ?? Int.max) else {
      throw problem("a count that is not from 0 to \(Self.countLimit)")
    }
    return (least ?? 0, most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let digit = next.flatMap({ Int(String($0)) }), (value ?? 0) < 1_000 {
      value = (value ?? 0) * 10 + digit
      position += 1
    }
    return value
  }

  // MARK: Sets

  private enum Escape {
    case scalar(Unicode.Scalar)
    case set(ScalarSet)
  }

  private mutating func escape() throws(PatternProblem) -> Escape {
    let start = position
    position += 1
    guard let letter = next else { throw problem("\"\\\" at the end") }
    position += 1
    switch letter {
    case "r": return .scalar("\r")
    case "n": return .scalar("\n")
    case "t": return .scalar("\t")
    case "f": return .scalar("\u{C}")
    case "v": return .scalar("\u{B}")
    case "s": return .set(.space)
    case "S": return .set(.complement(.space))
    case "d": return .set(.digit)
    case "D": return .set(.complement(.digit))
    case "w": return .set(.word)
    case "W": return .set(.complement(.word))
    case "p", "P": return .set(try property(negative: letter == "P"))
    case "x", "u":
      if let scalar = codePoint(letter) { return .scalar(scalar) }
    default:
      if letter.isASCII,
        ![.uppercaseLetter, .lowercaseLetter, .decimalNumber, .control]
          .contains(letter.properties.generalCategory)
      {
        return .scalar(letter)
      }
    }
    position = start
    throw problem("\"\\\(letter)\"")
  }

  /// The rest of `\xHH`, `\x{H…}` or `\uHHHH`.
  private mutating func codePoint(_ letter: Unicode.Scalar) -> Unicode.Scalar? {
    let braced = letter == "x" && take("{")
    var digits = ""
    while let next, next.properties.isASCIIHexDigit,
      digits.count < (braced ? 6 : letter == "x" ? 2 : 4)
    {
      digits.unicodeScalars.append(next)
      position += 1
    }
    guard braced ? take("}") : digits.count == (letter == "x" ? 2 : 4) else { return nil }
    return UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
  }

  private mutating func property(negative: Bool) throws(PatternProblem) -> ScalarSet {
    guard !ignoresCase else { throw problem("a property without regard to case") }
    guard take("{") else { throw problem("\"\\p\" without \"{\"") }
    let complements = take("^") != negative
    var name = ""
    while let next, next != "}" {
      name.unicodeScalars.append(next)
      position += 1
    }
    guard take("}"), let categories = ScalarClass.Category.named(name) else {
      throw problem("\"\\p{\(name)}\", which is no general category,")
    }
    let set = ScalarSet.categories(ScalarClass.bits(of: categories))
    return complements ? .complement(set) : set
  }

  /// The rest of a set in brackets.
  private mutating func bracket() throws(PatternProblem) -> ScalarSet {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw problem("too many brackets in brackets") }
    let complements = take("^")
    var parts: [ScalarSet] = []
    var sets: [ScalarSet] = []
    if next == "]" { throw problem("\"[]\"") }
    while !take("]") {
      guard next != nil else { throw problem("no \"]\"") }
      if take("[:") { throw problem("\"[:\"") }
      if take("&&") {
        parts.append(.union(sets))
        sets = []
      } else if take("[") {
        sets.append(try bracket())
      } else {
        sets.append(try range())
      }
    }
    parts.append(.union(sets))
    let set: ScalarSet = parts.count == 1 ? .union(sets) : .intersection(parts)
    return complements ? .complement(set) : set
  }

  /// A character, a range of characters or an escape inside brackets.
  private mutating func range() throws(PatternProblem) -> ScalarSet {
    let low: Unicode.Scalar
    switch try member() {
    case .set(let set): return set
    case .scalar(let scalar): low = scalar
    }
    guard next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
      return try folded(low...low)
    }
    position += 1
    guard next != "[", case .scalar(let high) = try member(), low <= high else {
      throw problem("a range that is none")
    }
    return try folded(low...high)
  }

  private mutating func member() throws(PatternProblem) -> Escape {
    if next == "\\" { return try escape() }
    defer { position += 1 }
    return .scalar(scalars[position])
  }

  /// A range with the other cases of its letters, if case is ignored.
  private func folded(_ range: ClosedRange<Unicode.Scalar>) throws(PatternProblem) -> ScalarSet {
    let values = range.lowerBound.value...range.upperBound.value
    guard ignoresCase else { return .range(values) }
    guard range.upperBound.isASCII else {
      throw problem("a character beyond ASCII without regard to case")
    }
    var sets = [ScalarSet.range(values)]
    for letter in UInt32(0x61)...0x7A where values.contains(letter) || values.contains(letter - 32)
    {
      sets += [.range(letter...letter), .range(letter - 32...letter - 32)]
      // The long s and the sign of kelvin are letters of ASCII to an engine that ignores case.
      if letter == 0x73 { sets.append(.range(0x17F...0x17F)) }
      if letter == 0x6B { sets.append(.range(0x212A...0x212A)) }
    }
    return .union(sets)
  }
}

extension PatternNode {
  /// The set, if the part is one scalar.
  fileprivate var set: ScalarSet? {
    switch self {
    case .scalar(let set): return set
    case .choice(let nodes):
      let sets = nodes.compactMap(\.set)
      return sets.count == nodes.count ? .union(sets) : nil
    default: return nil
    }
  }
}
