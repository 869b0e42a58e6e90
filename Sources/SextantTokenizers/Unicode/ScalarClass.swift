/// The properties of a scalar that the pre-tokenisers need, packed into a few bits.
///
/// Token ids must be the ones that the model was trained with. Each property is therefore that of
/// the Unicode version in the `tokenizers` package (0.23): its pattern engine has Unicode 16.0, its
/// digit test 17.0, its NFC 9.0, its punctuation test 8.0. Scalars that were assigned later count as
/// unassigned, by their age; otherwise a new toolchain would silently change ids.
struct ScalarClass: Sendable, Equatable {
  /// The general categories. Control characters that are white space are one of their own.
  enum Category: UInt8, CaseIterable {
    case uppercaseLetter, lowercaseLetter, titlecaseLetter, modifierLetter, otherLetter
    case nonspacingMark, spacingMark, enclosingMark
    case decimalNumber, letterNumber, otherNumber
    case connectorPunctuation, dashPunctuation, openPunctuation, closePunctuation
    case initialPunctuation, finalPunctuation, otherPunctuation
    case mathSymbol, currencySymbol, modifierSymbol, otherSymbol
    case spaceSeparator, lineSeparator, paragraphSeparator
    case control, format, privateUse, unassigned
    case spaceControl
  }

  /// Properties that are not general categories.
  struct Flags: OptionSet, Sendable, Hashable {
    let rawValue: UInt16
    /// A word character of UTS #18: alphabetic, mark, decimal number, connector or join control.
    static let word = Flags(rawValue: 1 << 5)
    /// A number for the Digits pre-tokeniser.
    static let numeric = Flags(rawValue: 1 << 6)
    /// Punctuation for the Punctuation pre-tokeniser.
    static let punctuation = Flags(rawValue: 1 << 7)
    /// Younger than the Unicode version of the package's NFC.
    static let inertInNFC = Flags(rawValue: 1 << 8)
  }

  private static let patternVersion = (16, 0)
  private static let digitsVersion = (17, 0)
  private static let nfcVersion = (9, 0)
  private static let punctuationVersion = (8, 0)

  private let bits: UInt16

  /// The category, for patterns.
  @inline(__always)
  var category: Category { Category(rawValue: UInt8(bits & 31)) ?? .unassigned }

  /// Whether the scalar has one of the properties.
  @inline(__always)
  func has(_ flags: Flags) -> Bool { bits & flags.rawValue != 0 }

  /// Whether the scalar is white space, `\s`.
  @inline(__always)
  var isSpace: Bool { 1 << (bits & 31) & Self.spaces != 0 }

  /// The categories of white space, as a set of bits.
  static let spaces = bits(of: [
    .spaceSeparator, .lineSeparator, .paragraphSeparator, .spaceControl,
  ])

  /// Whether the scalar is younger than the Unicode version of the package's NFC.
  @inline(__always)
  var isInertInNFC: Bool { has(.inertInNFC) }

  /// All that patterns tell apart: a number below `indexCount`.
  @inline(__always)
  var index: Int { Int(bits & 0xFF) }

  /// The count of indices.
  static let indexCount = 256

  /// The class with this index.
  init(index: Int) { bits = UInt16(index) }

  /// Categories as a set of bits.
  static func bits(of categories: [Category]) -> UInt32 {
    categories.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
  }

  /// Works the class out from the standard library's tables.
  init(computing scalar: Unicode.Scalar) {
    let properties = scalar.properties
    let age = properties.age ?? (Int.max, 0)
    var category = Category(properties.generalCategory)
    var flags: Flags = []
    switch category {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
      .nonspacingMark, .spacingMark, .enclosingMark:
      flags.insert(.word)
    case .decimalNumber, .letterNumber, .otherNumber:
      if category == .decimalNumber || properties.isAlphabetic { flags.insert(.word) }
      if age <= Self.digitsVersion { flags.insert(.numeric) }
    case .control:
      if properties.isWhitespace { category = .spaceControl }
    case .format, .otherSymbol:
      if properties.isAlphabetic || properties.isJoinControl { flags.insert(.word) }
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      if category == .connectorPunctuation { flags.insert(.word) }
      if age <= Self.punctuationVersion { flags.insert(.punctuation) }
    default: break
    }
    // Symbols of ASCII are punctuation, and two signs were so until Unicode 8.0.
    if scalar.isASCII && Self.asciiSymbols & 1 << UInt32(category.rawValue) != 0
      || scalar == "\u{166D}" || scalar == "\u{111C9}"
    {
      flags.insert(.punctuation)
    }
    if age > Self.patternVersion {
      category = .unassigned
      flags.remove(.word)
    }
    // The only category that changed from 16.0 to 17.0: this letter was a small one.
    if scalar == "\u{295}" { category = .lowercaseLetter }
    if age > Self.nfcVersion { flags.insert(.inertInNFC) }
    bits = UInt16(category.rawValue) | flags.rawValue
  }

  private static let asciiSymbols = bits(of: [.mathSymbol, .currencySymbol, .modifierSymbol])

  /// The class of a scalar value; values that are not scalars have none.
  @inline(__always)
  static func of(_ value: UInt32) -> ScalarClass {
    if value < 0x80 { return ascii[Int(value)] }
    if value < 0x1_0000 { return basicPlane[Int(value)] }
    return Unicode.Scalar(value).map(ScalarClass.init(computing:)) ?? ascii[0]
  }

  /// Whether a scalar value is a word character, `\w` of UTS #18.
  static func isWord(_ value: UInt32) -> Bool { of(value).has(.word) }

  // Two tables, so that ASCII text never waits for the larger one to be filled (milliseconds).
  private static let ascii = table(0x80)
  private static let basicPlane = table(0x1_0000)

  private static func table(_ count: UInt32) -> [ScalarClass] {
    (0..<count).map { ScalarClass(computing: Unicode.Scalar($0) ?? "\0") }
  }
}

extension ScalarClass.Category {
  fileprivate init(_ category: Unicode.GeneralCategory) {
    self =
      switch category {
      case .uppercaseLetter: .uppercaseLetter
      case .lowercaseLetter: .lowercaseLetter
      case .titlecaseLetter: .titlecaseLetter
      case .modifierLetter: .modifierLetter
      case .otherLetter: .otherLetter
      case .nonspacingMark: .nonspacingMark
      case .spacingMark: .spacingMark
      case .enclosingMark: .enclosingMark
      case .decimalNumber: .decimalNumber
      case .letterNumber: .letterNumber
      case .otherNumber: .otherNumber
      case .connectorPunctuation: .connectorPunctuation
      case .dashPunctuation: .dashPunctuation
      case .openPunctuation: .openPunctuation
      case .closePunctuation: .closePunctuation
      case .initialPunctuation: .initialPunctuation
      case .finalPunctuation: .finalPunctuation
      case .otherPunctuation: .otherPunctuation
      case .mathSymbol: .mathSymbol
      case .currencySymbol: .currencySymbol
      case .modifierSymbol: .modifierSymbol
      case .otherSymbol: .otherSymbol
      case .spaceSeparator: .spaceSeparator
      case .lineSeparator: .lineSeparator
      case .paragraphSeparator: .paragraphSeparator
      case .control: .control
      case .format: .format
      case .privateUse: .privateUse
      case .surrogate, .unassigned: .unassigned
      @unknown default: .unassigned
      }
  }

  /// The categories by their names in patterns: of one letter for a group, of two for one.
  static func named(_ name: String) -> [Self]? {
    let names: [String: Self] = [
      "Lu": .uppercaseLetter, "Ll": .lowercaseLetter, "Lt": .titlecaseLetter,
      "Lm": .modifierLetter, "Lo": .otherLetter, "Mn": .nonspacingMark, "Mc": .spacingMark,
      "Me": .enclosingMark, "Nd": .decimalNumber, "Nl": .letterNumber, "No": .otherNumber,
      "Pc": .connectorPunctuation, "Pd": .dashPunctuation, "Ps": .openPunctuation,
      "Pe": .closePunctuation, "Pi": .initialPunctuation, "Pf": .finalPunctuation,
      "Po": .otherPunctuation, "Sm": .mathSymbol, "Sc": .currencySymbol, "Sk": .modifierSymbol,
      "So": .otherSymbol, "Zs": .spaceSeparator, "Zl": .lineSeparator,
      "Zp": .paragraphSeparator, "Cc": .control, "Cf": .format, "Co": .privateUse,
      "Cn": .unassigned,
    ]
    var found = names.filter { $0.key == name || name.count == 1 && $0.key.hasPrefix(name) }
      .map(\.value)
    if found.contains(.control) { found.append(.spaceControl) }
    return found.isEmpty ? nil : found
  }
}
