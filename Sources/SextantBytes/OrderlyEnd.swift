import CProcessEnd

/// How a program ends by failures that no caller can handle: with a refusal instead of a signal.
///
/// Such failures are memory that the Swift runtime asks for and does not get, a mapped file that is
/// cut, and a library that cannot be loaded.
package enum OrderlyEnd {
  /// The exit status of these refusals.
  private static let exitStatus: Int32 = 74

  /// Makes the process end in order from now on. Call it once, before other threads start.
  ///
  /// - Parameter cleanup: runs before the process ends; limited to calls that are safe in a signal
  ///   handler.
  package static func prepare(cleanup: @convention(c) () -> Void) {
    let memory = parts(
      Refusal(.systemMemory, found: "no memory for \(mark) bytes more", expected: "more memory")
    )
    let file = parts(
      Refusal(
        .fileChanged, file: mark, found: "a file that was truncated while it was in use",
        expected: "the file as it was opened",
        remedy: "Replace the file with mv instead of truncating it, then try again."))
    let library = parts(
      Refusal(
        .systemLibrary, found: mark, expected: "libopenblas.so.0",
        remedy: "Install OpenBLAS (Debian: libopenblas0)."))
    unsafe withCStrings(memory + file + library) { texts in
      var endings = sextant_endings()
      unsafe endings.memory = (texts[0], texts[1])
      unsafe endings.file = (texts[2], texts[3])
      unsafe endings.library = (texts[4], texts[5])
      endings.status = exitStatus
      endings.cleanup = cleanup
      sextant_end_in_order(endings)
    }
  }

  /// The placeholder in a message for a value that is known only at the end.
  private static let mark = "@"

  /// A refusal as it is printed, before and after the mark.
  private static func parts(_ refusal: Refusal) -> [String] {
    "Error: \(refusal)\n".split(separator: "@", maxSplits: 1).map(String.init)
  }

  private static func withCStrings(
    _ texts: [String], _ body: ([UnsafePointer<CChar>?]) -> Void
  ) {
    let copies = texts.map { Array($0.utf8CString) }
    func next(_ pointers: [UnsafePointer<CChar>?]) {
      guard unsafe pointers.count < copies.count else { return unsafe body(pointers) }
      unsafe copies[pointers.count].withUnsafeBufferPointer { buffer in
        unsafe next(pointers + [buffer.baseAddress])
      }
    }
    unsafe next([])
  }
}
