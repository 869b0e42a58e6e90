import SextantTensor

/// The values that a pickle can build: plain values, and names of tensors and storages. None of
/// them runs code.
///
/// Containers and tensors are indices into a `PickleHeap`, so that a hostile nesting needs no
/// recursion and no reference counts.
enum PickleValue: Equatable {
  case none
  case boolean(Bool)
  case integer(Int)
  /// A value that nothing needs: a float, an integer beyond 64 bits, bytes, a set, or an object.
  case opaque
  /// An array of NumPy. Its elements are not read.
  case array
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
  /// `OrderedDict` or `defaultdict`.
  case dictionary
  /// `_rebuild_tensor`, of the first versions: the four arguments before the flag.
  case rebuildFirstTensor
  case rebuildTensor
  /// `_rebuild_tensor_v3`: the type is an argument, and the storage is counted in bytes.
  case rebuildTypedTensor
  case rebuildParameter
  case rebuildParameterWithState
  /// `_rebuild_from_type_v2`: a tensor with attributes.
  case rebuildFromType
  case tensorClass
  case storage(DataType)
  case dataType(DataType)
  /// A class of plain values in the same file as tensors. Its content is ignored.
  case plain
  /// A function that makes an array of NumPy.
  case array

  /// The global of that module and name; nil for all that is not on the list.
  init?(_ name: String) {
    guard let global = Self.known[name] else { return nil }
    self = global
  }

  private static let known: [String: PickleGlobal] = {
    var known: [String: PickleGlobal] = [
      "collections.OrderedDict": .dictionary,
      "collections.defaultdict": .dictionary,
      "torch._utils._rebuild_tensor": .rebuildFirstTensor,
      "torch._utils._rebuild_tensor_v2": .rebuildTensor,
      "torch._utils._rebuild_tensor_v3": .rebuildTypedTensor,
      "torch._utils._rebuild_parameter": .rebuildParameter,
      "torch._utils._rebuild_parameter_with_state": .rebuildParameterWithState,
      "torch._tensor._rebuild_from_type_v2": .rebuildFromType,
      "torch.Tensor": .tensorClass,
      "torch.nn.parameter.Parameter": .tensorClass,
      "torch.FloatStorage": .storage(.f32),
      "torch.HalfStorage": .storage(.f16),
      "torch.BFloat16Storage": .storage(.bf16),
      "torch.DoubleStorage": .storage(.f64),
      "torch.LongStorage": .storage(.i64),
      "torch.IntStorage": .storage(.i32),
      "torch.ShortStorage": .storage(.i16),
      "torch.CharStorage": .storage(.i8),
      "torch.ByteStorage": .storage(.u8),
      "torch.BoolStorage": .storage(.bool),
      "torch.storage.UntypedStorage": .storage(.u8),
      "torch.float32": .dataType(.f32),
      "torch.float16": .dataType(.f16),
      "torch.bfloat16": .dataType(.bf16),
      "torch.float64": .dataType(.f64),
      "torch.int64": .dataType(.i64),
      "torch.int32": .dataType(.i32),
      "torch.int16": .dataType(.i16),
      "torch.int8": .dataType(.i8),
      "torch.uint8": .dataType(.u8),
      "torch.uint16": .dataType(.u16),
      "torch.uint32": .dataType(.u32),
      "torch.uint64": .dataType(.u64),
      "torch.bool": .dataType(.bool),
    ]
    for name in plainNames { known[name] = .plain }
    for module in ["numpy.core", "numpy._core"] {
      known["\(module).multiarray._reconstruct"] = .array
      known["\(module).numeric._frombuffer"] = .array
    }
    return known
  }()

  /// Classes and functions of the values that training programs save together with weights:
  /// options, paths, dates, sets, and the states of random number generators.
  private static let plainNames =
    [
      "_codecs.encode", "argparse.Namespace", "collections.Counter", "collections.deque",
      "datetime.date", "datetime.datetime", "datetime.timedelta", "datetime.timezone",
      "lightning.fabric.utilities.data.AttributeDict",
      "lightning_fabric.utilities.data.AttributeDict",
      "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar", "numpy.dtype",
      "numpy.ndarray",
      "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath",
      "pytorch_lightning.utilities.parsing.AttributeDict", "torch.Size", "torch.device",
      "types.SimpleNamespace",
    ]
    + ["__builtin__", "builtins"].flatMap { module in
      [
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list",
        "range", "set", "slice", "str", "tuple",
      ].map { "\(module).\($0)" }
    }

  /// Whether a name stands for a kind of tensor that PyTorch has and Sextant does not import.
  static func isOtherTensorKind(_ name: String) -> Bool {
    name.hasPrefix("torch.") && name.hasSuffix("Storage")
      || name.hasPrefix("torch._utils._rebuild") || name.hasPrefix("torch._tensor.")
      || ["torch.float", "torch.complex", "torch.q"].contains { name.hasPrefix($0) }
  }
}

/// A run of elements in the file, as a pickle describes it.
struct PickledStorage: Equatable {
  var dataType: DataType
  /// The storage's name, as the range of its bytes in the pickle.
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

  /// Containers of all kinds.
  var nodeCount: Int { tuples.count + lists.count + dictionaries.count }

  /// The number that a container has among all; nil for a value that is not a container.
  func node(of value: PickleValue) -> Int? {
    switch value {
    case .tuple(let index): index
    case .list(let index): tuples.count + index
    case .dictionary(let index): tuples.count + lists.count + index
    default: nil
    }
  }

  /// The content of a container, including the keys of a dict.
  func values(of node: Int) -> [PickleValue] {
    if node < tuples.count { return tuples[node] }
    let list = node - tuples.count
    if list < lists.count { return lists[list] }
    return dictionaries[list - lists.count].flatMap { [$0.key, $0.value] }
  }

  /// The containers that `root` reaches, each after those that it contains.
  ///
  /// - Returns: nil if some container contains itself.
  func innermostFirst(from root: PickleValue) -> [Int]? {
    guard let start = node(of: root) else { return [] }
    func children(_ node: Int) -> [Int] { values(of: node).compactMap { self.node(of: $0) } }
    enum Visit { case not, entered, left }
    var visits = [Visit](repeating: .not, count: nodeCount)
    var order: [Int] = []
    var path = [(node: start, rest: children(start))]
    visits[start] = .entered
    while let last = path.indices.last {
      guard let child = path[last].rest.popLast() else {
        visits[path[last].node] = .left
        order.append(path[last].node)
        path.removeLast()
        continue
      }
      switch visits[child] {
      case .entered: return nil
      case .left: continue
      case .not:
        visits[child] = .entered
        path.append((child, children(child)))
      }
    }
    return order
  }
}
