import SextantBytes

extension TextFile {
  /// The bytes of a file of JSON lines: canonical JSON, an object on each line.
  package static func jsonLines(_ objects: [JSONObject]) -> [UInt8] {
    objects.flatMap { JSONValue.object($0).canonicalBytes + [UInt8(ascii: "\n")] }
  }
}
