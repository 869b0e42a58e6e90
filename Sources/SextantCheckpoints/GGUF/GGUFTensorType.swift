import SextantTensor

/// How a GGUF file stores the elements of a tensor, by the numbers of the format.
///
/// A row is split into blocks of equal size. A block contains small integers and the scales that
/// turn them into numbers.
enum GGUFTensorType: UInt32, CaseIterable, Sendable {
  case f32 = 0
  case f16 = 1
  case q4v0 = 2
  case q4v1 = 3
  case q5v0 = 6
  case q5v1 = 7
  case q8v0 = 8
  case q2k = 10
  case q3k = 11
  case q4k = 12
  case q5k = 13
  case q6k = 14
  case f64 = 28
  case bf16 = 30

  /// The name that the format gives it.
  var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .f64: "F64"
    case .bf16: "BF16"
    case .q4v0: "Q4_0"
    case .q4v1: "Q4_1"
    case .q5v0: "Q5_0"
    case .q5v1: "Q5_1"
    case .q8v0: "Q8_0"
    case .q2k: "Q2_K"
    case .q3k: "Q3_K"
    case .q4k: "Q4_K"
    case .q5k: "Q5_K"
    case .q6k: "Q6_K"
    }
  }

  /// Elements of a block.
  var blockElements: Int {
    switch self {
    case .f32, .f16, .f64, .bf16: 1
    case .q4v0, .q4v1, .q5v0, .q5v1, .q8v0: 32
    case .q2k, .q3k, .q4k, .q5k, .q6k: 256
    }
  }

  /// Bytes of a block.
  var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .f64: 8
    case .q4v0: 18
    case .q4v1: 20
    case .q5v0: 22
    case .q5v1: 24
    case .q8v0: 34
    case .q2k: 84
    case .q3k: 110
    case .q4k: 144
    case .q5k: 176
    case .q6k: 210
    }
  }

  /// The type that stores elements of a type as they are; nil if the format has none.
  init?(storing type: DataType) {
    switch type {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    case .q8: self = .q8v0
    case .q4v0: self = .q4v0
    case .q4v1: self = .q4v1
    case .q5v0: self = .q5v0
    case .q5v1: self = .q5v1
    case .q4k: self = .q4k
    case .q5k: self = .q5k
    case .q6k: self = .q6k
    default: return nil
    }
  }

  /// The type of a native model with the same blocks; nil if there is none.
  var blocks: DataType? { isQuantised ? DataType(rawValue: name) : nil }

  /// Whether elements are stored in blocks and have to be computed.
  var isQuantised: Bool { blockElements > 1 }

  /// The type of the elements that are passed on.
  var dataType: DataType {
    switch self {
    case .f16: .f16
    case .bf16: .bf16
    case .f64: .f64
    default: .f32
    }
  }

  /// The name of a type that the format defines and this reader does not read.
  static func unreadName(_ number: UInt32) -> String? { unreadNames[number] }

  private static let unreadNames: [UInt32: String] = [
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
  ]
}
