import ArgumentParser
import Glibc
import SextantBytes
import SextantTokenizers

/// Measures how fast texts are encoded, and the tokenizers package on the same texts.
struct TokenizersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizers",
    abstract: "Encodes the 10,000 lines of the fixtures, and with the tokenizers package.",
    discussion: """
      The vocabulary is that of splits-tiny.json, with each of the pre-tokenizers of splits.json. \
      Both sides run in one thread. A ratio above 1 means that Sextant is faster.
      """)

  @Option(help: "The folder fixtures/tokenizer.")
  var fixtures = "../fixtures/tokenizer"

  @Option(help: "Only the pre-tokenizers whose name contains this. May be repeated.")
  var only: [String] = []

  @OptionGroup var bench: Workbench

  func run() throws {
    bench.begin()
    mkdir(bench.cache, 0o755)
    let texts = try lines()
    let base = try object("splits-tiny.json")
    var table = Table(["", "median (min–max)", "Sextant, lines/s", "tokenizers, lines/s"])
    for (name, value) in try object("splits.json").members where isWanted(name) {
      guard case .object(let entry) = value, let steps = entry["pre_tokenizer"] else { continue }
      var file = base
      file["pre_tokenizer"] = steps
      let path = "\(bench.cache)/tokenizer.json"
      let bytes = Array(JSONValue.object(file).prettyText.utf8)
      try FilePublisher.publish(bytes, to: path, replacing: true)
      let tokenizer = try Tokenizers.load(bytes: bytes, file: path)
      let peer = try bench.peers.tokenizers(path, lines: fixtures + "/lines.jsonl")
      var (ours, theirs) = (Samples(), Samples())
      for round in 0...bench.rounds {
        let begin = Moment()
        let count = texts.reduce(0) { $0 + tokenizer.encode($1).count }
        let seconds = begin.elapsed.seconds
        let answer = try peer.ask([:])
        guard try answer.member("ids").integer(in: 0...Int.max) == count else {
          throw MeasurementFailure("\(name): the sides find different numbers of ids")
        }
        if round > 0 {
          ours.add(Double(texts.count) / seconds)
          theirs.add(Double(texts.count) / (try answer.member("seconds").number()))
        }
      }
      table.add([
        name, ours.ratios(to: theirs).text, shortText(ours.median), shortText(theirs.median),
      ])
    }
    print(table.text)
  }

  private func isWanted(_ name: String) -> Bool {
    only.isEmpty || only.contains { name.contains($0) }
  }

  private func lines() throws -> [String] {
    try bytes(of: "lines.jsonl").split(separator: UInt8(ascii: "\n")).map { line in
      // The reader wants an object.
      let object = Array("{\"text\":".utf8) + line + Array("}".utf8)
      return try JSONNode(parsing: object, code: .jsonInvalid, file: nil).member("text").string()
    }
  }

  private func object(_ name: String) throws -> JSONObject {
    let node = try JSONNode(parsing: bytes(of: name), code: .jsonInvalid, file: name)
    guard case .object(let object) = node.value else {
      throw MeasurementFailure("no object in \(name)")
    }
    return object
  }

  private func bytes(of name: String) throws -> [UInt8] {
    try InputFile("\(fixtures)/\(name)").readAll(limit: 1 << 26)
  }
}
