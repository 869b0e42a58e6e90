/// A refusal: the fault of an input, its place, and the remedy.
///
/// Every reader, writer and loader of the project refuses with this one type, so that programs can
/// rely on `code` (never changed, listed in `formats/refusal-codes.md`) and people can rely on
/// the message naming the file first and the remedy last.
public struct Refusal: Error, Sendable, Equatable {
  /// A position inside a file, in the terms of its format.
  public enum Place: Sendable, Equatable {
    /// A byte offset from the file's start.
    case offset(Int)
    /// A tensor's name.
    case tensor(String)
    /// A JSON pointer (RFC 6901) into a JSON header or document.
    case pointer(String)
    /// A line of a text file, counted from 1.
    case line(Int)
    /// A parameter of a function, such as `layers`. The command line shows its option in its place.
    case parameter(String)
    /// An option of the command line.
    case option(String)
    /// A key of a file's metadata.
    case key(String)
  }

  /// The kind of the refusal.
  public var code: Code
  /// The file that was refused, as the user named it.
  public var file: String?
  /// The place in the file.
  public var place: Place?
  /// The value that was found.
  public var found: String
  /// The value that would have been accepted.
  public var expected: String
  /// The action that helps the user.
  public var remedy: String

  /// Creates a refusal; without a `remedy` the code's general one is used.
  public init(
    _ code: Code, file: String? = nil, at place: Place? = nil, found: String, expected: String,
    remedy: String? = nil
  ) {
    self.code = code
    self.file = file
    self.place = place
    self.found = found
    self.expected = expected
    self.remedy = remedy ?? code.remedy
  }

  /// The exit status of a command that ends with this refusal (sysexits.h).
  package var exitStatus: Int32 { code.exitStatus }

  /// The same refusal, with the file filled in if it was not known.
  package func inFile(_ path: String) -> Refusal {
    var copy = self
    if copy.file == nil { copy.file = path }
    return copy
  }
}
