import SextantBytes

/// One figure, measured in several rounds.
struct Samples: Sendable {
  private(set) var values: [Double] = []

  init(_ values: [Double] = []) { self.values = values }

  mutating func add(_ value: Double) { values.append(value) }

  var isEmpty: Bool { values.isEmpty }
  var smallest: Double { values.min() ?? 0 }
  var largest: Double { values.max() ?? 0 }

  /// The middle value, or the mean of the two in the middle.
  var median: Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// The values divided by those of the same round of `other`.
  func ratios(to other: Samples) -> Samples {
    Samples(zip(values, other.values).map { $0 / $1 })
  }

  func map(_ transform: (Double) -> Double) -> Samples { Samples(values.map(transform)) }

  /// `median (smallest–largest)`.
  var text: String {
    "\(shortText(median)) (\(shortText(smallest))–\(shortText(largest)))"
  }

  var json: JSONValue {
    [
      "median": .number(median), "min": .number(smallest), "max": .number(largest),
      "values": .array(values.map { .number($0) }),
    ]
  }
}

/// A number with three significant digits at least, and no exponent.
func shortText(_ value: Double) -> String {
  let size = abs(value)
  if size >= 100 { return String(Int(value.rounded())) }
  let scale: Double = size >= 10 ? 10 : size >= 1 ? 100 : 1000
  return "\((value * scale).rounded() / scale)"
}
