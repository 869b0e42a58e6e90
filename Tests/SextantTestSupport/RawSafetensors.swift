import SextantBytes

/// Bytes of safetensors files, good and bad, without the writer that the tests check.
package enum RawSafetensors {
  /// A file of this header text and data.
  ///
  /// - Parameters:
  ///   - headerLength: the length to declare, if it is not the true one.
  ///   - padded: fill the header up with spaces to a multiple of 8 bytes.
  package static func file(
    header: String, data: [UInt8] = [], headerLength: UInt64? = nil, padded: Bool = false
  ) -> [UInt8] {
    file(header: Array(header.utf8), data: data, headerLength: headerLength, padded: padded)
  }

  /// A file of this header, which may be invalid text, and data.
  package static func file(
    header: [UInt8], data: [UInt8] = [], headerLength: UInt64? = nil, padded: Bool = false
  ) -> [UInt8] {
    var header = header
    if padded { while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) } }
    return (headerLength ?? UInt64(header.count)).littleEndianBytes + header + data
  }

  /// The header entry of one tensor, such as `"a":{"dtype":"F32",…}`.
  package static func entry(
    _ name: String, _ dataType: String = "F32", _ shape: [Int], _ begin: Int, _ end: Int
  ) -> String {
    let name = JSONValue.string(name).canonicalText
    let fields = "\"dtype\":\"\(dataType)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]"
    return "\(name):{\(fields)}"
  }

  /// A valid file of these tensors, in this order.
  package static func file(
    _ tensors: [(name: String, dataType: String, shape: [Int], bytes: [UInt8])],
    metadata: [(String, String)] = []
  ) -> [UInt8] {
    var entries: [String] = []
    var data: [UInt8] = []
    if !metadata.isEmpty {
      let object = JSONObject(metadata.map { ($0.0, .string($0.1)) })
      entries.append("\"__metadata__\":\(JSONValue.object(object).canonicalText)")
    }
    for tensor in tensors {
      let end = data.count + tensor.bytes.count
      entries.append(entry(tensor.name, tensor.dataType, tensor.shape, data.count, end))
      data += tensor.bytes
    }
    return file(header: "{\(entries.joined(separator: ","))}", data: data, padded: true)
  }
}
