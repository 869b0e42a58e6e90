/// How an HDF5 file of weights is organised, told by its structure and never by its name.
public enum HDF5Layout: String, Sendable {
  /// One dataset per tensor, whose path is the tensor's name.
  case flat
  /// Keras 3: the variables of each layer are numbered, `…/vars/<number>`.
  case keras3 = "keras-3"
  /// Keras 1 and 2, and TensorFlow models of transformers: names stand in attributes.
  case keras2 = "keras-2"

  /// Whether the last part of a dataset's path, and the one before it, are those of a variable of
  /// Keras 3.
  public static func isNumbered(_ parts: [some StringProtocol]) -> Bool {
    guard let last = parts.last, parts.dropLast().last?.utf8.elementsEqual("vars".utf8) == true
    else { return false }
    return !last.isEmpty
      && last.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }
}
