import SextantArtifacts
import SextantBytes
import SextantGeneration

/// What reports call lenses.
enum LensNames {
  /// A file's name without what such names end in.
  static func name(of path: String) -> String {
    var name = String(path.split(separator: "/").last ?? "")
    for ending in [".safetensors", ".lens"] where name.hasSuffix(ending) {
      name.removeLast(ending.count)
    }
    return name.isEmpty ? "lens" : name
  }

  /// The lenses of some files, by different names.
  static func lenses(_ paths: [String]) throws(FormatError) -> [NamedLens] {
    var lenses: [NamedLens] = []
    for path in paths {
      var name = name(of: path)
      if name == NamedLens.logit.name || lenses.contains(where: { $0.name == name }) {
        name = "\(name)-\(lenses.count + 1)"
      }
      lenses.append(NamedLens(name: name, lens: try Lens(reading: path)))
    }
    return lenses
  }
}
