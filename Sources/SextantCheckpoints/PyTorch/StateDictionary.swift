import SextantBytes

/// The one dict of tensors in a pickle, whatever it is wrapped in.
struct StateDictionary {
  /// Names as users know them, and tensors, in the order of the file.
  let tensors: [(name: String, tensor: PickledTensor)]

  /// What a tensor is called that is a file's only content.
  static let bareName = "tensor"

  /// The prefix that `DataParallel` puts before all names.
  private static let parallelPrefix = "module."

  /// Finds the dict: the root itself when it holds a tensor, else the only value of the root that is
  /// a dict of tensors. A root that is a tensor is a dict of one.
  ///
  /// - Throws: `pth.root`, `pth.key`.
  init(_ root: PickleValue, _ machine: PickleMachine, file: String) throws(FormatError) {
    let heap = machine.heap
    if case .tensor(let index) = root {
      tensors = [(Self.bareName, heap.tensors[index])]
      return
    }
    guard case .dictionary(let outer) = root else {
      throw FormatError(.pytorchRoot, file: file, found: "no dict", expected: "a dict of tensors")
    }
    var dictionary = outer
    if !heap.dictionaries[outer].contains(where: { $0.value.isTensor }) {
      let nested = Set(
        heap.dictionaries[outer].compactMap { entry -> Int? in
          guard case .dictionary(let inner) = entry.value else { return nil }
          return inner
        }
      ).filter { inner in
        let values = heap.dictionaries[inner]
        return !values.isEmpty && values.allSatisfy { $0.value.isTensor }
      }
      guard let only = nested.first, nested.count == 1 else {
        throw FormatError(
          .pytorchRoot, file: file, found: "\(nested.count) dicts of tensors",
          expected: "one, alone or in a dict")
      }
      dictionary = only
    }
    tensors = try Self.tensors(of: heap.dictionaries[dictionary], machine, file)
  }

  private static func tensors(
    of entries: [(key: PickleValue, value: PickleValue)], _ machine: PickleMachine, _ file: String
  ) throws(FormatError) -> [(name: String, tensor: PickledTensor)] {
    var result: [(name: String, tensor: PickledTensor)] = []
    for (key, value) in entries {
      guard case .string(let range) = key, let name = machine.text(range) else {
        throw FormatError(
          .pytorchKey, file: file, found: "a key that is no text", expected: "a tensor's name")
      }
      guard case .tensor(let index) = value else {
        throw FormatError(
          .pytorchRoot, file: file, at: .tensor(name), found: "another value among the tensors",
          expected: "tensors only")
      }
      result.append((name, machine.heap.tensors[index]))
    }
    if result.allSatisfy({ $0.name.utf8.starts(with: parallelPrefix.utf8) }) {
      for place in result.indices {
        result[place].name = String(
          Substring(result[place].name.utf8.dropFirst(parallelPrefix.utf8.count)))
      }
    }
    for (name, _) in result {
      if let flaw = TensorName.flaw(name) {
        throw FormatError(
          .pytorchKey, file: file, at: .tensor(name), found: flaw,
          expected: "1 to \(TensorName.byteLimit) bytes, no control characters, no path")
      }
    }
    if let (_, name) = TensorName.equivalentPair(result.lazy.map(\.name)) {
      throw FormatError(
        .pytorchKey, file: file, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
    return result
  }
}

extension PickleValue {
  fileprivate var isTensor: Bool {
    if case .tensor = self { true } else { false }
  }
}
