import SextantBytes
import SextantTensor

/// A pickle, read symbolically: the machine of protocol 2 without the power to call anything.
///
/// It knows the opcodes that `torch.save` writes and no others, and the globals of `PickleGlobal`.
/// "Calling" one of those is a table of what arguments it must have. So a hostile pickle can only be
/// refused, or describe tensors that are then held against the archive.
struct PickleMachine {
  /// What was built.
  private(set) var heap = PickleHeap()

  private let pickle: ByteReader
  private var position = 0
  private var stack: [PickleValue] = []
  /// Stack heights at the open marks.
  private var marks: [Int] = []
  private var memo: [PickleValue?] = []

  /// The longest pickle, in bytes.
  static let byteLimit = 64 << 20
  /// The most entries of the memo; a tensor takes seven.
  static let memoLimit = 1_000_000
  /// The most opcodes, and so the most values: each makes one at most.
  static let stepLimit = 10_000_000
  /// The most dimensions of a tensor.
  static let rankLimit = 8

  /// A machine that will read `pickle`.
  init(_ pickle: ByteReader) {
    self.pickle = pickle
  }

  // MARK: Running

  /// Reads the pickle to its end.
  ///
  /// - Returns: the one value that it leaves.
  /// - Throws: `pth.pickle.*`, `pth.tensor.kind`, `pth.storage.missing`.
  mutating func run() throws(FormatError) -> PickleValue {
    guard try Array(take(2)) == [0x80, 2] else {
      throw refusal(.pytorchPickleOpcode, "no header", "protocol 2")
    }
    for _ in 0..<Self.stepLimit {
      let start = position
      let code = try take(1).first ?? 0
      guard let opcode = PickleOpcode(rawValue: code) else {
        throw FormatError(
          .pytorchPickleOpcode, file: pickle.file, at: .offset(pickle.baseOffset + start),
          found: "opcode 0x\(String(code, radix: 16))", expected: "one that torch.save writes")
      }
      guard opcode != .stop else { return try finish() }
      try perform(opcode)
    }
    throw refusal(.pytorchPickleLength, "more opcodes", "at most \(Self.stepLimit)")
  }

  private mutating func finish() throws(FormatError) -> PickleValue {
    let result = try pop()
    guard stack.isEmpty, marks.isEmpty, position == pickle.bytes.count else {
      throw refusal(.pytorchPickleStack, "values or bytes left over", "the end")
    }
    guard !heap.hasCycle(from: result) else {
      throw refusal(.pytorchPickleRecursive, "a container in itself", "a tree of values")
    }
    return result
  }

  private mutating func perform(_ opcode: PickleOpcode) throws(FormatError) {
    switch opcode {
    case .stop: break
    case .mark: marks.append(stack.count)
    case .none: stack.append(.none)
    case .newTrue: stack.append(.boolean(true))
    case .newFalse: stack.append(.boolean(false))
    case .integer: stack.append(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))
    case .integer1: stack.append(.integer(try number(1)))
    case .integer2: stack.append(.integer(try number(2)))
    case .long: try pushLong()
    case .float:
      _ = try take(8)
      stack.append(.number)
    case .unicode: try pushString(number(4))
    case .shortString: try pushString(number(1))
    case .emptyTuple: pushTuple([])
    case .tuple1: try pushTuple(pop(1))
    case .tuple2: try pushTuple(pop(2))
    case .tuple3: try pushTuple(pop(3))
    case .tuple: try pushTuple(popToMark())
    case .emptyList:
      stack.append(.list(heap.lists.count))
      heap.lists.append([])
    case .append: try appendToList(pop(1))
    case .appends: try appendToList(popToMark())
    case .emptyDictionary: pushDictionary()
    case .setItem: try setItems(pop(2))
    case .setItems: try setItems(popToMark())
    case .get: try recall(number(1))
    case .longGet: try recall(number(4))
    case .put: try memoize(number(1))
    case .longPut: try memoize(number(4))
    case .global: try pushGlobal()
    case .reduce: try reduce()
    case .build: try build()
    case .persistentID: try pushStorage()
    }
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(FormatError) -> ArraySlice<UInt8> {
    guard count <= pickle.bytes.count - position else {
      throw refusal(
        .pytorchPickleLength, "\(pickle.bytes.count - position) bytes left", "\(count) bytes")
    }
    defer { position += count }
    return try pickle.slice(at: position, count: count)
  }

  private mutating func number(_ byteCount: Int) throws(FormatError) -> Int {
    try take(byteCount).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  private mutating func pushLong() throws(FormatError) {
    let bytes = try take(number(1))
    guard bytes.count <= 8 else { return stack.append(.number) }
    // Two's complement: the highest byte carries the sign.
    let sign: Int = bytes.last.map { $0 >= 0x80 ? -1 : 0 } ?? 0
    stack.append(.integer(bytes.reversed().reduce(sign) { $0 << 8 | Int($1) }))
  }

  private mutating func pushString(_ count: Int) throws(FormatError) {
    let start = position
    _ = try take(count)
    stack.append(.string(start..<start + count))
  }

  /// The text of a string; nil where it is no UTF-8.
  func text(_ range: Range<Int>) -> String? {
    String(validating: pickle.bytes[range], as: UTF8.self)
  }

  private mutating func line() throws(FormatError) -> String {
    guard let end = pickle.bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else {
      throw refusal(.pytorchPickleLength, "no end of the line", "a module and a name")
    }
    defer { position = end + 1 }
    return String(decoding: pickle.bytes[position..<end], as: UTF8.self)
  }

  // MARK: Stack

  private mutating func pop() throws(FormatError) -> PickleValue { try pop(1)[0] }

  private mutating func pop(_ count: Int) throws(FormatError) -> [PickleValue] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw refusal(.pytorchPickleStack, "an empty stack", "\(count) values")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(FormatError) -> [PickleValue] {
    guard let mark = marks.popLast() else {
      throw refusal(.pytorchPickleStack, "no mark", "a mark")
    }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private mutating func pushTuple(_ values: [PickleValue]) {
    stack.append(.tuple(heap.tuples.count))
    heap.tuples.append(values)
  }

  private mutating func pushDictionary() {
    stack.append(.dictionary(heap.dictionaries.count))
    heap.dictionaries.append([])
  }

  /// The value on top of the stack, which stays there.
  private func top() throws(FormatError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let top = stack.last else {
      throw refusal(.pytorchPickleStack, "an empty stack", "a value")
    }
    return top
  }

  private mutating func appendToList(_ values: [PickleValue]) throws(FormatError) {
    guard case .list(let list) = try top() else {
      throw refusal(.pytorchPickleStack, "no list", "a list to append to")
    }
    heap.lists[list] += values
  }

  private mutating func setItems(_ values: [PickleValue]) throws(FormatError) {
    guard case .dictionary(let dictionary) = try top(), values.count.isMultiple(of: 2) else {
      throw refusal(.pytorchPickleStack, "no dict, or a key alone", "a dict, keys and values")
    }
    for place in stride(from: 0, to: values.count, by: 2) {
      heap.dictionaries[dictionary].append((values[place], values[place + 1]))
    }
  }

  // MARK: Memo

  private mutating func recall(_ index: Int) throws(FormatError) {
    guard index < memo.count, let value = memo[index] else {
      throw refusal(.pytorchPickleMemo, "no entry \(index)", "an entry that was put")
    }
    stack.append(value)
  }

  private mutating func memoize(_ index: Int) throws(FormatError) {
    guard index < Self.memoLimit else {
      throw refusal(.pytorchPickleMemo, "entry \(index)", "at most \(Self.memoLimit) entries")
    }
    if index >= memo.count {
      memo += repeatElement(nil, count: index + 1 - memo.count)
    }
    memo[index] = try top()
  }

  // MARK: Objects

  private mutating func pushGlobal() throws(FormatError) {
    let name = try "\(line()).\(line())"
    guard let global = PickleGlobal(name) else {
      throw refusal(
        PickleGlobal.isOtherTensorKind(name) ? .pytorchTensorKind : .pytorchPickleGlobal, name,
        "a dense tensor or a dict")
    }
    stack.append(.global(global))
  }

  /// What Python would call, as a table of the arguments that are allowed.
  private mutating func reduce() throws(FormatError) {
    let values = try pop(2)
    guard case .global(let function) = values[0], case .tuple(let place) = values[1] else {
      throw refusal(.pytorchPickleGlobal, "a call of no function", "a function of the list")
    }
    let arguments = heap.tuples[place]
    switch function {
    case .orderedDictionary where arguments.isEmpty:
      pushDictionary()
    case .rebuildTensor:
      guard let tensor = tensor(from: arguments) else {
        throw refusal(
          .pytorchTensorKind, "a tensor with other arguments",
          "storage, offset, at most \(Self.rankLimit) dimensions, their strides, a flag and hooks")
      }
      stack.append(.tensor(heap.tensors.count))
      heap.tensors.append(tensor)
    case .rebuildParameter:
      guard arguments.count == 3, case .tensor = arguments[0] else {
        throw refusal(.pytorchTensorKind, "a parameter of no tensor", "a tensor, a flag and hooks")
      }
      stack.append(arguments[0])
    case .orderedDictionary, .storage:
      throw refusal(.pytorchPickleGlobal, "a call that is not allowed", "OrderedDict()")
    }
  }

  /// The tensor of `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`.
  private func tensor(from arguments: [PickleValue]) -> PickledTensor? {
    guard arguments.count == 6, case .storage(let storage) = arguments[0],
      case .integer(let offset) = arguments[1], let shape = integers(arguments[2]),
      let strides = integers(arguments[3]), case .boolean = arguments[4],
      case .dictionary = arguments[5]
    else { return nil }
    return PickledTensor(storage: storage, offset: offset, shape: shape, strides: strides)
  }

  private func integers(_ value: PickleValue) -> [Int]? {
    guard case .tuple(let tuple) = value, heap.tuples[tuple].count <= Self.rankLimit else {
      return nil
    }
    var result: [Int] = []
    for element in heap.tuples[tuple] {
      guard case .integer(let integer) = element else { return nil }
      result.append(integer)
    }
    return result
  }

  /// Attributes of a dict (`_metadata` of a state dict) say nothing of tensors and are dropped.
  private mutating func build() throws(FormatError) {
    let state = try pop()
    guard case .dictionary = state, case .dictionary = try top() else {
      throw refusal(.pytorchPickleOpcode, "BUILD of no dict", "attributes of a dict")
    }
  }

  /// The storage of the persistent id ("storage", type, key, device, element count).
  private mutating func pushStorage() throws(FormatError) {
    guard case .tuple(let place) = try pop(), heap.tuples[place].count == 5,
      case .string(let tag) = heap.tuples[place][0], text(tag) == "storage",
      case .global(.storage(let dataType)) = heap.tuples[place][1],
      case .string(let key) = heap.tuples[place][2], case .string = heap.tuples[place][3],
      case .integer(let count) = heap.tuples[place][4]
    else {
      throw refusal(.pytorchStorageMissing, "another persistent id", "the id of a storage")
    }
    stack.append(.storage(heap.storages.count))
    heap.storages.append(PickledStorage(dataType: dataType, key: key, count: count))
  }

  private func refusal(
    _ code: FormatError.Code, _ found: String, _ expected: String
  ) -> FormatError {
    FormatError(
      code, file: pickle.file, at: .offset(pickle.baseOffset + position), found: found,
      expected: expected)
  }
}

/// The opcodes that PyTorch's protocol 2 pickles of dicts and tensors consist of.
enum PickleOpcode: UInt8 {
  case mark = 0x28  // (
  case emptyTuple = 0x29  // )
  case stop = 0x2E  // .
  case float = 0x47  // G
  case integer = 0x4A  // J
  case integer1 = 0x4B  // K
  case integer2 = 0x4D  // M
  case none = 0x4E  // N
  case persistentID = 0x51  // Q
  case reduce = 0x52  // R
  case shortString = 0x55  // U
  case unicode = 0x58  // X
  case emptyList = 0x5D  // ]
  case append = 0x61  // a
  case build = 0x62  // b
  case global = 0x63  // c
  case appends = 0x65  // e
  case get = 0x68  // h
  case longGet = 0x6A  // j
  case put = 0x71  // q
  case longPut = 0x72  // r
  case setItem = 0x73  // s
  case tuple = 0x74  // t
  case setItems = 0x75  // u
  case emptyDictionary = 0x7D  // }
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case newTrue = 0x88
  case newFalse = 0x89
  case long = 0x8A
}
