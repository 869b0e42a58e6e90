import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTensor

/// How one naming stores one canonical tensor, with everything that its elements depend on: read in
/// one direction and written in the other.
///
/// The stored tensors, one after the other, are a run of elements. The canonical tensor's elements
/// are in it in their order, in one piece, or in one piece of each group of a shared tensor; and
/// `ElementChanges` says how they differ.
struct StoredForm: Sendable {
  /// A tensor of the naming.
  struct Stored: Sendable {
    /// Its name.
    let name: String
    /// Its shape there.
    let shape: [Int]
  }

  /// The elements of each group of a stored tensor that are the canonical tensor's.
  struct Share: Sendable {
    /// The elements of a group.
    let groupLength: Int
    /// The place of the first one in a group.
    let start: Int
    /// How many there are in a group.
    let length: Int
  }

  /// The stored tensors, in the order of the canonical tensor's elements.
  let tensors: [Stored]
  /// The canonical tensors in a shared tensor, in the order of each group; empty if it is not
  /// shared.
  let sharers: [String]
  /// The part of the stored elements.
  let share: Share
  /// Whether a file may cut the rows into tensors at other places.
  let mayBeCutElsewhere: Bool
  /// How the elements differ.
  let changes: ElementChanges

  /// - Parameters:
  ///   - spec: the canonical tensor.
  ///   - shapes: the shape of each canonical tensor of the model, by name.
  ///   - metadata: the free text of the file.
  /// - Throws: `model.config` if the configuration lacks a number that the form depends on, or if
  ///   the number does not divide the tensor.
  init(
    _ spec: WeightSpec, _ source: Dialect.Source, shapes: [ExactString: [Int]],
    _ configuration: JSONObject, metadata: [String: String]
  ) throws(Refusal) {
    let numbers = ConfigurationNumbers(configuration)
    let count = spec.shape.reduce(1, *)
    changes = try ElementChanges(source, spec.shape, numbers, metadata: metadata)
    var sharers: [String] = []
    var share = Share(groupLength: count, start: 0, length: count)
    mayBeCutElsewhere = if case .sequence = source.place { true } else { false }
    switch source.place {
    case .tensor(let name):
      tensors = [Stored(name: name, shape: try Self.shape(spec.shape, source, numbers))]
    case .share(let name, let members, let groups):
      sharers = members.filter { shapes[ExactString($0)] != nil }
      let sizes = sharers.map { (shapes[ExactString($0)] ?? []).reduce(1, *) }
      let total = sizes.reduce(0, +)
      // A transposed tensor has the groups in each of its rows.
      let runs = source.isTransposed ? spec.shape.dropFirst().reduce(1, *) : 1
      let groupCount = try Self.groupCount(groups, spec, sizes, numbers) * runs
      guard let place = sharers.firstIndex(of: spec.name) else {
        preconditionFailure("\(spec.name) is not among the tensors of \(name)")
      }
      share = Share(
        groupLength: total / groupCount, start: sizes[..<place].reduce(0, +) / groupCount,
        length: count / groupCount)
      tensors = [
        Stored(
          name: name, shape: try Self.shape(ofShared: spec.shape, among: total, source, numbers))
      ]
    case .sequence(let parts):
      var stored: [Stored] = []
      var rowCount = 0
      for part in parts {
        let rows = try numbers.product(part.count, upTo: spec.shape[0])
        rowCount += rows
        let shape = try Self.shape([rows] + spec.shape.dropFirst(), source, numbers)
        stored.append(Stored(name: part.name, shape: shape))
      }
      guard rowCount == spec.shape[0] else {
        throw numbers.refusal(
          "\(counted(rowCount, "row")) of \(spec.name)", expected: "\(spec.shape[0])")
      }
      tensors = stored
    case .numbered:
      let shape = try Self.shape(Array(spec.shape.dropFirst()), source, numbers)
      tensors = source.names(spec.shape).map { Stored(name: $0, shape: shape) }
    }
    self.sharers = sharers
    self.share = share
  }

  /// The stored shape of a tensor that several canonical ones share.
  ///
  /// - Parameter total: the elements of all of them.
  private static func shape(
    ofShared shape: [Int], among total: Int, _ source: Dialect.Source,
    _ numbers: ConfigurationNumbers
  ) throws(Refusal) -> [Int] {
    let count = shape.reduce(1, *)
    if source.isTransposed {
      // The rows are joined before they become columns.
      return try Self.shape([shape[0] * total / count] + shape.dropFirst(), source, numbers)
    }
    var stored = try Self.shape(shape, source, numbers)
    let axis = if case .share(_, _, .firstAxis) = source.place { 1 } else { 0 }
    stored[axis] = stored[axis] * total / count
    return stored
  }

  /// The groups of a shared tensor.
  private static func groupCount(
    _ groups: Dialect.Source.Groups, _ spec: WeightSpec, _ sizes: [Int],
    _ numbers: ConfigurationNumbers
  ) throws(Refusal) -> Int {
    switch groups {
    case .one: return 1
    case .firstAxis: return spec.shape[0]
    case .number(let key):
      let count = try numbers.integer(key, upTo: spec.shape[0])
      guard sizes.allSatisfy({ $0 % count == 0 }), spec.shape[0] % count == 0 else {
        throw try numbers.refusal(of: key, expected: "a divisor of \(spec.shape[0]) rows")
      }
      return count
    }
  }

  /// The stored shape of a tensor of its own.
  private static func shape(
    _ shape: [Int], _ source: Dialect.Source, _ numbers: ConfigurationNumbers
  ) throws(Refusal) -> [Int] {
    var stored = try ElementChanges.matrices(of: shape, source, numbers)
    if source.isTransposed { stored = stored.dropLast(2) + stored.suffix(2).reversed() }
    switch source.form {
    case .plain, .heads: break
    case .ones(let places): for place in places { stored.insert(1, at: place) }
    case .flat: stored = [stored.reduce(1, *)]
    case .rows(let key):
      let count = stored.reduce(1, *)
      let rows = try numbers.integer(key, dividing: count)
      stored = [rows, count / rows]
    case .split(let axis, let key):
      let parts = try numbers.integer(key, dividing: stored[axis])
      stored.replaceSubrange(axis...axis, with: [parts, stored[axis] / parts])
    }
    return stored
  }

  /// Whether the elements of one stored tensor are those of the canonical one, in its order.
  var isPlain: Bool { tensors.count == 1 && isWhole && !changes.exist }

  /// Whether the stored elements contain nothing else.
  private var isWhole: Bool { share.length == share.groupLength }

  /// Whether blocks of a type stay whole: each block of the stored tensors is one of the canonical tensor,
  /// and its elements keep their order and their values.
  func keepsBlocks(_ type: DataType, of spec: WeightSpec) -> Bool {
    let length = type.blockLength
    let hasRows = spec.kind == .experts || (spec.kind == .matrix && spec.shape.count == 2)
    return hasRows && changes.keepBlocks(ofLength: length)
      && [share.start, share.length, share.groupLength].allSatisfy { $0.isMultiple(of: length) }
      && type.byteCount(shape: spec.shape) != nil
      && tensors.allSatisfy { type.byteCount(shape: $0.shape) != nil }
  }

  /// The place of the canonical elements in the stored ones, if they are one piece and do not
  /// change.
  var slice: Range<Int>? {
    guard tensors.count == 1, !changes.exist else { return nil }
    let stored = tensors[0].shape.reduce(1, *)
    guard isWhole || share.groupLength == stored else { return nil }
    return isWhole ? 0..<stored : share.start..<share.start + share.length
  }
}

extension StoredForm {
  /// Compares the form with a checkpoint's tensors.
  ///
  /// - Parameter found: the tensors that have the names of `tensors`, in their order.
  /// - Throws: `model.shape`, `model.dtype`.
  func check(_ found: [CheckpointTensor]) throws(Refusal) {
    for (tensor, expected) in zip(found, tensors) {
      guard Self.areAlike(tensor.shape, expected.shape, exceptRows: mayBeCutElsewhere) else {
        throw Refusal(
          .modelShape, at: .tensor(tensor.name), found: "\(tensor.shape)",
          expected: "\(expected.shape)")
      }
      try check(tensor.dataType, of: tensor.name, first: found[0])
    }
    guard mayBeCutElsewhere else { return }
    let rows = (found.map { $0.shape[0] }.reduce(0, +), tensors.map { $0.shape[0] }.reduce(0, +))
    guard rows.0 == rows.1 else {
      throw Refusal(
        .modelShape, at: .tensor(found[0].name),
        found: "\(counted(rows.0, "row")) in \(counted(found.count, "tensor"))",
        expected: "\(rows.1)")
    }
  }

  /// [E, 1, K] and [E, K], [1, 1, C] and [C] are the same numbers.
  private static func areAlike(_ found: [Int], _ expected: [Int], exceptRows: Bool) -> Bool {
    guard exceptRows else { return found.filter { $0 != 1 } == expected.filter { $0 != 1 } }
    return !found.isEmpty
      && areAlike(
        Array(found.dropFirst()), Array(expected.dropFirst()), exceptRows: false)
  }

  private func check(
    _ type: DataType, of name: String, first: CheckpointTensor
  ) throws(Refusal) {
    guard !changes.need32Bits || type == .f32 else {
      throw Refusal(
        .modelDataType, at: .tensor(name), found: type.rawValue, expected: "F32")
    }
    guard [.f32, .bf16, .f16].contains(type) else {
      throw Refusal(
        .modelDataType, at: .tensor(name), found: type.rawValue, expected: "F32, BF16 or F16",
        remedy: type == .u16
          ? "If these are the bits of bfloat16 numbers, pass `readsUInt16AsBFloat16`." : nil)
    }
    guard type == first.dataType else {
      throw Refusal(
        .modelDataType, at: .tensor(name), found: type.rawValue,
        expected: "\(first.dataType.rawValue), as in \(first.name)")
    }
  }
}

/// The numbers of a canonical configuration, by their keys.
struct ConfigurationNumbers {
  private let node: JSONNode

  init(_ configuration: JSONObject) {
    node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
  }

  /// The integer of that key, of at least 1.
  ///
  /// - Throws: `model.config`.
  func integer(_ key: String, upTo limit: Int) throws(Refusal) -> Int {
    try node.member(key).integer(in: 1...max(1, limit))
  }

  /// The integer of that key, which divides `number`.
  ///
  /// - Throws: `model.config`.
  func integer(_ key: String, dividing number: Int) throws(Refusal) -> Int {
    let value = try integer(key, upTo: number)
    guard number % value == 0 else {
      throw try refusal(of: key, expected: "a divisor of \(number)")
    }
    return value
  }

  /// The product of the integers of these keys.
  ///
  /// - Throws: `model.config`.
  func product(_ keys: [String], upTo limit: Int) throws(Refusal) -> Int {
    var product = 1
    for key in keys { product *= try integer(key, upTo: max(1, limit / product)) }
    return product
  }

  /// The number of a key, or of a key and the place in its array, such as `multipliers/2`.
  ///
  /// - Throws: `model.config`.
  func number(_ path: String) throws(Refusal) -> Double {
    let parts = path.split(separator: "/")
    let member = try node.member(String(parts[0]))
    guard parts.count > 1, let place = Int(parts[1]) else { return try member.number() }
    let elements = try member.elements()
    guard elements.indices.contains(place) else {
      throw member.refusal(expected: "at least \(counted(place + 1, "number"))")
    }
    return try elements[place].number()
  }

  /// The refusal of a key's number.
  func refusal(of key: String, expected: String) throws(Refusal) -> Refusal {
    try node.member(key).refusal(expected: expected)
  }

  /// The refusal of numbers that do not fit together.
  func refusal(_ found: String, expected: String) -> Refusal {
    node.refusal(found: found, expected: expected)
  }
}
