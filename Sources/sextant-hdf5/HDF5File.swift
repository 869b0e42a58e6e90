import CHDF5
import CHDF5Confinement
import SextantBytes

/// The one door to the objects of the file.
///
/// libhdf5 is asked for the structure of the file, and never for elements: `DatasetReader` reads
/// those. Everything goes through `object(_:in:)`; nothing else opens a name, so that every link is
/// checked before it is followed.
struct HDF5File: ~Copyable {
  private let file: Handle
  private let linkAccess: Handle
  /// The position of the HDF5 file behind the descriptor.
  let window: Confinement.Window
  /// The file's size.
  var byteCount: Int { window.byteCount }

  /// Opens the file behind descriptor 3.
  ///
  /// - Throws: `h5.invalid`.
  init(_ window: Confinement.Window) throws(Refusal) {
    sextant_set_window(UInt64(window.start), UInt64(window.byteCount))
    let access = try Handle(sextant_h5_file_access(), "make access properties")
    let driver = try Handle(sextant_descriptor_driver(0), "register the file driver")
    try Library.check(
      H5Pset_driver(access.id, driver.id, nil), "choose the file driver")
    let linkAccess = try Handle(sextant_h5_link_access(), "make access properties")
    try unsafe Library.check(
      H5Pset_elink_cb(linkAccess.id, { _, _, _, _, _, _, _ in -1 }, nil),
      "refuse external links")
    let file = try Handle(
      unsafe sextant_h5_open_file("descriptor", access.id), "open the file")
    self.file = consume file
    self.linkAccess = consume linkAccess
    self.window = window
  }

  /// Opens the object of this path, which starts with "/".
  func object(_ path: String) throws(Refusal) -> Handle {
    try Handle(unsafe H5Oopen(file.id, path, linkAccess.id), "open an object", tensor: path)
  }
}

extension Handle {
  /// The identifier of this object in the file.
  func address(path: String) throws(Refusal) -> UInt64 {
    var address: UInt64 = 0
    try unsafe Library.check(
      sextant_h5_object_address(id, &address), "find the object's address", tensor: path)
    return address
  }
}
