import SextantBytes

/// The rules for the name of a tensor in a foreign file.
enum TensorName {
  /// The longest name, in UTF-8 bytes.
  static let byteLimit = 512

  /// The flaw of a name, or nil.
  ///
  /// Names appear in file paths, reports and terminals, so that names that leave a folder or
  /// control a terminal are refused. A "/" inside is common and allowed.
  static func flaw(_ name: String) -> String? {
    if name.isEmpty { return "an empty name" }
    if name.utf8.count > byteLimit { return "a name of \(counted(name.utf8.count, "byte"))" }
    if name.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) })
    {
      return "a control character in the name"
    }
    let components = name.utf8.split(omittingEmptySubsequences: false) {
      $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\")
    }
    if components.count > 1, components[0].isEmpty { return "a name that starts like a path" }
    if components.contains(where: { $0.elementsEqual("..".utf8) }) {
      return "\"..\" in the name"
    }
    return nil
  }

  /// Two of `names` that differ in their bytes but are canonically equivalent, or nil.
  ///
  /// Tools that normalise names would find one tensor if the file contains two. `String` compares
  /// by canonical equivalence, which is needed here.
  static func equivalentPair(_ names: some Sequence<String>) -> (String, String)? {
    var seen = Set<String>()
    for name in names {
      let (inserted, earlier) = seen.insert(name)
      if !inserted { return (earlier, name) }
    }
    return nil
  }
}
