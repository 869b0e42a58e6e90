import SextantArtifacts
import SextantBytes

/// The names of lenses in reports.
package enum LensNames {
  /// A file's name without the usual endings.
  package static func name(of path: String) -> String {
    var name = String(path.split(separator: "/").last ?? "")
    for ending in [".safetensors", ".lens"] where name.hasSuffix(ending) {
      name.removeLast(ending.count)
    }
    return name.isEmpty ? "lens" : name
  }

  /// Different names for some files.
  package static func names(of paths: [String]) -> [String] {
    var names: [String] = []
    for path in paths {
      let name = name(of: path)
      let isTaken = name == NamedLens.logit.name || names.contains(name)
      names.append(isTaken ? "\(name)-\(names.count + 1)" : name)
    }
    return names
  }

  /// The lenses of some files, by different names.
  package static func lenses(_ paths: [String]) throws(Refusal) -> [NamedLens] {
    var lenses: [NamedLens] = []
    for (name, path) in zip(names(of: paths), paths) {
      lenses.append(NamedLens(name: name, lens: try Lens(reading: path)))
    }
    return lenses
  }
}
