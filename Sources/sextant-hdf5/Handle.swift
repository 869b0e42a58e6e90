import CHDF5
import SextantBytes

/// An object of libhdf5, released exactly once.
struct Handle: ~Copyable {
  /// The library's number for it.
  let id: hid_t

  /// Takes over an id that a call of the library returned.
  ///
  /// - Throws: `h5.invalid` with the library's reason when the call failed.
  init(_ id: hid_t, _ action: String, tensor: String? = nil) throws(Refusal) {
    guard id >= 0 else { throw Library.failure(action, tensor: tensor) }
    self.id = id
  }

  deinit { H5Idec_ref(id) }
}

/// The error stack of libhdf5.
enum Library {
  /// The refusal for a call that failed just now.
  static func failure(_ action: String, tensor: String? = nil) -> Refusal {
    Refusal(
      .hdf5Invalid, at: tensor.map { .tensor($0) },
      found: "libhdf5 fails to \(action)\(innermostReason().map { ": \($0)" } ?? "")",
      expected: "a sound HDF5 file that libhdf5 \(version) reads")
  }

  /// Refuses when a call of the library returned a negative status.
  static func check(
    _ status: Int32, _ action: String, tensor: String? = nil
  ) throws(Refusal) {
    guard status >= 0 else { throw failure(action, tensor: tensor) }
  }

  private static var version: String {
    var (major, minor, release): (UInt32, UInt32, UInt32) = (0, 0, 0)
    _ = unsafe H5get_libversion(&major, &minor, &release)
    return "\(major).\(minor).\(release)"
  }

  private static func innermostReason() -> String? {
    var reason: String?
    unsafe withUnsafeMutablePointer(to: &reason) { place in
      _ = unsafe H5Ewalk2(
        0, H5E_WALK_UPWARD,
        { _, entry, context in
          guard let text = unsafe entry?.pointee.desc else { return 0 }
          let place = unsafe context?.assumingMemoryBound(to: String?.self)
          unsafe place?.pointee = String(cString: text)
          return 1
        }, place)
    }
    return reason
  }
}
