import SextantBytes
import SextantStore
import SextantTensor

/// The tensors of a store, checked against the architecture's list.
struct StoredWeights {
  private let tensors: [ExactString: Tensor]

  /// Takes the tensors out of a store, in place.
  ///
  /// - Throws: `model.tensor-missing`, `model.tensor-unexpected`, `model.shape`, `model.dtype`.
  init(_ store: ModelStore, specs: [WeightSpec]) throws(Refusal) {
    let missing = specs.filter { !store.hasTensor($0.name) }.map(\.name)
    guard missing.isEmpty else {
      throw Refusal(
        .modelTensorMissing, found: "no \(missing.joined(separator: ", "))",
        expected: counted(specs.count, "tensor"))
    }
    let known = Set(specs.map { ExactString($0.name) })
    let unexpected = store.tensors.map(\.name).filter { !known.contains(ExactString($0)) }
    guard unexpected.isEmpty else {
      throw Refusal(
        .modelTensorUnexpected, found: unexpected.joined(separator: ", "),
        expected: "\(counted(specs.count, "tensor")) of the architecture")
    }
    var tensors: [ExactString: Tensor] = [:]
    for spec in specs {
      let tensor = try store.tensor(spec.name)
      guard tensor.shape == spec.shape else {
        throw Refusal(
          .modelShape, at: .tensor(spec.name), found: "\(tensor.shape)", expected: "\(spec.shape)")
      }
      let types: [DataType] = [.f32, .bf16, .f16] + (spec.kind == .vector ? [] : [.q8])
      guard types.contains(tensor.dataType) else {
        throw Refusal(
          .modelDataType, at: .tensor(spec.name), found: tensor.dataType.rawValue,
          expected: types.map(\.rawValue).joined(separator: ", "))
      }
      tensors[ExactString(spec.name)] = tensor
    }
    self.tensors = tensors
  }

  /// A matrix as it is stored, read in place.
  func matrix(_ name: String) -> Tensor {
    guard let tensor = tensors[ExactString(name)] else { preconditionFailure("no weight \(name)") }
    return tensor
  }

  /// A small tensor in f32, converted once if it is stored in another type.
  func vector(_ name: String) -> Tensor {
    guard let tensor = matrix(name).converted(to: .f32) else {
      preconditionFailure("\(name) was checked to be floating-point")
    }
    return tensor
  }

  /// A small tensor in f32 if the model has it.
  func optionalVector(_ name: String) -> Tensor? {
    tensors[ExactString(name)].flatMap { $0.converted(to: .f32) }
  }
}
