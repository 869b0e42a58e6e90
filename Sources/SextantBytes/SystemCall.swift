import Glibc

/// The reason of the last failed system call, in words.
func systemReason(_ number: Int32 = errno) -> String {
  unsafe String(cString: strerror(number))
}

/// The refusal that fits a failed attempt to open `path` for reading.
func openFailure(_ path: String) -> FormatError {
  let number = errno
  let code: FormatError.Code =
    switch number {
    case ENOENT, ENOTDIR: .fileMissing
    case EACCES, EPERM: .filePermission
    case ENXIO, ENODEV: .fileNotRegular  // a socket, or a device without a driver
    default: .fileRead
    }
  return FormatError(
    code, file: path, found: systemReason(number), expected: "a file that can be read")
}

/// The refusal that fits a failed write to `path`.
func writeFailure(_ path: String, _ number: Int32 = errno) -> FormatError {
  // EFBIG: a limit of the process (ulimit -f) or of the file system.
  FormatError(
    [ENOSPC, EDQUOT, EFBIG].contains(number) ? .diskFull : .fileWrite, file: path,
    found: systemReason(number), expected: "every byte written")
}
