/// The version of Sextant, as artifacts record it and `--version` prints it.
package enum ToolVersion {
  /// The version, by semver.org.
  package static let current = "0.2.0"
}
