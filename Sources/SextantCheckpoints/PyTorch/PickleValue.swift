import SextantTensor

/// What a pickle can build: plain values, and names of tensors and storages. Nothing acts.
///
/// Containers and tensors are indices into a `PickleHeap`, so that a hostile nesting costs neither
/// recursion nor reference counts.
enum PickleValue: Equatable {
  case none
  case boolean(Bool)
  case integer(Int)
  /// A number whose value nothing needs: a float, or an integer beyond 64 bits.
  case number
  /// A string, as the range of its bytes in the pickle.
  case string(Range<Int>)
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  case global(PickleGlobal)
  case storage(Int)
  case tensor(Int)
}

/// The functions and classes that a pickle may name. None of them is ever called.
enum PickleGlobal: Equatable {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  case storage(DataType)

  /// The global of that module and name; nil for all that is not on the list.
  init?(_ name: String) {
    switch name {
    case "collections.OrderedDict": self = .orderedDictionary
    case "torch._utils._rebuild_tensor_v2": self = .rebuildTensor
    case "torch._utils._rebuild_parameter": self = .rebuildParameter
    case "torch.FloatStorage": self = .storage(.f32)
    case "torch.HalfStorage": self = .storage(.f16)
    case "torch.BFloat16Storage": self = .storage(.bf16)
    case "torch.DoubleStorage": self = .storage(.f64)
    case "torch.LongStorage": self = .storage(.i64)
    case "torch.IntStorage": self = .storage(.i32)
    case "torch.ShortStorage": self = .storage(.i16)
    case "torch.CharStorage": self = .storage(.i8)
    case "torch.ByteStorage": self = .storage(.u8)
    case "torch.BoolStorage": self = .storage(.bool)
    default: return nil
    }
  }

  /// Whether a name stands for a kind of tensor that PyTorch has and Sextant does not import.
  static func isOtherTensorKind(_ name: String) -> Bool {
    name.hasPrefix("torch.") && name.hasSuffix("Storage")
      || name.hasPrefix("torch._utils._rebuild") || name.hasPrefix("torch._tensor.")
  }
}

/// A run of elements in a member of the archive, as a pickle describes it.
struct PickledStorage: Equatable {
  var dataType: DataType
  /// The name of the member in `data/`, as the range of its bytes in the pickle.
  var key: Range<Int>
  /// Elements.
  var count: Int
}

/// A view of a storage, as a pickle describes it: nothing of it is checked yet.
struct PickledTensor: Equatable {
  /// The storage's index.
  var storage: Int
  /// The first element.
  var offset: Int
  /// The dimensions, outermost first.
  var shape: [Int]
  /// Elements from one index to the next, for each dimension.
  var strides: [Int]
}

/// The containers, storages and tensors that a pickle has built.
struct PickleHeap {
  var tuples: [[PickleValue]] = []
  var lists: [[PickleValue]] = []
  var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
  var storages: [PickledStorage] = []
  var tensors: [PickledTensor] = []

  /// The number that a container has among all; nil for what holds nothing.
  private func node(of value: PickleValue) -> Int? {
    switch value {
    case .tuple(let index): index
    case .list(let index): tuples.count + index
    case .dictionary(let index): tuples.count + lists.count + index
    default: nil
    }
  }

  private func children(of node: Int) -> [Int] {
    if node < tuples.count { return tuples[node].compactMap { self.node(of: $0) } }
    let list = node - tuples.count
    if list < lists.count { return lists[list].compactMap { self.node(of: $0) } }
    return dictionaries[list - lists.count].flatMap { [$0.key, $0.value] }
      .compactMap { self.node(of: $0) }
  }

  /// Whether some container that `root` reaches contains itself.
  func hasCycle(from root: PickleValue) -> Bool {
    guard let start = node(of: root) else { return false }
    enum Visit { case not, entered, left }
    var visits = [Visit](repeating: .not, count: tuples.count + lists.count + dictionaries.count)
    var path = [(node: start, rest: children(of: start))]
    visits[start] = .entered
    while let last = path.indices.last {
      guard let child = path[last].rest.popLast() else {
        visits[path[last].node] = .left
        path.removeLast()
        continue
      }
      switch visits[child] {
      case .entered: return true
      case .left: continue
      case .not:
        visits[child] = .entered
        path.append((child, children(of: child)))
      }
    }
    return false
  }
}
