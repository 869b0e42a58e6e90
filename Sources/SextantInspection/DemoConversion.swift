import SextantBytes
import SextantConversion
import SextantReport
import SextantStore

/// The demo's conversions: the same weights from files of different formats give the same bytes.
package struct DemoConversion: Sendable {
  /// What was made, for programs.
  package let json: JSONValue

  /// Converts checkpoints to native models.
  ///
  /// - Parameters:
  ///   - conversions: the path of each checkpoint, and of the model to make; existing ones are replaced.
  ///   - say: receives lines for people.
  /// - Throws: what converting throws; `store.identity` for models that are not byte-identical.
  package init(
    _ conversions: [(checkpoint: String, model: String)], say: (String) -> Void
  ) throws(Refusal) {
    var digests: [Digest] = []
    for (checkpoint, destination) in conversions {
      var options = ConversionOptions()
      options.replacing = true
      let report = try Conversion(checkpoint, options: options).write(to: destination)
      let digest = SHA256.digest(try InputFile(destination).readAll(limit: 1 << 30))
      digests.append(digest)
      say("  \(checkpoint) → \(destination)")
      say(
        "    \(counted(report.tensorCount, "tensor")), \(Format.count(report.parameterCount)) parameters, "
          + "SHA-256 \(digest.description.prefix(16))…")
      guard digest == digests[0] else {
        throw Refusal(
          .storeIdentity, file: destination,
          found: "other bytes than from \(conversions[0].checkpoint)",
          expected: "byte-identical files")
      }
    }
    let store = try ModelStore(opening: conversions[0].model)
    try store.verify()
    say("  The two files are byte-identical, and every digest in them is right.")
    json = [
      "identity": .string(store.identity.description), "sha256": .string(digests[0].description),
      "identical": true,
    ]
  }
}
