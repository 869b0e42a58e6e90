import Glibc
import SextantBytes
import SextantTensor

/// The machine, on which the figures depend.
struct Machine {
  /// The processor's name, and the number of processors that this process may use.
  static var processor: String {
    let name = field("model name", of: "/proc/cpuinfo") ?? "unknown processor"
    let level = "\(Kernels.level) kernels"
    return "\(name), \(ProcessorCount.available) processors, \(level)"
  }

  /// Today, in UTC.
  static var date: String {
    var (seconds, parts) = (time(nil), tm())
    gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
  }

  /// The mean number of processes that were ready to run in the last minute.
  static var load: String {
    var load = [0.0]
    return getloadavg(&load, 1) == 1 ? shortText(load[0]) : "unknown"
  }

  /// Writes all values of a run to a file, if one is named.
  static func publish(
    _ results: [(String, JSONValue)], under key: String, to path: String?, rounds: Int
  ) throws {
    guard let path else { return }
    let document: JSONValue = .object(
      JSONObject([
        ("date", .string(date)), ("processor", .string(processor)),
        ("rounds", .integer(Int64(rounds))), ("load", .string(load)),
        (key, .object(JSONObject(results))),
      ]))
    try FilePublisher.publish(Array((document.prettyText + "\n").utf8), to: path, replacing: true)
  }

  /// The most memory that this process has had resident, in bytes, mapped pages of files included.
  static var peakMemory: Int { kilobytes("VmHWM") * 1024 }

  /// The current resident memory that belongs to no file, in bytes.
  static var anonymousMemory: Int { kilobytes("RssAnon") * 1024 }

  private static func kilobytes(_ name: String) -> Int {
    let text = field(name, of: "/proc/self/status") ?? ""
    return text.split(separator: " ").first.flatMap { Int($0) } ?? 0
  }

  /// The value of the first line `name : value`.
  private static func field(_ name: String, of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while getline(&line, &capacity, file) >= 0 {
      guard let line else { break }
      let parts = String(cString: line).split(separator: ":", maxSplits: 1)
      if parts.count == 2, trimmed(parts[0]) == name { return trimmed(parts[1]) }
    }
    return nil
  }

  private static func trimmed(_ text: Substring) -> String {
    let rest = text.drop { $0.isWhitespace }
    let end = rest.lastIndex { !$0.isWhitespace }
    return end.map { String(rest[...$0]) } ?? ""
  }
}
