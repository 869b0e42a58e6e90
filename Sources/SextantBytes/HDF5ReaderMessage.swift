/// The messages of the confined HDF5 reader to the main process.
///
/// The reader (`sextant-hdf5`) has the file as descriptor 3, gets requests through descriptor 0 and
/// answers through descriptor 1. A message is a kind (1 byte), the length of its payload (u32) and
/// the payload. Integers are little-endian; a text is its length in bytes (u32) and UTF-8.
///
///     kind  payload                                                     when
///     1     hello      version u32                                      first
///     2     metadata   key text, value text                             any number
///     3     note       text                                             any number
///     4     tensor     name text, type text, rank u32, rank × u64       any number
///     5     end        number of tensors u32                            once: the list is complete
///     6     refusal    code text, place u32, place text,                at any time; the last
///                      found text, expected text
///     7     data       bytes of the requested tensor                    after `end`
///     8     layout     layout text (`HDF5Layout`)                       once, before `tensor`
///     9     place      offset u64                                       one for each `tensor` (writing)
///
/// The place of a refusal is 0 and an empty text for none, 1 and a tensor's name, or 2 and an
/// offset in decimal digits. After `end` the main process asks for tensors: one request is the
/// tensor's place in the list (u32). The reader answers with `data` messages whose payloads,
/// joined, are the elements, row-major and little-endian; each contains a whole number of elements.
/// The reader ends when descriptor 0 is closed.
///
/// A process that writes (its argument is `write`) sends the same greeting and then receives
/// messages: `metadata` for each attribute of the root, `tensor` for each dataset, and `end`. It
/// answers `tensor` with `place`, the position of the elements in the file, and `end` with `end`
/// after the file is closed.
///
/// The main process trusts no message: a message that breaks these rules is refused.
package enum HDF5ReaderMessage: Sendable, Equatable {
  case hello(version: Int)
  case layout(HDF5Layout)
  case metadata(key: String, value: String)
  case note(String)
  case tensor(name: String, dataType: String, shape: [Int])
  case end(tensorCount: Int)
  case refusal(Refusal)
  case place(offset: Int)

  /// The version of these rules.
  package static let version = 2
  /// The argument that makes a reader read even if it cannot be confined.
  package static let unconfinedArgument = "unconfined"
  /// Bytes of a message before its payload.
  package static let headerByteCount = 5
  /// The kind of the messages that contain elements.
  package static let dataKind: UInt8 = 7
  /// The largest number of bytes in a payload.
  package static let maximumPayloadByteCount = 4 << 20
  /// Dimensions that a tensor may have.
  package static let maximumRank = 8

  /// The header of a message with this payload.
  package static func header(kind: UInt8, payloadByteCount: Int) -> [UInt8] {
    [kind] + UInt32(payloadByteCount).littleEndianBytes
  }

  /// The whole message.
  ///
  /// - Precondition: the payload fits `maximumPayloadByteCount`.
  package func encoded() -> [UInt8] {
    var payload: [UInt8] = []
    func append(_ text: String) {
      payload += UInt32(text.utf8.count).littleEndianBytes
      payload += text.utf8
    }
    let kind: UInt8
    switch self {
    case .hello(let version):
      kind = 1
      payload += UInt32(version).littleEndianBytes
    case .layout(let layout):
      kind = 8
      append(layout.rawValue)
    case .metadata(let key, let value):
      kind = 2
      append(key)
      append(value)
    case .place(let offset):
      kind = 9
      payload += UInt64(offset).littleEndianBytes
    case .note(let text):
      kind = 3
      append(text)
    case .tensor(let name, let dataType, let shape):
      kind = 4
      append(name)
      append(dataType)
      payload += UInt32(shape.count).littleEndianBytes
      for dimension in shape { payload += UInt64(dimension).littleEndianBytes }
    case .end(let tensorCount):
      kind = 5
      payload += UInt32(tensorCount).littleEndianBytes
    case .refusal(let refusal):
      kind = 6
      append(refusal.code.rawValue)
      switch refusal.place {
      case .tensor(let name):
        payload += UInt32(1).littleEndianBytes
        append(name)
      case .offset(let offset):
        payload += UInt32(2).littleEndianBytes
        append(String(offset))
      default:
        payload += UInt32(0).littleEndianBytes
        append("")
      }
      append(refusal.found)
      append(refusal.expected)
    }
    precondition(payload.count <= Self.maximumPayloadByteCount)
    return Self.header(kind: kind, payloadByteCount: payload.count) + payload
  }

  /// Reads the payload of a message that is not data.
  ///
  /// - Throws: `h5.reader.protocol`.
  package init(kind: UInt8, payload: [UInt8]) throws(Refusal) {
    var fields = Fields(bytes: ByteReader(payload))
    switch kind {
    case 1: self = .hello(version: try fields.count())
    case 2: self = .metadata(key: try fields.text(), value: try fields.text())
    case 3: self = .note(try fields.text())
    case 4:
      let name = try fields.text()
      let dataType = try fields.text()
      let rank = try fields.count()
      guard rank <= Self.maximumRank else { throw Self.nonsense("a tensor of rank \(rank)") }
      var shape: [Int] = []
      for _ in 0..<rank { shape.append(try fields.dimension()) }
      self = .tensor(name: name, dataType: dataType, shape: shape)
    case 5: self = .end(tensorCount: try fields.count())
    case 6:
      let spelling = try fields.text()
      guard let code = Refusal.Code(rawValue: spelling) else {
        throw Self.nonsense("the code \"\(spelling)\"")
      }
      let place = try fields.place()
      self = .refusal(
        Refusal(code, at: place, found: try fields.text(), expected: try fields.text()))
    case 9: self = .place(offset: try fields.dimension())
    case 8:
      let spelling = try fields.text()
      guard let layout = HDF5Layout(rawValue: spelling) else {
        throw Self.nonsense("the layout \"\(spelling)\"")
      }
      self = .layout(layout)
    default: throw Self.nonsense("a message of kind \(kind)")
    }
    guard fields.position == payload.count else {
      throw Self.nonsense(
        "\(counted(payload.count - fields.position, "byte")) too many in a message")
    }
  }

  /// The refusal of a message that is none.
  package static func nonsense(_ found: String) -> Refusal {
    Refusal(.hdf5ReaderProtocol, found: found, expected: "a message of the reader")
  }

  /// Takes the fields of a payload from its front.
  private struct Fields {
    let bytes: ByteReader
    var position = 0

    mutating func number(byteCount: Int) throws(Refusal) -> UInt64 {
      let value: UInt64
      do throws(Refusal) {
        value = try bytes.unsigned(at: position, byteCount: byteCount)
      } catch {
        throw nonsense("a message that ends early")
      }
      position += byteCount
      return value
    }

    mutating func count() throws(Refusal) -> Int { Int(try number(byteCount: 4)) }

    mutating func dimension() throws(Refusal) -> Int {
      guard let dimension = Int(exactly: try number(byteCount: 8)) else {
        throw nonsense("a dimension beyond 2^63")
      }
      return dimension
    }

    mutating func place() throws(Refusal) -> Refusal.Place? {
      let kind = try count()
      let text = try text()
      switch kind {
      case 0: return nil
      case 1: return .tensor(text)
      case 2: if let offset = Int(text) { return .offset(offset) }
      default: break
      }
      throw nonsense("a place \(kind) \(text)")
    }

    mutating func text() throws(Refusal) -> String {
      let byteCount = try count()
      let slice: ArraySlice<UInt8>
      do throws(Refusal) {
        slice = try bytes.slice(at: position, count: byteCount)
      } catch {
        throw nonsense("a text that ends early")
      }
      position += byteCount
      guard let text = String(validating: slice, as: UTF8.self) else {
        throw nonsense("a text that is not UTF-8")
      }
      return text
    }
  }
}
