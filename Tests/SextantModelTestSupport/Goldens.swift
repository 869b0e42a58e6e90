import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// A file of golden outputs, by tensor name.
package struct Goldens {
  private let file: SafetensorsFile

  /// Opens a file of `fixtures/`.
  package init(_ fixture: String) throws {
    try self.init(path: PackageFiles.fixture(fixture))
  }

  /// Opens a file.
  package init(path: String) throws {
    file = try SafetensorsFile(path)
  }

  /// The texts of the file's header.
  package var metadata: [String: String] { file.metadata }

  /// An F32 tensor.
  package func floats(_ name: String) throws -> Tensor {
    let entry = try #require(file.tensor(named: name))
    let bytes = try file.bytes(of: entry)
    return try #require(
      bytes.withUnsafeBytes { Tensor(copying: $0, dataType: .f32, shape: entry.shape) })
  }

  /// The elements of an I64 or I32 tensor.
  package func integers(_ name: String) throws -> [Int] {
    let entry = try #require(file.tensor(named: name))
    func elements<Element: FixedWidthInteger>(_ type: Element.Type) throws -> [Int] {
      let size = MemoryLayout<Element>.size
      return try file.bytes(of: entry).withUnsafeBytes { bytes in
        (0..<bytes.count / size).map {
          Int(bytes.loadUnaligned(fromByteOffset: size * $0, as: Element.self))
        }
      }
    }
    if entry.dataType == .i32 { return try elements(Int32.self) }
    try #require(entry.dataType == .i64)
    return try elements(Int64.self)
  }
}
