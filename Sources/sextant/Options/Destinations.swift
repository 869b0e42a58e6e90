import SextantBytes

/// Refuses destinations that could not be published, before the work and not after it.
///
/// - Throws: `file.exists`, `file.create`; `file.same` for one path given twice.
func checkDestinations(_ paths: [String?], replacing: Bool) throws(FormatError) {
  var seen: Set<ExactString> = []
  for path in paths.compactMap({ $0 }) {
    guard seen.insert(ExactString(path)).inserted else {
      throw FormatError(
        .fileSame, file: path, found: "one path for two files", expected: "a path for each")
    }
    _ = try FilePublisher(path, replacing: replacing)
  }
}
