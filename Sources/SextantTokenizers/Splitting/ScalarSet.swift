/// A set of scalars, as a pattern describes it.
indirect enum ScalarSet: Sendable, Equatable {
  /// The scalars of a range.
  case range(ClosedRange<UInt32>)
  /// The scalars of some categories, as a set of bits.
  case categories(UInt32)
  /// The scalars with a property.
  case flagged(ScalarClass.Flags)
  /// The scalars of any of these sets.
  case union([ScalarSet])
  /// The scalars of all of these sets.
  case intersection([ScalarSet])
  /// All other scalars.
  case complement(ScalarSet)

  /// No scalar.
  static let none = union([])
  /// `\s`.
  static let space = categories(ScalarClass.spaces)
  /// `\d`.
  static let digit = categories(ScalarClass.bits(of: [.decimalNumber]))
  /// `\w` of Oniguruma in brackets, which leaves out the two join controls.
  static let word = intersection([.flagged(.word), .complement(.range(0x200C...0x200D))])
  /// `\w` of Oniguruma outside brackets, where ² ³ ¹ ¼ ½ ¾ are word characters, too.
  static let wordAlone = union([
    word, .range(0xB2...0xB3), .range(0xB9...0xB9), .range(0xBC...0xBE),
  ])

  /// One scalar.
  static func scalar(_ scalar: Unicode.Scalar) -> ScalarSet { .range(scalar.value...scalar.value) }

  /// Whether a scalar value of a class is in the set.
  func contains(_ value: UInt32, _ scalarClass: ScalarClass) -> Bool {
    switch self {
    case .range(let range): range.contains(value)
    case .categories(let bits): bits & 1 << UInt32(scalarClass.category.rawValue) != 0
    case .flagged(let flags): scalarClass.has(flags)
    case .union(let sets): sets.contains { $0.contains(value, scalarClass) }
    case .intersection(let sets): sets.allSatisfy { $0.contains(value, scalarClass) }
    case .complement(let set): !set.contains(value, scalarClass)
    }
  }

  /// The values at which ranges start, and those behind their ends.
  var boundaries: [UInt32] {
    switch self {
    case .range(let range): [range.lowerBound, range.upperBound + 1]
    case .categories, .flagged: []
    case .union(let sets), .intersection(let sets): sets.flatMap(\.boundaries)
    case .complement(let set): set.boundaries
    }
  }
}

/// The scalars in classes, each of which has the same members for every set of a pattern.
struct ScalarPartition: Sendable {
  /// The sets that contain each class, as bits by their places.
  private(set) var members: [UInt64] = []
  private var ascii: [UInt8] = []
  /// Where intervals of values begin, from 0x80 on: inside one, only properties matter.
  private(set) var starts: [UInt32] = []
  /// The class of each interval and each index of a scalar's properties.
  private var classes: [UInt8] = []

  static let setLimit = UInt64.bitWidth
  static let boundaryLimit = 256

  /// A partition by at most `setLimit` sets with at most `boundaryLimit` boundaries.
  ///
  /// - Returns: nil for more sets, boundaries or classes.
  init?(by sets: [ScalarSet]) {
    let boundaries = Set(sets.flatMap(\.boundaries) + [0x80]).filter { $0 >= 0x80 }
    guard sets.count <= Self.setLimit, boundaries.count <= Self.boundaryLimit else { return nil }
    starts = boundaries.sorted()
    var places: [UInt64: UInt8] = [:]
    func place(_ value: UInt32, _ scalarClass: ScalarClass) -> UInt8? {
      var key: UInt64 = 0
      for (index, set) in sets.enumerated() where set.contains(value, scalarClass) {
        key |= 1 << UInt64(index)
      }
      if let known = places[key] { return known }
      guard members.count < 255 else { return nil }
      places[key] = UInt8(members.count)
      members.append(key)
      return places[key]
    }
    for value in UInt32(0)..<0x80 {
      guard let place = place(value, .of(value)) else { return nil }
      ascii.append(place)
    }
    for start in starts {
      for index in 0..<ScalarClass.indexCount {
        guard let place = place(start, ScalarClass(index: index)) else { return nil }
        classes.append(place)
      }
    }
  }

  /// The class of a scalar value.
  @inline(__always)
  func place(of value: UInt32) -> Int {
    if value < 0x80 { return Int(ascii[Int(value)]) }
    return place(of: value, index: ScalarClass.of(value).index)
  }

  /// The class of a value from 0x80 on whose properties have an index.
  @inline(__always)
  func place(of value: UInt32, index: Int) -> Int {
    var low = 0
    var high = starts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= value { low = middle } else { high = middle }
    }
    return Int(classes[low * ScalarClass.indexCount + index])
  }

  /// The classes of this and of another partition that have scalars in common.
  func commonPlaces(with other: ScalarPartition) -> Set<[Int]> {
    var pairs = Set((UInt32(0)..<0x80).map { [place(of: $0), other.place(of: $0)] })
    for start in Set(starts + other.starts) {
      for index in 0..<ScalarClass.indexCount {
        pairs.insert([place(of: start, index: index), other.place(of: start, index: index)])
      }
    }
    return pairs
  }
}
