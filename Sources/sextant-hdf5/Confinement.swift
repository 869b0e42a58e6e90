import CHDF5
import CHDF5Confinement
import Glibc
import SextantBytes

/// The rights that this process gives up before it reads the file.
///
/// The parent already gave it a clean environment and only three descriptors. The limits here stay
/// in force even if a damaged file makes libhdf5 run code of the file's own.
enum Confinement {
  /// The descriptor of the open file from the parent.
  static let fileDescriptor = SEXTANT_FILE_DESCRIPTOR

  /// The HDF5 part of the file behind the descriptor: all of it, or a member of an archive.
  struct Window {
    /// The start of the part.
    var start: Int
    /// Its length in bytes.
    var byteCount: Int
  }

  private static let mebibyte = 1 << 20
  private static let largestPiece = 1 << 30
  private static let addressSpaceForListing = 1024 * mebibyte

  /// Closes inherited descriptors, sets resource limits, turns the library's plugins off and gives up all
  /// further access.
  ///
  /// - Parameter isRequired: refuse if the kernel cannot filter system calls.
  /// - Throws: `h5.reader.unconfined`.
  static func begin(fileByteCount: Int, isRequired: Bool) throws(Refusal) {
    // A backstop: the parent waits for less. A MiB of the file may be a GiB of zeros, which take
    // 10 s to unpack, and may be read twice.
    try begin(
      seconds: 60 + 20 * (fileByteCount / mebibyte), writes: false, isRequired: isRequired)
  }

  /// The same for a process that writes a file of its own: the descriptor may be written.
  ///
  /// The library reads no file of a stranger then, so that the filter is not required.
  static func beginWriting() throws(Refusal) {
    try begin(seconds: 60, writes: true, isRequired: false)
  }

  private static func begin(
    seconds: Int, writes: Bool, isRequired: Bool
  ) throws(Refusal) {
    sextant_close_others()
    clearenv()
    // Crash handlers, such as the Swift runtime's, would wait for helpers that cannot be started.
    for number in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] {
      signal(number, SIG_DFL)
    }
    _ = unsafe chdir("/")
    limit(RLIMIT_CORE, soft: 0, hard: 0)
    if !writes { limit(RLIMIT_FSIZE, soft: 0, hard: 0) }
    limit(RLIMIT_NOFILE, soft: 16, hard: 16)
    limit(RLIMIT_CPU, soft: seconds, hard: seconds + 5)
    limit(
      RLIMIT_AS, soft: addressSpaceForListing, hard: addressSpaceForListing + 4 * largestPiece)

    _ = unsafe setenv("HDF5_PLUGIN_PRELOAD", "::", 1)
    H5open()
    H5PLset_loading_state(0)
    H5Eset_auto2(0, nil, nil)

    // Without a filter the other measures still apply, for a file that the user trusts.
    let number = sextant_confine(writes ? 1 : 0)
    guard number == 0 || !isRequired else {
      throw Refusal(
        .hdf5ReaderUnconfined,
        found: "no filter of system calls (\(unsafe String(cString: strerror(number))))",
        expected: "seccomp filters")
    }
  }

  /// Raises the memory limit to the memory for reading pieces of this size: the piece, a chunk, and
  /// the memory of its filters.
  static func allowMemory(forPiecesOf byteCount: Int) {
    limit(
      RLIMIT_AS, soft: addressSpaceForListing + 4 * min(byteCount, largestPiece),
      hard: addressSpaceForListing + 4 * largestPiece)
  }

  private static func limit(_ resource: __rlimit_resource, soft: Int, hard: Int) {
    var limits = rlimit(rlim_cur: rlim_t(soft), rlim_max: rlim_t(hard))
    _ = unsafe setrlimit(__rlimit_resource_t(resource.rawValue), &limits)
  }
}
