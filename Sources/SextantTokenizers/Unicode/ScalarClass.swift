/// The properties of a scalar that the pre-tokenisers need, packed into one byte.
///
/// Token ids must be the ones that the model was trained with. Each property is therefore that of
/// the Unicode version in the `tokenizers` package (0.23): its pattern engine has Unicode 16.0, its
/// digit test 17.0, its NFC 9.0. Scalars that were assigned later count as unassigned, by their
/// age; otherwise a new toolchain would silently change ids. Today 4,657 scalars (4,644 letters and
/// 13 numbers of Unicode 17.0) are "other" because of it.
struct ScalarClass: Sendable, Equatable {
  /// The classes of the GPT-2 pattern.
  enum Kind: UInt8 {
    /// Neither of the others: `[^\s\p{L}\p{N}]`.
    case other
    /// `\p{L}`.
    case letter
    /// `\p{N}`.
    case number
    /// `\s`.
    case space
  }

  private static let patternVersion = (16, 0)
  private static let digitsVersion = (17, 0)
  private static let nfcVersion = (9, 0)

  private let bits: UInt8

  private static let numericBit: UInt8 = 4
  private static let newerBit: UInt8 = 8

  /// The scalar's part in the GPT-2 pattern.
  @inline(__always)
  var kind: Kind { Kind(rawValue: bits & 3) ?? .other }

  /// Whether the Digits pre-tokeniser isolates the scalar.
  @inline(__always)
  var isNumeric: Bool { bits & Self.numericBit != 0 }

  /// Whether the scalar is younger than the Unicode version of the package's NFC.
  @inline(__always)
  var isInertInNFC: Bool { bits & Self.newerBit != 0 }

  /// Works the class out from the standard library's tables.
  init(computing scalar: Unicode.Scalar) {
    let properties = scalar.properties
    let age = properties.age ?? (Int.max, 0)
    var kind = Kind.other
    var bits: UInt8 = 0
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      kind = .letter
    case .decimalNumber, .letterNumber, .otherNumber:
      kind = .number
      if age <= Self.digitsVersion { bits |= Self.numericBit }
    default:
      kind = properties.isWhitespace ? .space : .other
    }
    if age > Self.nfcVersion { bits |= Self.newerBit }
    if age > Self.patternVersion { kind = .other }
    self.bits = bits | kind.rawValue
  }

  /// The class of a scalar value; values that are not scalars have none.
  @inline(__always)
  static func of(_ value: UInt32) -> ScalarClass {
    if value < 0x80 { return ascii[Int(value)] }
    if value < 0x1_0000 { return basicPlane[Int(value)] }
    return Unicode.Scalar(value).map(ScalarClass.init(computing:)) ?? ascii[0]
  }

  /// Whether a scalar value is a word character, `\w` of UTS #18: alphabetic, mark, decimal number,
  /// connector or join control.
  static func isWord(_ value: UInt32) -> Bool {
    guard let properties = Unicode.Scalar(value)?.properties, let age = properties.age,
      age <= patternVersion
    else { return false }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
      return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }

  // Two tables, so that ASCII text never waits for the larger one to be filled (milliseconds).
  private static let ascii = table(0x80)
  private static let basicPlane = table(0x1_0000)

  private static func table(_ count: UInt32) -> [ScalarClass] {
    (0..<count).map { ScalarClass(computing: Unicode.Scalar($0) ?? "\0") }
  }
}
