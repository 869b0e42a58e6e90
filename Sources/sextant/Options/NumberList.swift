import ArgumentParser
import SextantReport

/// Numbers joined by commas.
struct NumberList: ExpressibleByArgument {
  /// The numbers, in the order given.
  let values: [Float]

  init(_ values: [Float]) {
    self.values = values
  }

  init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = words.compactMap { Float($0) }
    guard values.count == words.count, values.allSatisfy(\.isFinite) else { return nil }
  }

  var defaultValueDescription: String {
    values.map { Format.plain($0) }.joined(separator: ",")
  }
}
