import ArgumentParser
import SextantCheckpoints

/// How HDF5 files are read.
struct HDF5Options: ParsableArguments {
  @Flag(
    name: .customLong("unconfined-hdf5"),
    help: """
      Read an HDF5 file that you trust on a system that cannot confine its reader. Without it such a file \
      is refused there.
      """)
  var isUnconfined = false

  /// Sets how the process reads HDF5 from now on.
  func apply() {
    if isUnconfined { HDF5Confinement.makeOptional() }
  }
}
