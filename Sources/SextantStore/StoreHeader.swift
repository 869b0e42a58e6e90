import SextantBytes
import SextantTensor

/// A tensor of a store, as the header's table describes it.
package struct StoredTensor: Sendable, Equatable {
  /// The canonical name.
  package let name: String
  /// The type in which the elements are stored.
  package let dataType: DataType
  /// The dimensions, outermost first; `[]` is a scalar.
  package let shape: [Int]
  /// The position of the elements in the file: a multiple of 64.
  package let offset: Int
  /// Bytes of the elements.
  package let byteCount: Int
  /// The SHA-256 of the stored elements.
  package internal(set) var digest: Digest
  /// The type of the elements in the checkpoint that the tensor comes from.
  package let sourceDataType: DataType
  /// The SHA-256 of the elements in `sourceDataType`, row-major and little-endian.
  package internal(set) var sourceDigest: Digest

  /// Whether the elements were changed to another type.
  package var isConverted: Bool { dataType != sourceDataType }
}

/// A file that travels in a store, such as `tokenizer.json`.
package struct StoredAttachment: Sendable, Equatable {
  /// The name.
  package let name: String
  /// The position of the bytes in the store: a multiple of 64.
  package let offset: Int
  /// The number of bytes.
  package let byteCount: Int
  /// Their SHA-256.
  package let digest: Digest
}

/// The JSON header of a store.
struct StoreHeader {
  var architecture: String
  var configuration: JSONObject
  var variant: String
  var identity: Digest
  var tensors: [StoredTensor]
  var attachments: [StoredAttachment]

  /// The identity that follows from architecture, configuration and source tensors.
  var computedIdentity: Digest {
    ModelIdentity.digest(
      architecture: architecture, configuration: configuration, tensors: tensors)
  }

  /// The canonical JSON text.
  var bytes: [UInt8] {
    let value: JSONValue = [
      "format": .string(StoreFormat.name),
      "version": .integer(Int64(StoreFormat.version)),
      "requires": [],
      "architecture": .string(architecture),
      "configuration": .object(configuration),
      "identity": .string(identity.description),
      "weights": .string(variant),
      "layout": .string(StoreFormat.layout),
      "tensors": .array(tensors.map(\.json)),
      "attachments": .array(attachments.map(\.json)),
    ]
    return value.canonicalBytes
  }
}

extension StoredTensor {
  fileprivate var json: JSONValue {
    var entry = JSONObject([
      ("name", .string(name)), ("dtype", .string(dataType.rawValue)),
      ("shape", .array(shape.map { .integer(Int64($0)) })),
      ("offset", .integer(Int64(offset))), ("bytes", .integer(Int64(byteCount))),
      ("sha256", .string(digest.description)),
    ])
    if isConverted {
      entry["source_dtype"] = .string(sourceDataType.rawValue)
      entry["source_sha256"] = .string(sourceDigest.description)
    }
    return .object(entry)
  }
}

extension StoredAttachment {
  fileprivate var json: JSONValue {
    [
      "name": .string(name), "offset": .integer(Int64(offset)),
      "bytes": .integer(Int64(byteCount)), "sha256": .string(digest.description),
    ]
  }
}
