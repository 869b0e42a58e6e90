import SextantBytes
import SextantTensor

/// A pickle, read symbolically: the machine of protocols 2 to 5 without the power to call anything.
///
/// It accepts only the opcodes that `torch.save` writes, and the globals of `PickleGlobal`.
/// "Calling" one of those is a lookup in a table of allowed arguments. So a hostile pickle can only
/// be refused, or describe tensors that are then compared with the file.
struct PickleMachine {
  /// The values that the pickle built.
  private(set) var heap = PickleHeap()

  /// The position of the next opcode; after `run`, the first byte that follows the pickle.
  private(set) var position: Int
  private let pickle: ByteReader
  private var stack: [PickleValue] = []
  /// Stack heights at the open marks.
  private var marks: [Int] = []
  private var memo: [PickleValue?] = []
  /// Entries of the memo that are set.
  private var memoCount = 0

  /// The protocols that are read.
  static let protocols: ClosedRange<UInt8> = 2...5
  /// The longest pickle, in bytes.
  static let byteLimit = 64 << 20
  /// The most entries of the memo; a tensor takes seven.
  static let memoLimit = 1_000_000
  /// The most opcodes, and so the most values: each makes one at most.
  static let stepLimit = 10_000_000
  /// The most dimensions of a tensor.
  static let rankLimit = 8

  /// A machine that will read the pickle that starts at `position` of `pickle`.
  init(_ pickle: ByteReader, at position: Int = 0) {
    self.pickle = pickle
    self.position = position
  }

  // MARK: Running

  /// Reads the pickle to its STOP.
  ///
  /// - Returns: the one value that it leaves.
  /// - Throws: `pth.pickle.*`, `pth.tensor.kind`, `pth.storage.missing`.
  mutating func run() throws(Refusal) -> PickleValue {
    let header = try Array(take(2))
    guard header[0] == 0x80, Self.protocols.contains(header[1]) else {
      throw Self.refusal(
        ofProtocol: header[0] == 0x80 ? header[1] : nil, pickle, at: position)
    }
    for _ in 0..<Self.stepLimit {
      let start = position
      let code = try take(1).first ?? 0
      guard let opcode = PickleOpcode(rawValue: code) else {
        throw Refusal(
          .pytorchPickleOpcode, file: pickle.file, at: .offset(pickle.baseOffset + start),
          found: "opcode 0x\(String(code, radix: 16))", expected: "one that torch.save writes")
      }
      guard opcode != .stop else { return try finish() }
      try perform(opcode)
    }
    throw refusal(.pytorchPickleLength, "more opcodes", "at most \(Self.stepLimit)")
  }

  /// The refusal of a pickle by its protocol; nil for the protocols without a header.
  static func refusal(ofProtocol number: UInt8?, _ pickle: ByteReader, at position: Int) -> Refusal
  {
    Refusal(
      .pytorchPickleOpcode, file: pickle.file, at: .offset(pickle.baseOffset + position),
      found: number.map { "protocol \($0)" } ?? "no header, as in protocols 0 and 1",
      expected: "protocol \(protocols.lowerBound) to \(protocols.upperBound)")
  }

  /// Refuses bytes after the pickle.
  ///
  /// - Throws: `pth.pickle.stack`.
  func expectEnd() throws(Refusal) {
    guard position == pickle.bytes.count else {
      throw refusal(.pytorchPickleStack, "bytes left over", "the end")
    }
  }

  private mutating func finish() throws(Refusal) -> PickleValue {
    let result = try pop()
    guard stack.isEmpty, marks.isEmpty else {
      throw refusal(.pytorchPickleStack, "values left over", "one value")
    }
    guard heap.innermostFirst(from: result) != nil else {
      throw refusal(.pytorchPickleRecursive, "a container in itself", "a tree of values")
    }
    return result
  }

  private mutating func perform(_ opcode: PickleOpcode) throws(Refusal) {
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
      stack.append(.opaque)
    case .unicode, .string: try pushString(number(4))
    case .shortUnicode, .shortString: try pushString(number(1))
    case .longUnicode: try pushString(longCount())
    case .bytes: try pushBytes(number(4))
    case .shortBytes: try pushBytes(number(1))
    case .longBytes, .byteArray: try pushBytes(longCount())
    case .emptySet: stack.append(.opaque)
    case .addItems: try addToSet(popToMark())
    case .frozenSet:
      _ = try popToMark()
      stack.append(.opaque)
    // A frame is a hint for reading ahead; its end has no meaning.
    case .frame: _ = try longCount()
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
    case .memoize: try memoize(memoCount)
    case .global: try pushGlobal("\(line()).\(line())")
    case .stackGlobal: try pushStackGlobal()
    case .reduce: try reduce()
    case .newObject: try makeObject()
    case .build: try build()
    case .persistentID: try pushStorage()
    }
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(Refusal) -> ArraySlice<UInt8> {
    guard count <= pickle.bytes.count - position else {
      throw refusal(
        .pytorchPickleLength, "\(counted(pickle.bytes.count - position, "byte")) left",
        counted(count, "byte"))
    }
    defer { position += count }
    return try pickle.slice(at: position, count: count)
  }

  private mutating func number(_ byteCount: Int) throws(Refusal) -> Int {
    try take(byteCount).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// A count of 8 bytes, which must be within the pickle.
  private mutating func longCount() throws(Refusal) -> Int {
    let bytes = try take(8)
    let count = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard count <= UInt64(pickle.bytes.count - position) else {
      throw refusal(
        .pytorchPickleLength, "\(counted(pickle.bytes.count - position, "byte")) left",
        counted(count, "byte"))
    }
    return Int(count)
  }

  private mutating func pushBytes(_ count: Int) throws(Refusal) {
    _ = try take(count)
    stack.append(.opaque)
  }

  private mutating func pushLong() throws(Refusal) {
    let bytes = try take(number(1))
    guard bytes.count <= 8 else { return stack.append(.opaque) }
    // Two's complement: the highest byte contains the sign.
    let sign: Int = bytes.last.map { $0 >= 0x80 ? -1 : 0 } ?? 0
    stack.append(.integer(bytes.reversed().reduce(sign) { $0 << 8 | Int($1) }))
  }

  private mutating func pushString(_ count: Int) throws(Refusal) {
    let start = position
    _ = try take(count)
    stack.append(.string(start..<start + count))
  }

  /// The text of a string; nil if it is not UTF-8.
  func text(_ range: Range<Int>) -> String? {
    String(validating: pickle.bytes[range], as: UTF8.self)
  }

  private mutating func line() throws(Refusal) -> String {
    guard let end = pickle.bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else {
      throw refusal(.pytorchPickleLength, "no end of the line", "a module and a name")
    }
    defer { position = end + 1 }
    return String(decoding: pickle.bytes[position..<end], as: UTF8.self)
  }

  // MARK: Stack

  private mutating func pop() throws(Refusal) -> PickleValue { try pop(1)[0] }

  private mutating func pop(_ count: Int) throws(Refusal) -> [PickleValue] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw refusal(.pytorchPickleStack, "an empty stack", "\(count) values")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(Refusal) -> [PickleValue] {
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
  private func top() throws(Refusal) -> PickleValue {
    guard stack.count > marks.last ?? 0, let top = stack.last else {
      throw refusal(.pytorchPickleStack, "an empty stack", "a value")
    }
    return top
  }

  // Additions to an opaque value are ignored, too.

  private mutating func appendToList(_ values: [PickleValue]) throws(Refusal) {
    switch try top() {
    case .list(let list): heap.lists[list] += values
    case .opaque: break
    default: throw refusal(.pytorchPickleStack, "no list", "a list to append to")
    }
  }

  private mutating func setItems(_ values: [PickleValue]) throws(Refusal) {
    let top = try top()
    guard values.count.isMultiple(of: 2) else {
      throw refusal(.pytorchPickleStack, "a key alone", "keys and values")
    }
    switch top {
    case .dictionary(let dictionary):
      for place in stride(from: 0, to: values.count, by: 2) {
        heap.dictionaries[dictionary].append((values[place], values[place + 1]))
      }
    case .opaque: break
    default: throw refusal(.pytorchPickleStack, "no dict", "a dict")
    }
  }

  private mutating func addToSet(_ values: [PickleValue]) throws(Refusal) {
    guard try top() == .opaque else {
      throw refusal(.pytorchPickleStack, "no set", "a set to add \(values.count) values to")
    }
  }

  // MARK: Memo

  private mutating func recall(_ index: Int) throws(Refusal) {
    guard index < memo.count, let value = memo[index] else {
      throw refusal(.pytorchPickleMemo, "no entry \(index)", "an entry that was put")
    }
    stack.append(value)
  }

  private mutating func memoize(_ index: Int) throws(Refusal) {
    guard index < Self.memoLimit else {
      throw refusal(.pytorchPickleMemo, "entry \(index)", "at most \(Self.memoLimit) entries")
    }
    if index >= memo.count {
      memo += repeatElement(nil, count: index + 1 - memo.count)
    }
    if memo[index] == nil { memoCount += 1 }
    memo[index] = try top()
  }

  // MARK: Objects

  private mutating func pushGlobal(_ name: String) throws(Refusal) {
    guard let global = PickleGlobal(name) else {
      throw refusal(
        PickleGlobal.isOtherTensorKind(name) ? .pytorchTensorKind : .pytorchPickleGlobal, name,
        "a dense tensor or a dict")
    }
    stack.append(.global(global))
  }

  /// The global of a module and a name on the stack.
  private mutating func pushStackGlobal() throws(Refusal) {
    let values = try pop(2)
    guard case .string(let module) = values[0], case .string(let name) = values[1],
      let module = text(module), let name = text(name)
    else { throw refusal(.pytorchPickleStack, "no texts", "a module and a name") }
    try pushGlobal("\(module).\(name)")
  }

  /// The calls that Python would make, as a table of the allowed arguments.
  private mutating func reduce() throws(Refusal) {
    let values = try pop(2)
    guard case .global(let function) = values[0], case .tuple(let place) = values[1] else {
      throw refusal(
        .pytorchPickleGlobal, "a call of something that is not a function", "a function of the list"
      )
    }
    try call(function, heap.tuples[place])
  }

  private mutating func call(
    _ function: PickleGlobal, _ arguments: [PickleValue]
  ) throws(Refusal) {
    switch function {
    case .plain: stack.append(.opaque)
    case .array: stack.append(.array)
    case .dictionary: try pushDictionary(of: arguments)
    case .rebuildFirstTensor, .rebuildTensor, .rebuildTypedTensor:
      guard let tensor = tensor(function, from: arguments) else {
        throw refusal(
          .pytorchTensorKind, "a tensor with other arguments",
          "storage, offset, at most \(counted(Self.rankLimit, "dimension")), their strides, a flag and hooks"
        )
      }
      stack.append(.tensor(heap.tensors.count))
      heap.tensors.append(tensor)
    case .rebuildParameter, .rebuildParameterWithState:
      guard arguments.count == (function == .rebuildParameter ? 3 : 4),
        case .tensor = arguments[0]
      else {
        throw refusal(.pytorchTensorKind, "a parameter of no tensor", "a tensor, a flag and hooks")
      }
      stack.append(arguments[0])
    case .rebuildFromType:
      guard arguments.count == 4, case .global(let function) = arguments[0],
        function != .rebuildFromType, arguments[1] == .global(.tensorClass),
        case .tuple(let place) = arguments[2]
      else {
        throw refusal(.pytorchTensorKind, "a subclass of tensors", "a tensor with attributes")
      }
      try call(function, heap.tuples[place])
    case .tensorClass, .storage, .dataType:
      throw refusal(.pytorchPickleGlobal, "a call that is not allowed", "OrderedDict()")
    }
  }

  /// A dict of no arguments, of the default that a `defaultdict` has, or of the list of pairs that
  /// Python 2 wrote for an `OrderedDict`.
  private mutating func pushDictionary(of arguments: [PickleValue]) throws(Refusal) {
    var pairs: [PickleValue] = []
    var isAllowed = arguments.count <= 1
    switch arguments.first {
    case nil, .global, PickleValue.none?: break
    case .list(let list): pairs = heap.lists[list]
    default: isAllowed = false
    }
    let items = pairs.map { pair in heap.node(of: pair).map { heap.values(of: $0) } ?? [] }
    guard isAllowed, items.allSatisfy({ $0.count == 2 }) else {
      throw refusal(.pytorchPickleGlobal, "a dict of other arguments", "a list of pairs")
    }
    pushDictionary()
    try setItems(items.flatMap { $0 })
  }

  /// An object of a class of plain values.
  private mutating func makeObject() throws(Refusal) {
    let values = try pop(2)
    guard values[0] == .global(.plain), case .tuple = values[1] else {
      throw refusal(.pytorchPickleGlobal, "an object of another class", "a class of the list")
    }
    stack.append(.opaque)
  }

  /// The tensor of `_rebuild_tensor(storage, offset, shape, strides)`, or with
  /// `_v2(…, requires_grad, hooks)`, or `_v3(…, requires_grad, hooks, dtype)`.
  private mutating func tensor(
    _ function: PickleGlobal, from arguments: [PickleValue]
  ) -> PickledTensor? {
    let isFirst = function == .rebuildFirstTensor
    let isTyped = function == .rebuildTypedTensor
    guard arguments.count == (isFirst ? 4 : isTyped ? 7 : 6),
      case .storage(var storage) = arguments[0], case .integer(let offset) = arguments[1],
      let shape = integers(arguments[2]), let strides = integers(arguments[3])
    else { return nil }
    if !isFirst {
      guard case .boolean = arguments[4], case .dictionary = arguments[5] else { return nil }
    }
    if isTyped {
      guard case .global(.dataType(let type)) = arguments[6],
        let typed = heap.storages[storage].reinterpreted(as: type)
      else { return nil }
      storage = heap.storages.count
      heap.storages.append(typed)
    }
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

  /// Attributes of a dict (`_metadata` of a state dict) or of an object do not concern tensors, and
  /// are dropped.
  private mutating func build() throws(Refusal) {
    let state = try pop()
    switch (try top(), state) {
    case (.dictionary, .dictionary), (.opaque, _), (.array, _): break
    default: throw refusal(.pytorchPickleOpcode, "BUILD of no dict", "attributes of a dict")
    }
  }

  /// The storage of the persistent id ("storage", type, key, device, element count), which in files
  /// from before version 1.6 ends with a view of the storage: none.
  private mutating func pushStorage() throws(Refusal) {
    guard case .tuple(let place) = try pop(),
      heap.tuples[place].count == 5
        || heap.tuples[place].count == 6 && heap.tuples[place][5] == PickleValue.none,
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
    _ code: Refusal.Code, _ found: String, _ expected: String
  ) -> Refusal {
    Refusal(
      code, file: pickle.file, at: .offset(pickle.baseOffset + position), found: found,
      expected: expected)
  }
}

extension PickledStorage {
  /// The same bytes as elements of another type; nil if they are not a whole number of these.
  fileprivate func reinterpreted(as type: DataType) -> PickledStorage? {
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: dataType.byteWidth)
    guard !overflow, byteCount.isMultiple(of: type.byteWidth) else { return nil }
    return PickledStorage(dataType: type, key: key, count: byteCount / type.byteWidth)
  }
}

/// The opcodes in pickles of dicts, tensors and other plain values.
enum PickleOpcode: UInt8 {
  case mark = 0x28  // (
  case emptyTuple = 0x29  // )
  case stop = 0x2E  // .
  case bytes = 0x42  // B
  case shortBytes = 0x43  // C
  case float = 0x47  // G
  case integer = 0x4A  // J
  case integer1 = 0x4B  // K
  case integer2 = 0x4D  // M
  case none = 0x4E  // N
  case persistentID = 0x51  // Q
  case reduce = 0x52  // R
  case string = 0x54  // T
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
  case newObject = 0x81
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case newTrue = 0x88
  case newFalse = 0x89
  case long = 0x8A
  case shortUnicode = 0x8C
  case longUnicode = 0x8D
  case longBytes = 0x8E
  case emptySet = 0x8F
  case addItems = 0x90
  case frozenSet = 0x91
  case stackGlobal = 0x93
  case memoize = 0x94
  case frame = 0x95
  case byteArray = 0x96
}
