import CHDF5
import Glibc
import SextantBytes

/// Attributes that contain one text.
enum Attributes {
  /// Bytes of one text.
  static let textLimit = 1 << 20
  /// Texts of the root group.
  static let countLimit = 64

  /// Names in one list, or in the parts of one.
  static let listLimit = 200_000

  /// All texts among the attributes of a group; others are skipped with a note.
  ///
  /// - Parameter skipped: names of attributes that are not even looked at.
  /// - Throws: `h5.attribute`, `h5.invalid`.
  static func texts(
    of group: borrowing Handle, except skipped: [String], notes: inout [String]
  ) throws(Refusal) -> [(key: String, value: String)] {
    var texts: [(key: String, value: String)] = []
    for name in try names(of: group) where !name.hasPrefix("layer_names") || skipped.isEmpty {
      if skipped.contains(name) {
        notes.append("skipped the attribute \(name), which describes the model to Keras")
      } else if let text = try text(name, of: group) {
        texts.append((name, text))
      } else {
        notes.append("skipped the attribute \(name), which is not text")
      }
    }
    return texts
  }

  /// The text of one attribute, or nil when it is absent or no text.
  ///
  /// - Throws: `h5.attribute` when it is not UTF-8 or too long, `h5.invalid`.
  static func text(
    _ name: String, of object: borrowing Handle
  ) throws(Refusal) -> String? {
    guard unsafe H5Aexists(object.id, name) > 0 else { return nil }
    let attribute = try Handle(
      unsafe H5Aopen_by_name(object.id, ".", name, 0, 0), "open the attribute \(name)")
    let type = try Handle(H5Aget_type(attribute.id), "read the type of the attribute \(name)")
    let space = try Handle(H5Aget_space(attribute.id), "read the shape of the attribute \(name)")
    guard H5Tget_class(type.id) == H5T_STRING, H5Sget_simple_extent_npoints(space.id) == 1 else {
      return nil
    }
    let bytes =
      H5Tis_variable_str(type.id) > 0
      ? try variableText(name, attribute, type, space) : try fixedText(name, attribute, type)
    guard bytes.count <= textLimit else { throw tooLong(name, bytes.count) }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Refusal(
        .hdf5Attribute, at: .tensor(name), found: "bytes that are not UTF-8", expected: "UTF-8")
    }
    return text
  }

  private static func variableText(
    _ name: String, _ attribute: borrowing Handle, _ type: borrowing Handle,
    _ space: borrowing Handle
  ) throws(Refusal) -> [UInt8] {
    var text: UnsafeMutablePointer<CChar>?
    try unsafe Library.check(
      H5Aread(attribute.id, type.id, &text), "read the attribute \(name)")
    guard let start = unsafe text else { return [] }
    let count = unsafe strlen(start)
    guard count <= textLimit else { throw tooLong(name, count) }
    let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
      .map { UInt8(bitPattern: $0) }
    _ = unsafe H5Dvlen_reclaim(type.id, space.id, 0, &text)
    return bytes
  }

  private static func fixedText(
    _ name: String, _ attribute: borrowing Handle, _ type: borrowing Handle
  ) throws(Refusal) -> [UInt8] {
    let size = H5Tget_size(type.id)
    guard size <= textLimit else { throw tooLong(name, size) }
    var bytes = [UInt8](repeating: 0, count: size)
    try unsafe Library.check(
      H5Aread(attribute.id, type.id, &bytes), "read the attribute \(name)")
    if H5Tget_strpad(type.id) == H5T_STR_SPACEPAD {
      while bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
    }
    return Array(bytes.prefix { $0 != 0 })
  }

  private static func names(of group: borrowing Handle) throws(Refusal) -> [String] {
    var names: [[UInt8]] = []
    let status = unsafe withUnsafeMutablePointer(to: &names) { place in
      unsafe H5Aiterate2(
        group.id, H5_INDEX_NAME, H5_ITER_NATIVE, nil,
        { _, name, _, context in
          guard let name = unsafe name,
            let place = unsafe context?.assumingMemoryBound(to: [[UInt8]].self)
          else { return -1 }
          let bytes = unsafe UnsafeBufferPointer(start: name, count: strlen(name))
          unsafe place.pointee.append(bytes.map { UInt8(bitPattern: $0) })
          return unsafe place.pointee.count > Attributes.countLimit ? 1 : 0
        }, place)
    }
    try Library.check(status, "list the attributes")
    guard names.count <= countLimit else {
      throw Refusal(
        .hdf5Attribute, found: "more than \(countLimit) attributes", expected: "at most that")
    }
    var texts: [String] = []
    for bytes in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      guard let name = String(validating: bytes, as: UTF8.self) else {
        throw Refusal(
          .hdf5Attribute, found: "an attribute's name that is not UTF-8", expected: "UTF-8")
      }
      texts.append(name)
    }
    return texts
  }

  private static func tooLong(_ name: String, _ count: Int) -> Refusal {
    Refusal(
      .hdf5Attribute, at: .tensor(name), found: "\(count) bytes",
      expected: "at most \(textLimit) bytes")
  }
}
