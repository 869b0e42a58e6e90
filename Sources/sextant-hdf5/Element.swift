import CHDF5
import SextantBytes

/// The number type of a dataset.
struct Element: Equatable {
  /// The spelling that the main process uses, such as `F32`.
  let name: String
  /// Bytes of one number.
  let byteWidth: Int
  /// Whether the file stores the most significant byte first.
  let isBigEndian: Bool

  /// Recognises a data type; nil for strings.
  ///
  /// - Parameter isMarked: called for two-byte opaque data: whether an attribute marks it as
  ///   bfloat16.
  /// - Throws: `h5.datatype`, `h5.datatype.float`, `h5.bfloat16-unmarked`.
  init?(
    _ type: borrowing Handle, path: String, isMarked: () throws(Refusal) -> Bool
  ) throws(Refusal) {
    let size = H5Tget_size(type.id)
    switch H5Tget_class(type.id) {
    case H5T_FLOAT:
      guard let name = Self.floatName(type, size: size) else {
        throw Refusal(
          .hdf5FloatType, at: .tensor(path),
          found: "a floating-point type of \(size) bytes with another layout",
          expected: "IEEE 754 with 16, 32 or 64 bits, or bfloat16")
      }
      self.init(type, name: name, size: size)
    case H5T_INTEGER:
      guard [1, 2, 4, 8].contains(size), Self.isPlain(type, size: size) else {
        throw Self.refusal(path, found: "an integer of odd size or padding")
      }
      let isSigned = H5Tget_sign(type.id) == H5T_SGN_2
      self.init(type, name: "\(isSigned ? "I" : "U")\(size * 8)", size: size)
    case H5T_OPAQUE:
      guard size == 2 else { throw Self.refusal(path, found: "opaque data of \(size) bytes") }
      guard try isMarked() else {
        throw Refusal(
          .hdf5UnmarkedBFloat16, at: .tensor(path), found: "no such mark",
          expected: "the attribute dtype = \"bfloat16\"")
      }
      self.init(name: "BF16", byteWidth: 2, isBigEndian: false)
    case H5T_STRING: return nil
    case let other: throw Self.refusal(path, found: Self.describe(other, type))
    }
  }

  private init(name: String, byteWidth: Int, isBigEndian: Bool) {
    self.name = name
    self.byteWidth = byteWidth
    self.isBigEndian = isBigEndian
  }

  private init(_ type: borrowing Handle, name: String, size: Int) {
    let isBigEndian = size > 1 && H5Tget_order(type.id) == H5T_ORDER_BE
    self.init(name: name, byteWidth: size, isBigEndian: isBigEndian)
  }

  /// No padding, and one of the two plain byte orders.
  private static func isPlain(_ type: borrowing Handle, size: Int) -> Bool {
    let order = H5Tget_order(type.id)
    return H5Tget_precision(type.id) == size * 8 && H5Tget_offset(type.id) == 0
      && (order == H5T_ORDER_LE || order == H5T_ORDER_BE || size == 1)
  }

  private static func floatName(_ type: borrowing Handle, size: Int) -> String? {
    // Bits of exponent and mantissa; the sign is the highest bit, the mantissa starts at bit 0.
    let layouts = [
      (name: "F16", size: 2, exponent: 5, mantissa: 10),
      (name: "BF16", size: 2, exponent: 8, mantissa: 7),
      (name: "F32", size: 4, exponent: 8, mantissa: 23),
      (name: "F64", size: 8, exponent: 11, mantissa: 52),
    ]
    var sign = 0
    var exponentStart = 0
    var exponent = 0
    var mantissaStart = 0
    var mantissa = 0
    guard isPlain(type, size: size), H5Tget_norm(type.id) == H5T_NORM_IMPLIED,
      unsafe H5Tget_fields(
        type.id, &sign, &exponentStart, &exponent, &mantissaStart, &mantissa) >= 0
    else { return nil }
    for layout in layouts where layout.size == size {
      if sign == size * 8 - 1, exponentStart == layout.mantissa, exponent == layout.exponent,
        mantissaStart == 0, mantissa == layout.mantissa,
        H5Tget_ebias(type.id) == 1 << (layout.exponent - 1) - 1
      {
        return layout.name
      }
    }
    return nil
  }

  private static func refusal(_ path: String, found: String) -> Refusal {
    Refusal(
      .hdf5DataType, at: .tensor(path), found: found,
      expected: "floating-point numbers or integers")
  }

  private static func describe(_ other: H5T_class_t, _ type: borrowing Handle) -> String {
    switch other {
    case H5T_COMPOUND: "compound data"
    case H5T_ENUM: "an enumeration (h5py stores booleans in this way)"
    case H5T_VLEN: "rows of varying length"
    case H5T_REFERENCE: "references"
    case H5T_ARRAY: "an array type"
    case H5T_TIME: "times"
    case H5T_BITFIELD: "bit fields"
    default: "an unknown class of data (\(other.rawValue))"
    }
  }
}
