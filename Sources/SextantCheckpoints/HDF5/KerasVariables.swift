import SextantBytes

/// The numbered variables of Keras 3: `layers.dense.vars.0`, `layers.dense.vars.1` and so on.
enum KerasVariables {
  /// The layer's part of a variable's name, and its number.
  ///
  /// - Returns: nil for a name without a number, and for one with zeros before it.
  static func split(_ name: String) -> (layer: String, number: Int)? {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return nil }
    let digits = name[name.utf8.index(after: dot)...]
    guard let number = Int(digits), String(number) == digits else { return nil }
    return (String(name[..<dot]), number)
  }

  /// Refuses a file of Keras 3 if a layer lacks a variable between others.
  ///
  /// Only the numbers distinguish the variables of a layer.
  ///
  /// - Throws: `h5.keras.index-gap`.
  static func checkComplete(_ listing: HDF5Listing) throws(Refusal) {
    if listing.layout == .keras3 { try checkComplete(listing.tensors.map(\.name)) }
  }

  /// Refuses names that leave a number out.
  ///
  /// - Throws: `h5.keras.index-gap`.
  static func checkComplete(_ names: [String], file: String? = nil) throws(Refusal) {
    var numbers: [ExactString: Set<Int>] = [:]
    for name in names {
      guard let (layer, number) = split(name) else {
        throw Refusal(
          .hdf5KerasIndexGap, file: file, at: .tensor(name), found: "no plain number at the end",
          expected: "0, 1, 2 and so on")
      }
      numbers[ExactString(layer), default: []].insert(number)
    }
    for (layer, found) in numbers.sorted(by: { $0.key < $1.key }) {
      if let gap = (0..<found.count).first(where: { !found.contains($0) }) {
        throw Refusal(
          .hdf5KerasIndexGap, file: file, at: .tensor(layer.string),
          found: "\(counted(found.count, "variable")) without number \(gap)",
          expected: "0 to \(found.count - 1)")
      }
    }
  }
}
