import Glibc

/// The memory that this process has used.
package enum PeakMemory {
  /// The largest resident size so far, in bytes; it counts the pages of mapped files that were read.
  ///
  /// From `/proc`, because `getrusage` includes the memory of the process before the executable was
  /// loaded.
  package static var byteCount: Int? {
    let descriptor = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 14)
    let count = read(descriptor, &bytes, bytes.count)
    let lines = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n")
    let fields = lines.first { $0.hasPrefix("VmHWM:") }?.split { $0 == " " || $0 == "\t" }
    guard let fields, fields.count == 3, fields[2] == "kB", let kibibytes = Int(fields[1]) else {
      return nil
    }
    return kibibytes * 1024
  }
}
