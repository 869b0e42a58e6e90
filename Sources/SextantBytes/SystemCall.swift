import Glibc

/// The reason of the last failed system call, in words.
func systemReason(_ number: Int32 = errno) -> String {
  unsafe String(cString: strerror(number))
}

extension Refusal.Code {
  /// The code of a failed system call: `otherwise`, unless the process or the system has no file
  /// descriptor or no memory left.
  package static func ofSystemCall(_ number: Int32, otherwise: Self) -> Self {
    switch number {
    case EMFILE, ENFILE: .systemDescriptors
    case ENOMEM: .systemMemory
    default: otherwise
    }
  }
}

/// The content of a small file that may be one of /proc, which has no size; nil if it cannot be
/// read.
func smallFile(_ path: String) -> String? {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 1 << 14)
  let count = unsafe read(descriptor, &bytes, bytes.count)
  return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
}

/// The refusal that fits a failed attempt to open `path` for reading.
func openFailure(_ path: String) -> Refusal {
  let number = errno
  let code: Refusal.Code =
    switch number {
    case ENOENT, ENOTDIR: .fileMissing
    case EACCES, EPERM: .filePermission
    case ENXIO, ENODEV: .fileNotRegular  // a socket, or a device without a driver
    default: .ofSystemCall(number, otherwise: .fileRead)
    }
  return Refusal(
    code, file: path, found: systemReason(number), expected: "a file that can be read")
}

/// The refusal that fits a failed write to `path`.
func writeFailure(_ path: String, _ number: Int32 = errno) -> Refusal {
  // EFBIG: a limit of the process (ulimit -f) or of the file system.
  Refusal(
    [ENOSPC, EDQUOT, EFBIG].contains(number) ? .diskFull : .fileWrite, file: path,
    found: systemReason(number), expected: "every byte written")
}
