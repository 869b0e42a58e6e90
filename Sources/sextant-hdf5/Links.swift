import CHDF5
import SextantBytes

/// An entry of a group.
struct Link {
  let name: String
  let type: Int32

  /// Refuses all links that lead elsewhere.
  ///
  /// - Throws: `h5.link.soft`, `h5.link.external`, `h5.link.user-defined`.
  func refuseUnlessHard(path: String) throws(Refusal) {
    let code: Refusal.Code
    switch type {
    case H5L_TYPE_HARD.rawValue: return
    case H5L_TYPE_SOFT.rawValue: code = .hdf5LinkSoft
    case H5L_TYPE_EXTERNAL.rawValue: code = .hdf5LinkExternal
    default: code = .hdf5LinkUserDefined
    }
    throw Refusal(code, at: .tensor(path), found: code.summary, expected: "a hard link")
  }
}

/// The links of a group.
enum Links {
  /// The result of the library's callback.
  private struct Collector {
    var limit: Int
    var names: [(bytes: [UInt8], type: Int32)] = []
  }

  /// All links of a group, ordered by the bytes of their names.
  ///
  /// - Throws: `h5.objects`, `h5.name`, `h5.invalid`.
  static func list(
    _ group: borrowing Handle, path: String, atMost limit: Int
  ) throws(Refusal) -> [Link] {
    var collector = Collector(limit: limit)
    let status = unsafe withUnsafeMutablePointer(to: &collector) { place in
      unsafe sextant_h5_visit_links(
        group.id,
        { name, type, context in
          guard let name = unsafe name,
            let place = unsafe context?.assumingMemoryBound(to: Collector.self)
          else { return -1 }
          let bytes = unsafe UnsafeBufferPointer(start: name, count: strlen(name))
          unsafe place.pointee.names.append((bytes.map { UInt8(bitPattern: $0) }, type))
          return unsafe place.pointee.names.count > place.pointee.limit ? 1 : 0
        }, place)
    }
    try Library.check(status, "list a group", tensor: path)
    guard collector.names.count <= limit else {
      throw Refusal(
        .hdf5Objects, at: .tensor(path), found: "more than \(Listing.objectLimit) objects",
        expected: "at most that")
    }
    var links: [Link] = []
    for (bytes, type) in collector.names.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    ) {
      guard let name = String(validating: bytes, as: UTF8.self) else {
        throw Refusal(
          .hdf5Name, at: .tensor("\(path)/\(String(decoding: bytes, as: UTF8.self))"),
          found: "a name that is not UTF-8", expected: "UTF-8")
      }
      links.append(Link(name: name, type: type))
    }
    return links
  }
}
