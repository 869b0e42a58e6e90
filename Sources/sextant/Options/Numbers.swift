import ArgumentParser

/// Words and ranges of options that take numbers.
enum Numbers {
  /// Counts that no run can reach are refused, so that sums of them cannot overflow.
  static let largestCount = 1 << 40

  /// The arguments of the process, with each negative number joined to the option before it.
  ///
  /// The parser takes `-1` for an option of that name, and would call the value of the option before it
  /// missing. No option has a number for its name, so that the number can only be a value.
  static func joined(_ arguments: [String]) -> [String] {
    var joined: [String] = []
    var isOver = false
    for argument in arguments {
      if let option = joined.last, !isOver, isOption(option), isNegative(argument) {
        joined[joined.count - 1] = "\(option)=\(argument)"
      } else {
        joined.append(argument)
      }
      // Words after two dashes are not options.
      if argument == "--" { isOver = true }
    }
    return joined
  }

  private static func isOption(_ argument: String) -> Bool {
    argument.hasPrefix("-") && argument.contains { $0.isLetter } && !argument.contains("=")
      && !isNegative(argument)
  }

  private static func isNegative(_ argument: String) -> Bool {
    guard argument.hasPrefix("-"), argument.count > 1 else { return false }
    return argument == "-inf" || argument == "-nan" || Double(argument) != nil
  }

  /// A seed: a whole number of 64 bits.
  static func seed(_ text: String) throws -> UInt64 {
    guard let seed = UInt64(text) else {
      throw ValidationError(
        "It is \(text); it must be a whole number from 0 to \(UInt64.max).")
    }
    return seed
  }

  /// A seed that a manifest records as an integer of 64 bits with a sign.
  static func positiveSeed(_ text: String) throws -> Int {
    guard let seed = Int(text), seed >= 0 else {
      throw ValidationError("It is \(text); it must be a whole number from 0 to \(Int.max).")
    }
    return seed
  }

  /// Refuses counts out of range.
  ///
  /// - Parameters:
  ///   - least: the smallest value that is accepted.
  ///   - options: the names of options, and their values; nil for an option that was not given.
  static func check(atLeast least: Int, _ options: [(name: String, value: Int?)]) throws {
    for (name, value) in options {
      guard let value else { continue }
      guard value >= least else {
        throw ValidationError("\(name) is \(value); it must be \(least) or more.")
      }
      guard value <= largestCount else {
        throw ValidationError("\(name) is \(value); it must be \(largestCount) or less.")
      }
    }
  }
}
