import CBuildRecord
import SextantArtifacts
import SextantTensor

/// What this build of Sextant is, and what it computes with on this machine.
public enum BuildRecord {
  /// The version, by semver.org.
  public static var version: String { ToolVersion.current }
  /// The commit that was built; `unknown` for a build that was not made with `make`.
  public static var commit: String { String(cString: sextant_built_commit()) }
  /// The level of the kernels, such as `avx512`: the best that this processor can run.
  public static var kernels: String { Kernels.level }
  /// OpenBLAS's name of the processors that its kernels are for, or why it cannot be loaded. The first call
  /// loads OpenBLAS.
  public static var openBLAS: String { BLAS.report }

  /// All of it, one fact per line, the version first.
  public static var text: String {
    "\(version)\ncommit: \(commit)\nkernels: \(kernels)\nOpenBLAS: \(openBLAS)"
  }
}
