import SextantBytes

/// The tensors of a pickle. Their names are their paths in it.
///
/// A name is the path to the tensor: the keys of the dicts and the places in lists and tuples that
/// lead to it, joined with `.`. The dict `{"model": {"w": …}, "step": 3}` has a tensor `model.w`.
struct StateDictionary {
  /// Names and tensors, in the order of the file.
  private(set) var tensors: [(name: String, tensor: PickledTensor)] = []
  /// The names of arrays of NumPy, in dicts that lead to tensors.
  private(set) var arrays: [String] = []

  /// The name of a tensor that is a file's only content.
  static let bareName = "tensor"
  /// The most tensors, and the most values that are looked at: containers that are shared may lead
  /// to many more than a pickle has room for.
  private static let (countLimit, stepLimit) = (200_000, 2_000_000)

  private let machine: PickleMachine
  private let file: String
  /// Whether a container leads to a tensor. The others are not looked at.
  private let leads: [Bool]
  private var stepCount = 0

  /// Collects the tensors that `root` reaches.
  ///
  /// - Throws: `pth.root`, `pth.key`.
  init(_ root: PickleValue, _ machine: PickleMachine, file: String) throws(Refusal) {
    self.machine = machine
    self.file = file
    let heap = machine.heap
    var leads = [Bool](repeating: false, count: heap.nodeCount)
    for node in heap.innermostFirst(from: root) ?? [] {
      leads[node] = heap.values(of: node).contains { value in
        value.isTensor || heap.node(of: value).map { leads[$0] } == true
      }
    }
    self.leads = leads
    if case .tensor(let index) = root {
      tensors = [(Self.bareName, heap.tensors[index])]
    } else {
      guard leadsToTensor(root) else {
        throw Refusal(
          .pytorchRoot, file: file,
          found: heap.hasArray ? "arrays of NumPy, and no tensor" : "no tensor",
          expected: "a dict of tensors")
      }
      try collect(root, nil)
    }
    try checkNames()
  }

  private func leadsToTensor(_ value: PickleValue) -> Bool {
    value.isTensor || machine.heap.node(of: value).map { leads[$0] } == true
  }

  /// Adds the tensors below `value`. Each level makes the name longer, and its length is limited.
  private mutating func collect(_ value: PickleValue, _ path: String?) throws(Refusal) {
    if let path, path.utf8.count > TensorName.byteLimit {
      throw refusal(path, "a name of \(counted(path.utf8.count, "byte"))")
    }
    switch value {
    case .tensor(let index): tensors.append((path ?? "", machine.heap.tensors[index]))
    case .tuple(let index): try collect(machine.heap.tuples[index], path)
    case .list(let index): try collect(machine.heap.lists[index], path)
    case .dictionary(let index):
      let entries = machine.heap.dictionaries[index]
      try count(entries.count)
      for (key, value) in entries where value == .array || leadsToTensor(value) {
        let name = Self.joined(path, try name(of: key))
        if value == .array { arrays.append(name) } else { try collect(value, name) }
      }
    default: break
    }
  }

  private mutating func collect(_ values: [PickleValue], _ path: String?) throws(Refusal) {
    try count(values.count)
    for (place, value) in values.enumerated() where leadsToTensor(value) {
      try collect(value, Self.joined(path, "\(place)"))
    }
  }

  private mutating func count(_ valueCount: Int) throws(Refusal) {
    stepCount += valueCount
    guard tensors.count <= Self.countLimit, stepCount <= Self.stepLimit else {
      throw Refusal(
        .pytorchRoot, file: file, found: "more tensors or values than that",
        expected: "at most \(counted(Self.countLimit, "tensor")) and \(Self.stepLimit) other values"
      )
    }
  }

  private static func joined(_ path: String?, _ name: String) -> String {
    path.map { "\($0).\(name)" } ?? name
  }

  private func name(of key: PickleValue) throws(Refusal) -> String {
    switch key {
    case .integer(let number): return "\(number)"
    case .string(let range):
      if let name = machine.text(range) { return name }
    default: break
    }
    throw Refusal(
      .pytorchKey, file: file, found: "a key that is not text", expected: "a tensor's name")
  }

  private func checkNames() throws(Refusal) {
    for (name, _) in tensors {
      if let flaw = TensorName.flaw(name) { throw refusal(name, flaw) }
    }
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Refusal(
        .pytorchKey, file: file, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
  }

  private func refusal(_ name: String, _ flaw: String) -> Refusal {
    Refusal(
      .pytorchKey, file: file, at: .tensor(name), found: flaw,
      expected: "1 to \(counted(TensorName.byteLimit, "byte")), no control characters, no path")
  }
}

extension PickleHeap {
  /// Whether a dict has an array of NumPy.
  fileprivate var hasArray: Bool {
    dictionaries.contains { $0.contains { $0.value == .array } }
  }
}

extension PickleValue {
  fileprivate var isTensor: Bool {
    if case .tensor = self { true } else { false }
  }
}
