import CHDF5
import Glibc
import SextantBytes

extension Attributes {
  /// A list of texts, of fixed or varying length.
  ///
  /// Keras splits lists that are too long for one attribute over `name0`, `name1` and so on.
  ///
  /// - Returns: nothing if there is no such attribute.
  /// - Throws: `h5.attribute` when it is not a list of texts, or too long; `h5.invalid`.
  static func list(
    _ name: String, of object: borrowing Handle, path: String
  ) throws(Refusal) -> [String] {
    if unsafe H5Aexists(object.id, name) > 0 { return try part(name, of: object, path) }
    var texts: [String] = []
    var number = 0
    while unsafe H5Aexists(object.id, "\(name)\(number)") > 0 {
      texts += try part("\(name)\(number)", of: object, path)
      guard texts.count <= listLimit else { throw wrong(name, path, "\(texts.count) texts") }
      number += 1
    }
    return texts
  }

  private static func part(
    _ name: String, of object: borrowing Handle, _ path: String
  ) throws(Refusal) -> [String] {
    let attribute = try Handle(
      unsafe H5Aopen_by_name(object.id, ".", name, 0, 0), "open the attribute \(name)",
      tensor: path)
    let type = try Handle(H5Aget_type(attribute.id), "read the type of \(name)", tensor: path)
    let space = try Handle(H5Aget_space(attribute.id), "read the shape of \(name)", tensor: path)
    let count = H5Sget_simple_extent_npoints(space.id)
    // An empty list has lost its type: h5py makes it one of numbers.
    if count == 0 { return [] }
    guard H5Tget_class(type.id) == H5T_STRING, H5Sget_simple_extent_ndims(space.id) == 1,
      (1...Int64(listLimit)).contains(count)
    else { throw wrong(name, path, "something else") }
    let rows =
      H5Tis_variable_str(type.id) > 0
      ? try varying(Int(count), name, attribute, type, space, path)
      : try fixed(Int(count), name, attribute, type, path)
    var texts: [String] = []
    for row in rows {
      guard let text = String(validating: row, as: UTF8.self), !text.isEmpty else {
        throw wrong(name, path, row.isEmpty ? "an empty text" : "bytes that are not UTF-8")
      }
      texts.append(text)
    }
    return texts
  }

  private static func varying(
    _ count: Int, _ name: String, _ attribute: borrowing Handle, _ type: borrowing Handle,
    _ space: borrowing Handle, _ path: String
  ) throws(Refusal) -> [[UInt8]] {
    var pointers = unsafe [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
    try unsafe Library.check(
      H5Aread(attribute.id, type.id, &pointers), "read the attribute \(name)", tensor: path)
    var rows: [[UInt8]] = []
    var isTooLong = false
    for row in unsafe 0..<pointers.count {
      guard let start = unsafe pointers[row] else {
        rows.append([])
        continue
      }
      let length = unsafe strlen(start)
      isTooLong = isTooLong || length > textLimit
      if !isTooLong {
        rows.append(
          unsafe UnsafeBufferPointer(start: start, count: length).map { UInt8(bitPattern: $0) })
      }
    }
    _ = unsafe H5Dvlen_reclaim(type.id, space.id, 0, &pointers)
    if isTooLong { throw wrong(name, path, "a text above \(textLimit) bytes") }
    return rows
  }

  private static func fixed(
    _ count: Int, _ name: String, _ attribute: borrowing Handle, _ type: borrowing Handle,
    _ path: String
  ) throws(Refusal) -> [[UInt8]] {
    let size = H5Tget_size(type.id)
    guard size > 0, size <= textLimit, count <= (64 << 20) / size else {
      throw wrong(name, path, "\(count) texts of \(size) bytes")
    }
    var bytes = [UInt8](repeating: 0, count: count * size)
    try unsafe Library.check(
      H5Aread(attribute.id, type.id, &bytes), "read the attribute \(name)", tensor: path)
    let isPadded = H5Tget_strpad(type.id) == H5T_STR_SPACEPAD
    return stride(from: 0, to: bytes.count, by: size).map { start in
      var row = bytes[start..<start + size].prefix { $0 != 0 }
      while isPadded, row.last == UInt8(ascii: " ") { row.removeLast() }
      return Array(row)
    }
  }

  private static func wrong(_ name: String, _ path: String, _ found: String) -> Refusal {
    Refusal(
      .hdf5Attribute, at: .tensor(path.isEmpty ? "/" : path), found: "\(found) in \(name)",
      expected: "a list of at most \(listLimit) texts")
  }
}
