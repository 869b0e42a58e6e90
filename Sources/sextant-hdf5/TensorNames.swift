import CHDF5
import SextantBytes

/// The names of a file's tensors, which each layout spells in its own way.
struct TensorNames {
  /// The layout.
  let layout: HDF5Layout
  /// Attributes of the root that describe a Keras model, including code: they are never
  /// interpreted.
  let descriptions: [String]
  /// The names that attributes give to datasets, by path.
  private let listed: [ExactString: String]

  /// The name of the group `layers` in Keras 2.13 and TensorFlow.
  private static let oldLayers = "_layer_checkpoint_dependencies"

  /// Tells the layout of a file with these datasets and groups.
  ///
  /// - Throws: `h5.dialect.ambiguous`, `h5.keras.names`, `h5.attribute`, `h5.invalid`.
  init(
    datasets: [String], groups: Set<ExactString>, _ file: borrowing HDF5File
  ) throws(Refusal) {
    let numbered = datasets.filter { HDF5Layout.isNumbered(Self.parts(of: $0)) }
    let lists = try KerasLists.group(groups, file)
    if let first = numbered.first, lists != nil || numbered.count < datasets.count {
      let other = datasets.first { !HDF5Layout.isNumbered(Self.parts(of: $0)) }
      throw Refusal(
        .hdf5DialectAmbiguous, at: .tensor(first),
        found: lists.map { "numbered variables, and layer_names at \($0)" }
          ?? "numbered variables, and \(other ?? "") without a number",
        expected: "one layout")
    }
    if groups.contains(ExactString("/layers")), groups.contains(ExactString("/\(Self.oldLayers)")) {
      throw Refusal(
        .hdf5DialectAmbiguous, found: "both layers and \(Self.oldLayers)", expected: "one of them")
    }
    if let lists {
      layout = .keras2
      listed = try KerasLists.names(in: lists, datasets: datasets, groups: groups, file)
    } else {
      layout = numbered.isEmpty ? .flat : .keras3
      listed = [:]
    }
    descriptions = layout == .flat ? [] : ["model_config", "training_config"]
  }

  /// The tensor's name, or nil for tensors of an optimizer.
  ///
  /// - Throws: `h5.keras.names` for a dataset that no list names.
  func name(of path: String) throws(Refusal) -> String? {
    var parts = Self.parts(of: path)
    switch layout {
    case .flat: break
    case .keras3:
      if parts.first == "optimizer" { return nil }
      if parts.first == Self.oldLayers { parts[0] = "layers" }
    case .keras2:
      if let name = listed[ExactString(path)] { return name }
      if parts.first == "optimizer_weights" { return nil }
      throw Refusal(
        .hdf5KerasNames, at: .tensor(path), found: "a dataset that no weight_names names",
        expected: "only weights of the listed layers")
    }
    return parts.joined(separator: ".")
  }

  /// The parts of a path that starts with "/".
  static func parts(of path: String) -> [String] {
    path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }
}

/// The lists of layers and weights in which Keras 2 keeps names and order.
enum KerasLists {
  /// The path of the group that lists the layers, "" for the root; nil if there is none.
  ///
  /// - Throws: `h5.dialect.ambiguous` if there are two, `h5.invalid`.
  static func group(
    _ groups: Set<ExactString>, _ file: borrowing HDF5File
  ) throws(Refusal) -> String? {
    var found: [String] = []
    for path in ["", "/model_weights"] where path.isEmpty || groups.contains(ExactString(path)) {
      let group = try file.object(path.isEmpty ? "/" : path)
      let names: [String] = ["layer_names", "layer_names0"]
      if names.contains(where: { name in unsafe H5Aexists(group.id, name) > 0 }) {
        found.append(path)
      }
    }
    guard found.count < 2 else {
      throw Refusal(
        .hdf5DialectAmbiguous, found: "layer_names at the root and at /model_weights",
        expected: "one list of layers")
    }
    return found.first
  }

  /// The tensors' names by the datasets' paths.
  ///
  /// - Throws: `h5.keras.names`, `h5.attribute`, `h5.invalid`.
  static func names(
    in root: String, datasets: [String], groups: Set<ExactString>, _ file: borrowing HDF5File
  ) throws(Refusal) -> [ExactString: String] {
    let paths = Set(datasets.map { ExactString($0) })
    var names: [ExactString: String] = [:]
    let top = "top_level_model_weights"
    var layers = try Attributes.list(
      "layer_names", of: file.object(root.isEmpty ? "/" : root), path: root)
    if groups.contains(ExactString("\(root)/\(top)")), !layers.contains(top) { layers.append(top) }
    for layer in layers {
      let group = "\(root)/\(layer)"
      // The shards of transformers list weights instead of layers.
      if paths.contains(ExactString(group)) {
        try add(layer, at: group, to: &names)
        continue
      }
      guard groups.contains(ExactString(group)) else {
        throw Refusal(
          .hdf5KerasNames, at: .tensor(group), found: "no such group",
          expected: "a group for each of layer_names")
      }
      for weight in try Attributes.list("weight_names", of: file.object(group), path: group) {
        let path = "\(group)/\(weight)"
        guard paths.contains(ExactString(path)) else {
          throw Refusal(
            .hdf5KerasNames, at: .tensor(path), found: "no such dataset",
            expected: "a dataset for each of weight_names")
        }
        try add(weight, at: path, to: &names)
      }
    }
    return names
  }

  /// Names the dataset at `path` after its weight.
  private static func add(
    _ weight: String, at path: String, to names: inout [ExactString: String]
  ) throws(Refusal) {
    let name = HDF5Layout.tensorName(ofWeight: weight)
    guard names.updateValue(name, forKey: ExactString(path)) == nil else {
      throw Refusal(
        .hdf5KerasNames, at: .tensor(path), found: "a weight that is named twice",
        expected: "each once")
    }
  }
}
