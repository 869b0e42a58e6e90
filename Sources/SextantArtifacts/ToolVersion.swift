/// The version of Sextant, as artifacts record it and `--version` prints it.
public enum ToolVersion {
  /// The version, by semver.org.
  public static let current = "0.1.0"
}
