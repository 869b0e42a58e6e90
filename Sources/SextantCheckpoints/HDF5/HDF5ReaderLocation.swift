import Glibc
import SextantBytes

/// The location of the executable `sextant-hdf5`.
enum HDF5ReaderLocation {
  /// The path of the reader: the given one, or that of the environment variable `SEXTANT_HDF5`, or
  /// the file in the folder of the running executable.
  ///
  /// - Throws: `h5.reader.missing`.
  static func find(_ explicit: String?) throws(Refusal) -> String {
    if let path = explicit ?? environment("SEXTANT_HDF5") { return try checked(path) }
    guard let folder = ExecutableFolder.path else {
      throw Refusal(
        .hdf5ReaderMissing, found: "no /proc/self/exe", expected: "a mounted /proc",
        remedy: "Set SEXTANT_HDF5 to the path of sextant-hdf5.")
    }
    return try checked("\(folder)/sextant-hdf5")
  }

  static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  private static func checked(_ path: String) throws(Refusal) -> String {
    guard unsafe access(path, X_OK) == 0 else {
      throw Refusal(
        .hdf5ReaderMissing, found: "no executable \(path)", expected: "the HDF5 reader there")
    }
    return path
  }
}
