import Glibc
import SextantBytes
import SextantTestSupport
import Testing

/// The page of all refusal codes agrees with the program.
///
/// `SEXTANT_UPDATE_FORMATS=1 swift test --filter refusalCodesPage` writes it again.
@Test func refusalCodesPageIsUpToDate() throws {
  let path = PackageFiles.format("refusal-codes.md")
  let page = Array(refusalCodesPage().utf8)
  if getenv("SEXTANT_UPDATE_FORMATS") != nil {
    try FilePublisher.publish(page, to: path, replacing: true)
  }
  let written = try InputFile(path).readAll(limit: 1 << 20)
  #expect(written == page, "set SEXTANT_UPDATE_FORMATS=1 to write formats/refusal-codes.md again")
}

private let sections = [
  "file": "Any file", "disk": "Writing", "limit": "Limits", "system": "System",
  "json": "JSON",
  "st": "safetensors", "index": "Sharded index", "h5": "HDF5", "pth": "PyTorch",
  "zip": "Other zip archives", "npy": "NumPy", "gguf": "GGUF",
  "model": "Model match", "tokenizer": "Tokenizer", "store": "Native model",
  "artifact": "Artifacts", "text": "Text files", "data": "Training data", "chat": "Conversations",
  "usage": "Usage",
]

private func refusalCodesPage() -> String {
  var page = """
    # Refusal codes

    A refusal of Sextant has one code of this list. It also has the file, the place in it, what was found,
    what is expected, and a remedy. The meaning of a published code never changes. A test compares this
    page with the list in the program.

    A word in backticks in the last column, such as `layers`, is a parameter of the library. The command
    line shows its option in its place, such as `--layers`.

    Exit statuses (sysexits.h): 64 wrong usage, 65 bad data, 66 no input, 73 cannot create the
    destination, 74 input or output error, or something that the system lacks.

    """
  var prefix: Substring = ""
  for code in Refusal.Code.allCases {
    let own = code.rawValue.prefix { $0 != "." }
    if own != prefix {
      prefix = own
      page += """

        ## \(sections[String(own)] ?? String(own))

        | code | exit | what is wrong | general remedy |
        | --- | --- | --- | --- |

        """
    }
    page += "| `\(code.rawValue)` | \(code.exitStatus) | \(code.summary) | \(code.remedy) |\n"
  }
  return page
}
