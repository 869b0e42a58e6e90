import Glibc
import SextantBytes

/// Reads one HDF5 file for the main process, or makes the layout of a new one, confined, as
/// `HDF5ReaderMessage` specifies.
///
/// Nobody calls it by hand: descriptor 3 must be the open file. Two arguments, an offset and a
/// number of bytes, name the part of it that is the HDF5 file, if that is not all of it. The
/// argument `write` asks for a new file there. A last argument `unconfined` accepts a kernel that
/// cannot filter system calls.
@main
struct SextantHDF5 {
  static func main() {
    var status = stat()
    guard isatty(1) == 0, unsafe fstat(Confinement.fileDescriptor, &status) == 0 else {
      let text = "sextant-hdf5 reads HDF5 files for sextant, which starts it: see sextant --help\n"
      _ = unsafe write(2, text, text.utf8.count)
      exit(Refusal.Code.usageOption.exitStatus)
    }
    var arguments = Array(CommandLine.arguments.dropFirst())
    let isTrusted = arguments.last == HDF5ReaderMessage.unconfinedArgument
    if isTrusted { arguments.removeLast() }
    let window = Self.window(arguments[...], of: Int(status.st_size))
    let channel = Channel()
    do throws(Refusal) {
      if arguments == ["write"] {
        try FileWriter.serve(channel)
      } else {
        try serve(channel, window, isTrusted: isTrusted)
      }
    } catch {
      channel.send(.refusal(error.bounded))
    }
    // The library's own clean-up has crashed on damaged files: the kernel's is enough.
    _exit(0)
  }

  private static func window(
    _ arguments: ArraySlice<String>, of fileByteCount: Int
  ) -> Confinement.Window {
    let numbers = arguments.compactMap { Int($0) }
    guard numbers.count == 2, arguments.count == 2, numbers.allSatisfy({ $0 >= 0 }),
      numbers[0] <= fileByteCount, numbers[1] <= fileByteCount - numbers[0]
    else { return Confinement.Window(start: 0, byteCount: fileByteCount) }
    return Confinement.Window(start: numbers[0], byteCount: numbers[1])
  }

  static func serve(
    _ channel: Channel, _ window: Confinement.Window, isTrusted: Bool
  ) throws(Refusal) {
    try Confinement.begin(fileByteCount: window.byteCount, isRequired: !isTrusted)
    channel.send(.hello(version: HDF5ReaderMessage.version))

    try Superblock.check(window)
    let file = try HDF5File(window)
    var listing = Listing()
    try listing.read(file)
    Confinement.allowMemory(forPiecesOf: listing.largestPieceByteCount)

    channel.send(.layout(listing.layout))
    for attribute in listing.metadata {
      channel.send(.metadata(key: attribute.key, value: attribute.value))
    }
    for note in listing.notes { channel.send(.note(note)) }
    for dataset in listing.datasets {
      channel.send(
        .tensor(name: dataset.name, dataType: dataset.element.name, shape: dataset.shape))
    }
    channel.send(.end(tensorCount: listing.datasets.count))

    while let index = channel.nextRequest() {
      guard listing.datasets.indices.contains(index) else { return }
      try DatasetReader.send(listing.datasets[index], of: file, to: channel)
    }
  }
}

extension Refusal {
  /// The same refusal with texts cut to the limit of a message.
  var bounded: Refusal {
    var copy = self
    copy.found = printable(found)
    copy.expected = printable(expected)
    if case .tensor(let name)? = place { copy.place = .tensor(printable(name)) }
    return copy
  }
}
