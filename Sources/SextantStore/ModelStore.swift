import SextantBytes
import SextantTensor

/// An open store: a model's weights, mapped into memory and read in place.
///
/// Opening reads header and footer and no weights; it takes milliseconds for a model of any size.
/// The header is checked then; `verify` checks that the weights are the ones of the header. Stores
/// are immutable once published: do not truncate a file that is open (reading a mapped page that no
/// longer exists ends the process), and keep stores on a local disk.
public final class ModelStore: Sendable {
  /// The path as the user gave it.
  public let path: String
  /// The canonical name of the architecture.
  public let architecture: String
  /// The architecture's canonical configuration.
  public let configuration: JSONObject
  /// The model's identity, which does not depend on the type in which the weights are stored.
  public let identity: Digest
  /// `"source"` when every tensor keeps its source's type, else a word such as `"bf16"`.
  public let variant: String
  /// The tensors, sorted by the bytes of their names.
  package let tensors: [StoredTensor]
  /// The attachments, sorted by the bytes of their names.
  package let attachments: [StoredAttachment]
  /// The digest of everything before the data: two stores with equal digests contain equal bytes.
  package let headerDigest: Digest

  let file: InputFile
  private let mapping: MappedFile
  private let places: [ExactString: Int]

  /// Opens a store.
  ///
  /// - Throws: `file.*` for a file that cannot be read; `store.*` and `json.*` for one that
  ///   violates the format, in the order of `formats/store.md`.
  public init(opening path: String) throws(Refusal) {
    let file = try Self.file(at: path)
    let (header, digest) = try StoreHeader.read(from: file)
    self.path = path
    self.file = file
    architecture = header.architecture
    configuration = header.configuration
    identity = header.identity
    variant = header.variant
    tensors = header.tensors
    attachments = header.attachments
    headerDigest = digest
    mapping = try file.map()
    places = Dictionary(
      uniqueKeysWithValues: header.tensors.enumerated().map { (ExactString($1.name), $0) })
  }

  /// Opens the file. A folder is most often a checkpoint that was not converted yet.
  private static func file(at path: String) throws(Refusal) -> InputFile {
    do throws(Refusal) {
      return try InputFile(path)
    } catch {
      var error = error
      if error.code == .fileNotRegular, error.found == "a folder" {
        error.remedy = StorePreamble.remedy(for: path)
      }
      throw error
    }
  }

  /// The length of the file, in bytes.
  public var fileByteCount: Int { file.byteCount }

  /// Reads all weights into memory now: opening alone touches none.
  package func preload() { mapping.populate() }

  // MARK: Tensors

  /// Whether there is a tensor of this name.
  public func hasTensor(_ name: String) -> Bool { places[ExactString(name)] != nil }

  /// The table's entry of a tensor; nil when there is none of this name.
  package func entry(_ name: String) -> StoredTensor? {
    places[ExactString(name)].map { tensors[$0] }
  }

  /// A tensor, in place: its memory is the mapped file, which it keeps open.
  ///
  /// - Throws: `model.tensor-missing`.
  public func tensor(_ name: String) throws(Refusal) -> Tensor {
    guard let entry = entry(name) else {
      throw Refusal(
        .modelTensorMissing, file: path, at: .tensor(name), found: "no such tensor",
        expected: "one of the \(counted(tensors.count, "tensor")) of the file")
    }
    let bytes = unsafe try mapping.slice(at: entry.offset, count: entry.byteCount)
    let tensor = unsafe Tensor(
      borrowing: bytes, owner: mapping, dataType: entry.dataType, shape: entry.shape)
    guard let tensor else {
      throw Refusal(
        .storeTable, file: path, at: .tensor(name), found: counted(entry.byteCount, "byte"),
        expected: "the size of \(entry.dataType.rawValue) \(entry.shape)")
    }
    return tensor
  }

  /// Asks the kernel to read a tensor ahead; does nothing when there is none of this name.
  package func prefetch(_ name: String) {
    if let entry = entry(name) { mapping.prefetch(at: entry.offset, count: entry.byteCount) }
  }

  // MARK: Attachments

  /// The bytes of an attachment, compared with its digest; nil if there is none of this name.
  ///
  /// - Throws: `store.tensor-digest`, `file.too-short`, `file.read`.
  package func attachment(_ name: String) throws(Refusal) -> [UInt8]? {
    let wanted = ExactString(name)
    guard let entry = attachments.first(where: { ExactString($0.name) == wanted }) else {
      return nil
    }
    let bytes = try file.read(at: entry.offset, count: entry.byteCount)
    try checkDigest(SHA256.digest(bytes), entry.digest, of: name)
    return bytes
  }

  func checkDigest(
    _ found: Digest, _ expected: Digest, of name: String
  ) throws(Refusal) {
    guard found == expected else {
      throw Refusal(
        .storeTensorDigest, file: path, at: .tensor(name), found: "SHA-256 \(found)",
        expected: "SHA-256 \(expected)")
    }
  }
}

extension StoreHeader {
  /// Reads preamble, footer and header of a file, and checks them against each other.
  static func read(from file: InputFile) throws(Refusal) -> (StoreHeader, Digest) {
    let preamble = try StorePreamble(of: file)
    let footer = try StoreFooter(of: file)
    let head = try file.read(at: 0, count: preamble.dataStart ?? file.byteCount)
    let digest = SHA256.digest(head)
    guard digest == footer.headerDigest else {
      throw Refusal(
        .storeHeaderDigest, file: file.path, found: "SHA-256 \(digest)",
        expected: "SHA-256 \(footer.headerDigest)")
    }
    let end = StorePreamble.byteCount + preamble.headerByteCount
    if let place = head[end...].firstIndex(where: { $0 != 0 }) {
      throw Refusal(
        .storePadding, file: file.path, at: .offset(place), found: "a byte that is not 0",
        expected: "zeros")
    }
    let header = try StoreHeader(
      parsing: Array(head[StorePreamble.byteCount..<end]), frame: preamble, file: file.path)
    guard header.identity == header.computedIdentity else {
      throw Refusal(
        .storeIdentity, file: file.path, at: .pointer("/identity"), found: "\(header.identity)",
        expected: "\(header.computedIdentity)")
    }
    return (header, digest)
  }
}
