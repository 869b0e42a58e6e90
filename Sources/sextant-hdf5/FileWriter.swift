import CHDF5
import CHDF5Confinement
import Glibc
import SextantBytes

/// Makes the layout of a new HDF5 file for the main process, confined, as `HDF5ReaderMessage`
/// specifies: everything except the elements, for which it returns the positions.
enum FileWriter {
  static func serve(_ channel: Channel) throws(Refusal) {
    try Confinement.beginWriting()
    channel.send(.hello(version: HDF5ReaderMessage.version))
    var count = 0
    do {
      let file = try create()
      requests: while let message = try channel.nextMessage() {
        switch message {
        case .metadata(let key, let value):
          try setText(key, value, of: file.id)
        case .tensor(let name, let dataType, let shape):
          channel.send(.place(offset: try dataset(name, dataType, shape, in: file)))
          count += 1
        case .end: break requests
        default:
          throw HDF5ReaderMessage.nonsense("\(message)")
        }
      }
      try Library.check(H5Fflush(file.id, H5F_SCOPE_GLOBAL), "write the file")
    }
    // The file is closed now.
    channel.send(.end(tensorCount: count))
  }

  /// The file behind descriptor 3, which is empty.
  private static func create() throws(Refusal) -> Handle {
    let access = try Handle(sextant_h5_file_access(), "make access properties")
    let driver = try Handle(sextant_descriptor_driver(1), "register the file driver")
    try Library.check(H5Pset_driver(access.id, driver.id, nil), "choose the file driver")
    // Elements of a tensor start at the alignment of the processor's vectors.
    try Library.check(H5Pset_alignment(access.id, 64, 64), "choose the alignment")
    return try Handle(
      unsafe sextant_h5_create_file("descriptor", access.id), "create the file")
  }

  /// Makes a dataset whose elements have a place at once, and are not touched.
  private static func dataset(
    _ name: String, _ dataType: String, _ shape: [Int], in file: borrowing Handle
  ) throws(Refusal) -> Int {
    let type = try Handle(
      unsafe sextant_h5_new_type(dataType), "make the type \(dataType)", tensor: name)
    let dimensions = shape.map { hsize_t($0) }
    let space = try Handle(
      unsafe H5Screate_simple(Int32(dimensions.count), dimensions, nil), "make a shape",
      tensor: name)
    let creation = try Handle(sextant_h5_dataset_creation(), "make properties", tensor: name)
    try Library.check(
      H5Pset_alloc_time(creation.id, H5D_ALLOC_TIME_EARLY), "choose when to allocate")
    try Library.check(H5Pset_fill_time(creation.id, H5D_FILL_TIME_NEVER), "choose the filling")
    try Library.check(H5Pset_obj_track_times(creation.id, false), "leave out times")
    let link = try Handle(sextant_h5_link_creation(), "make properties of links", tensor: name)
    try Library.check(H5Pset_create_intermediate_group(link.id, 1), "choose to make groups")
    let dataset = try Handle(
      unsafe H5Dcreate2(file.id, name, type.id, space.id, link.id, creation.id, 0),
      "make a dataset", tensor: name)
    if dataType == "BF16" { try setText("dtype", "bfloat16", of: dataset.id) }
    guard let offset = Int(exactly: H5Dget_offset(dataset.id)) else {
      throw Library.failure("place a dataset", tensor: name)
    }
    return offset
  }

  /// Sets an attribute to a text.
  private static func setText(
    _ key: String, _ value: String, of object: hid_t
  ) throws(Refusal) {
    let type = try Handle(sextant_h5_text_type(), "make the type of texts")
    let space = try Handle(H5Screate(H5S_SCALAR), "make a shape")
    let attribute = try Handle(
      unsafe H5Acreate2(object, key, type.id, space.id, 0, 0), "make an attribute")
    let status = unsafe value.withCString { text in
      var pointer: UnsafePointer<CChar>? = unsafe text
      return unsafe H5Awrite(attribute.id, type.id, &pointer)
    }
    try Library.check(status, "write an attribute")
  }
}
