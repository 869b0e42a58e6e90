import Glibc

/// The folder of the running executable, where the executables that it starts are.
package enum ExecutableFolder {
  /// The path; nil if the system does not tell it.
  package static var path: String? {
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
      count = unsafe buffer.withMemoryRebound(to: CChar.self) { buffer in
        guard let base = buffer.baseAddress else { return 0 }
        return unsafe max(0, readlink("/proc/self/exe", base, buffer.count))
      }
    }
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")), slash > 0 else { return nil }
    return String(validating: bytes[..<slash], as: UTF8.self)
  }
}
