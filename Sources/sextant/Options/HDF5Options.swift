import ArgumentParser
import SextantBytes
import SextantCheckpoints

/// How HDF5 files are read.
struct HDF5Options: ParsableArguments {
  @Flag(
    name: .customLong("unconfined-hdf5"),
    help: """
      Read an HDF5 file that you trust on a system that cannot confine the HDF5 reader. Without \
      this option, HDF5 files are refused on such a system.
      """)
  var isUnconfined = false

  /// Sets how the process reads HDF5 from now on.
  func apply() {
    if isUnconfined { HDF5Confinement.makeOptional() }
  }

  /// Refuses the option if no HDF5 file was opened.
  ///
  /// - Throws: `usage.option`.
  func checkUsed() throws(Refusal) {
    guard isUnconfined, !HDF5Confinement.hasReader else { return }
    throw Refusal(
      .usageOption, at: .option("--unconfined-hdf5"), found: "a file that is not HDF5",
      expected: "an HDF5 file", remedy: "Leave the option out.")
  }
}
