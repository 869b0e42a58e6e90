import CSextantKernels
import Glibc

/// The number of processors that this process may use.
package enum ProcessorCount {
  /// The smaller of the affinity mask's number and the container's quota.
  ///
  /// Threads beyond the quota gain nothing, and use up the quota while they spin.
  package static var available: Int {
    let allowed = max(Int(sxk_processor_count()), 1)
    return min(allowed, quota ?? allowed)
  }

  /// The quota of the control group, in whole processors rounded up; nil when there is none.
  private static var quota: Int? {
    if let text = contents(of: "/sys/fs/cgroup/cpu.max") { return quota(cpuMax: text) }
    guard let quota = contents(of: "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
      let period = contents(of: "/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    else { return nil }
    return Self.quota(cpuMax: "\(quota) \(period)")
  }

  /// Reads `QUOTA PERIOD`, in microseconds; a quota of `max` or -1 is none.
  static func quota(cpuMax text: String) -> Int? {
    let fields = text.split(whereSeparator: \.isWhitespace).map { Int($0) }
    guard fields.count == 2, let quota = fields[0], let period = fields[1], quota > 0, period > 0
    else { return nil }
    return (quota - 1) / period + 1
  }

  /// The start of a small text file, or nil.
  private static func contents(of path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = read(file, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
