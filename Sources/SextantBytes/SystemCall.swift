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

/// Whether a folder has an entry at `path`, also one that cannot be read, such as a link that leads to no file.
package func hasEntry(_ path: String) -> Bool {
  var status = stat()
  return unsafe lstat(path, &status) == 0 || ![ENOENT, ENOTDIR].contains(errno)
}

/// A link that leads to no file, in words; nil for any other path.
func brokenLink(_ path: String) -> String? {
  var status = stat()
  guard unsafe stat(path, &status) != 0, errno == ENOENT else { return nil }
  var (place, target): (String, String?) = (path, nil)
  // A link may lead to a link; the system follows 40 of them.
  for _ in 0..<40 {
    guard let next = linkTarget(of: place) else { break }
    target = next
    let slash = place.utf8.lastIndex(of: UInt8(ascii: "/"))
    place = next.hasPrefix("/") ? next : (slash.map { String(place[...$0]) } ?? "") + next
  }
  return target.map { "a link to \($0), which does not exist" }
}

/// What a link contains; nil for a path that is not a link.
private func linkTarget(of path: String) -> String? {
  var target = [CChar](repeating: 0, count: Int(PATH_MAX))
  let length = unsafe readlink(path, &target, target.count)
  guard length >= 0 else { return nil }
  return String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The refusal that fits a failed attempt to open `path` for reading.
func openFailure(_ path: String) -> Refusal {
  let number = errno
  if number == ENOENT, let link = brokenLink(path) {
    return Refusal(
      .fileMissing, file: path, found: link, expected: "a file that can be read",
      remedy: "Fetch the file that the link leads to, or remove the link.")
  }
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
package func writeFailure(_ path: String, _ number: Int32 = errno) -> Refusal {
  Refusal(
    [ENOSPC, EDQUOT].contains(number) ? .diskFull : .fileWrite, file: path,
    found: systemReason(number), expected: "every byte written",
    remedy: number == EFBIG
      ? "Raise the limit on the size of files (ulimit -f), or choose a file system that has larger files."
      : nil)
}
