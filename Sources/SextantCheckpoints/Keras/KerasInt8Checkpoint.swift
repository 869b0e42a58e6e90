import SextantBytes
import SextantTensor

/// A checkpoint of Keras whose matrices are integers of 8 bits, as the numbers that they stand for.
///
/// Keras' `quantize("int8")` stores q = round(w · s) for each number w, and the scale s for each output of a
/// layer. The numbers q / s are computed in single precision. The scales have no place in the list of
/// tensors, and the numbers of a layer's other variables are those without the scales.
package final class KerasInt8Checkpoint: Checkpoint {
  /// A quantised tensor.
  private struct Quantised {
    let source: CheckpointTensor
    let scale: CheckpointTensor
    /// Axes of the tensor that have one scale: elements with the same place before and after them.
    let shared: Int
    /// Elements after those axes.
    let inner: Int
  }

  /// The tensors, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  private let base: any Checkpoint
  private let sources: [ExactString: CheckpointTensor]
  private let quantised: [ExactString: Quantised]

  /// How many tensors are quantised.
  package var quantisedCount: Int { quantised.count }

  /// Presents `base`; nil if it has no variables of Keras with integers of 8 bits.
  ///
  /// - Throws: `model.quantised` for integers without a scale that fits, as in other quantisations.
  package init?(_ base: any Checkpoint) throws(Refusal) {
    let found = try Self.entries(of: base)
    guard found.contains(where: { $0.scale != nil }) else { return nil }
    var tensors: [CheckpointTensor] = []
    var sources: [ExactString: CheckpointTensor] = [:]
    var quantised: [ExactString: Quantised] = [:]
    for entry in found {
      let (source, name) = (entry.source, entry.name)
      sources[ExactString(name)] = source
      let type = entry.scale == nil ? source.dataType : .f32
      tensors.append(
        CheckpointTensor(
          name: name, dataType: type, shape: source.shape,
          byteCount: type.byteCount(shape: source.shape) ?? 0,
          encoding: entry.scale == nil ? source.encoding : "int8 of Keras"))
      guard let scale = entry.scale else { continue }
      quantised[ExactString(name)] = try Self.quantised(
        source, scale, isEmbedding: Self.isEmbedding(name), path: base.path)
    }
    self.base = base
    self.tensors = tensors.sorted { ExactString($0.name) < ExactString($1.name) }
    self.sources = sources
    self.quantised = quantised
  }

  /// A tensor without its scale, under the name that it would have if no layer had scales.
  private typealias Entry = (name: String, source: CheckpointTensor, scale: CheckpointTensor?)

  /// The tensors without the scales of integers.
  private static func entries(of base: any Checkpoint) throws(Refusal) -> [Entry] {
    var layers: [ExactString: [(number: Int, tensor: CheckpointTensor)]] = [:]
    var named: [ExactString: CheckpointTensor] = [:]
    for tensor in base.tensors {
      if let (layer, number) = KerasVariables.split(tensor.name), layer.hasSuffix(".vars") {
        layers[ExactString(layer), default: []].append((number, tensor))
      } else {
        named[ExactString(tensor.name)] = tensor
      }
    }
    var entries: [Entry] = []
    for (layer, variables) in layers.sorted(by: { $0.key < $1.key }) {
      let ordered = variables.sorted { $0.number < $1.number }.map(\.tensor)
      guard ordered.contains(where: { $0.dataType == .i8 }) else {
        for tensor in ordered { entries.append((tensor.name, tensor, nil)) }
        continue
      }
      for (number, (source, scale)) in try withoutScales(ordered, base.path).enumerated() {
        entries.append(("\(layer.string).\(number)", source, scale))
      }
    }
    // In the layout of Keras 2, a scale has the name of its matrix.
    var scales: Set<ExactString> = []
    for tensor in named.values where tensor.dataType == .i8 && isOfKeras(tensor.name) {
      scales.insert(ExactString(tensor.name + "_scale"))
    }
    for (name, tensor) in named.sorted(by: { $0.key < $1.key }) where !scales.contains(name) {
      let isInteger = tensor.dataType == .i8
      entries.append(
        (tensor.name, tensor, isInteger ? named[ExactString(tensor.name + "_scale")] : nil))
    }
    return entries
  }

  private static func isOfKeras(_ name: String) -> Bool {
    [".kernel", "embeddings"].contains { name.hasSuffix($0) }
  }

  /// Whether a tensor has a row for each token.
  private static func isEmbedding(_ name: String) -> Bool {
    name.hasSuffix("embedding.vars.0") || name.hasSuffix("embedding.embeddings")
  }

  /// The variables of a layer without the scales, in their order, with the scales of the quantised ones.
  ///
  /// A layer with one matrix has it first, then a bias if there is one, then the scale. An embedding with a
  /// head of its own has two matrices, each followed by its scale.
  private static func withoutScales(
    _ variables: [CheckpointTensor], _ path: String
  ) throws(Refusal) -> [(source: CheckpointTensor, scale: CheckpointTensor?)] {
    switch variables.map({ $0.dataType == .i8 }) {
    case [true, false]: return [(variables[0], variables[1])]
    case [true, false, false]: return [(variables[0], variables[2]), (variables[1], nil)]
    case [true, false, true, false]:
      return [(variables[0], variables[1]), (variables[2], variables[3])]
    default: throw otherQuantisation(variables[0], "other variables beside it", path)
    }
  }

  /// Finds the axes of a tensor that a scale is for: the last ones, the first one of an embedding, or the
  /// first and the last one of a matrix for each head.
  private static func quantised(
    _ source: CheckpointTensor, _ scale: CheckpointTensor, isEmbedding: Bool, path: String
  ) throws(Refusal) -> Quantised {
    let (shape, own) = (source.shape, scale.shape.filter { $0 != 1 })
    let count = own.reduce(1, *)
    let isNumber = [DataType.f32, .bf16, .f16].contains(scale.dataType)
    func product(_ sizes: some Sequence<Int>) -> Int { sizes.reduce(1, *) }
    func sizes(_ sizes: some Sequence<Int>) -> [Int] { sizes.filter { $0 != 1 } }
    if isNumber, isEmbedding, shape.count == 2, own == sizes(shape.prefix(1)) {
      return Quantised(source: source, scale: scale, shared: shape[1], inner: 1)
    }
    if isNumber, !isEmbedding, shape.count > 1 {
      for first in 1..<shape.count where own == sizes(shape[first...]) {
        return Quantised(
          source: source, scale: scale, shared: product(shape[..<first]), inner: count)
      }
      if shape.count == 3, own == sizes([shape[0], shape[2]]) {
        return Quantised(source: source, scale: scale, shared: shape[1], inner: shape[2])
      }
    }
    throw otherQuantisation(
      source, "the shape \(shape), and a scale of the shape \(scale.shape)", path)
  }

  private static func otherQuantisation(
    _ tensor: CheckpointTensor, _ found: String, _ path: String
  ) -> Refusal {
    Refusal(
      .modelQuantised, file: path, at: .tensor(tensor.name),
      found: "integers of 8 bits with \(found), such as those of Keras' int4",
      expected: "F32, BF16, F16, or Keras' int8: a scale for each output of a layer")
  }

  // MARK: Reading

  /// The path of the base.
  package var path: String { base.path }
  /// The container format.
  package var format: String { base.format }
  /// The free text in the files.
  package var metadata: [String: String] { base.metadata }
  /// The tensors that the files announce and do not have.
  package var absent: [String] { base.absent }
  /// Whether the base can.
  package var readsConcurrently: Bool { base.readsConcurrently }

  /// Hands over the elements of one tensor in pieces.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let source = sources[ExactString(tensor.name)] else {
      throw Refusal(
        .modelTensorMissing, file: path, at: .tensor(tensor.name), found: "no such tensor",
        expected: "a tensor of this file")
    }
    guard let quantised = quantised[ExactString(tensor.name)] else {
      return try unsafe base.read(source, body)
    }
    let scales = try scales(of: quantised)
    var place = 0
    try unsafe base.read(source) { piece throws(Refusal) in
      var numbers: [Float] = []
      numbers.reserveCapacity(piece.count)
      for index in piece.indices {
        let byte = unsafe piece[index]
        let outer = place / (quantised.shared * quantised.inner)
        let scale = scales[outer * quantised.inner + place % quantised.inner]
        numbers.append(Float(Int8(bitPattern: byte)) / scale)
        place += 1
      }
      try unsafe numbers.span.bytes.withUnsafeBytes(body)
    }
  }

  /// The scales, in single precision.
  private func scales(of quantised: Quantised) throws(Refusal) -> [Float] {
    let scale = quantised.scale
    let bytes = try base.bytes(of: scale)
    let count = scale.shape.reduce(1, *)
    let tensor = unsafe bytes.withUnsafeBytes {
      unsafe Tensor(copying: $0, dataType: scale.dataType, shape: [count])
    }
    guard let values = tensor?.converted(to: .f32)?.values else {
      throw Self.otherQuantisation(quantised.source, "scales that are not numbers", path)
    }
    return values
  }

  /// The place of the elements in a file; nil if they are computed.
  package func part(of tensor: CheckpointTensor) -> FilePart? {
    guard quantised[ExactString(tensor.name)] == nil else { return nil }
    return sources[ExactString(tensor.name)].flatMap { base.part(of: $0) }
  }

  /// The file that contains the tensor.
  package func path(of tensor: CheckpointTensor) -> String {
    sources[ExactString(tensor.name)].map { base.path(of: $0) } ?? path
  }

  /// Refuses when a file was changed since it was opened.
  package func checkUnchanged() throws(Refusal) { try base.checkUnchanged() }

  /// Whether `path` names a file that is being read.
  package func reads(path: String) -> Bool { base.reads(path: path) }
}
