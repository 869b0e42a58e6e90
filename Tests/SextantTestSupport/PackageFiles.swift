import SextantBytes

/// Paths inside the package's own checkout.
package enum PackageFiles {
  /// The folder of `Package.swift`, without a trailing slash.
  package static let root: String = {
    // …/Tests/SextantTestSupport/PackageFiles.swift
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/")
  }()

  /// A file or folder of `fixtures/`.
  package static func fixture(_ path: String) -> String { "\(root)/fixtures/\(path)" }

  /// A file or folder of `formats/`.
  package static func format(_ path: String) -> String { "\(root)/formats/\(path)" }

  /// The names of the entries of a folder of the package, sorted.
  package static func entries(_ path: String) -> [String] {
    TemporaryFolder.entries(of: "\(root)/\(path)").sorted()
  }

  /// The paths of the Swift files of a folder of the package and of the folders in it.
  package static func swiftFiles(in folder: String) -> [String] {
    entries(folder).flatMap { name in
      if name.hasSuffix(".swift") { return ["\(folder)/\(name)"] }
      return name.contains(".") ? [] : swiftFiles(in: "\(folder)/\(name)")
    }
  }

  /// The paths of the Swift files of all library targets.
  package static var librarySources: [String] {
    entries("Sources").filter { $0.hasPrefix("Sextant") }.flatMap {
      swiftFiles(in: "Sources/\($0)")
    }
  }

  /// The text of a file of the package.
  package static func text(_ path: String) throws -> String {
    try String(decoding: bytes(path), as: UTF8.self)
  }

  /// The bytes of a file of the package.
  package static func bytes(_ path: String) throws -> [UInt8] {
    try InputFile("\(root)/\(path)").readAll(limit: 1 << 24)
  }
}
