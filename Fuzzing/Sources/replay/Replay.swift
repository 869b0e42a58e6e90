import FuzzedReaders
import Glibc
import SextantBytes

/// Reads files one after the other with one reader, and prints the result for each.
///
///     replay READER FILE…
///
/// For inputs that a fuzzer found, and for public collections of files that crash readers.
@main
struct Replay {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    guard let name = arguments.first, let reader = FuzzedReader(rawValue: name) else {
      print("usage: replay READER FILE…   READER: \(FuzzedReader.allCases.map(\.rawValue))")
      exit(64)
    }
    var outcomes: [String: Int] = [:]
    for path in arguments.dropFirst() {
      let start = ContinuousClock.now
      var outcome = "read"
      do throws(Refusal) { try reader.read(path) } catch { outcome = error.code.rawValue }
      let milliseconds = start.duration(to: .now) / .milliseconds(1)
      print("\(outcome)\t\(Int(milliseconds)) ms\t\(path)")
      outcomes[outcome, default: 0] += 1
    }
    for (outcome, count) in outcomes.sorted(by: { $0.key < $1.key }) { print(count, outcome) }
  }
}
