/// The organisation of an HDF5 file of weights, recognised by its structure and never by its name.
package enum HDF5Layout: String, Sendable {
  /// One dataset per tensor, whose path is the tensor's name.
  case flat
  /// Keras 3: the variables of each layer are numbered, `…/vars/<number>`.
  case keras3 = "keras-3"
  /// Keras 1 and 2, and TensorFlow models of transformers: names are in attributes.
  case keras2 = "keras-2"

  /// Whether the last part of a dataset's path, and the one before it, are those of a variable of
  /// Keras 3.
  package static func isNumbered(_ parts: [some StringProtocol]) -> Bool {
    guard let last = parts.last, parts.dropLast().last?.utf8.elementsEqual("vars".utf8) == true
    else { return false }
    return !last.isEmpty
      && last.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// The name of the tensor that Keras 2 calls `weight`: `layer/h_._0/kernel:0` is
  /// `layer.h.0.kernel`.
  ///
  /// TensorFlow numbers a variable's outputs, and transformers mark places in a list by `_._`.
  package static func tensorName(ofWeight weight: String) -> String {
    var bytes = Array(weight.utf8)
    if let colon = bytes.lastIndex(of: UInt8(ascii: ":")), colon + 1 < bytes.count,
      bytes[(colon + 1)...].allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
    {
      bytes.removeSubrange(colon...)
    }
    var name: [UInt8] = []
    var rest = bytes[...]
    while let byte = rest.first {
      if rest.starts(with: "_._".utf8) {
        name.append(UInt8(ascii: "."))
        rest = rest.dropFirst(3)
      } else {
        name.append(byte == UInt8(ascii: "/") ? UInt8(ascii: ".") : byte)
        rest = rest.dropFirst()
      }
    }
    return String(decoding: name, as: UTF8.self)
  }
}
