import SextantBytes
import SextantTensor

/// The values that make two stores the same model.
package enum ModelIdentity {
  /// The SHA-256 over the canonical JSON text of
  /// `{"architecture": …, "configuration": …, "tensors": [[name, type, shape, digest], …]}`.
  ///
  /// Types and digests are those of the source, so that a store whose weights were converted to
  /// another type keeps the identity; the tensors are sorted by the bytes of their names. The
  /// tokenizer is not part of it.
  ///
  /// - Parameters:
  ///   - architecture: the canonical name of the architecture.
  ///   - configuration: its canonical configuration.
  ///   - tensors: every tensor of the model, in any order.
  package static func digest(
    architecture: String, configuration: JSONObject, tensors: [StoredTensor]
  ) -> Digest {
    let sorted = tensors.sorted { ExactString($0.name) < ExactString($1.name) }
    let rows = sorted.map { tensor -> JSONValue in
      [
        .string(tensor.name), .string(tensor.sourceDataType.rawValue),
        .array(tensor.shape.map { .integer(Int64($0)) }),
        .string(tensor.sourceDigest.description),
      ]
    }
    let value: JSONValue = [
      "architecture": .string(architecture), "configuration": .object(configuration),
      "tensors": .array(rows),
    ]
    return SHA256.digest(value.canonicalBytes)
  }
}
