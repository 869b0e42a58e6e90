import Glibc
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTensor
import SextantTokenizers

/// Collects what reporters say of each token: as JSON lines, and as colours on a terminal.
final class TokenTrace: GenerationObserver {
  private let reporters: [(file: AppliedFile, kind: String, reporter: any TokenReporter)]
  private let tokenizer: any Tokenizer
  private let paints: Bool
  private var promptDecoder: StreamingDecoder
  private var decoder: StreamingDecoder
  /// One JSON object for each token that was read.
  private(set) var lines: [JSONObject] = []

  /// Follows these reporters, which must be told of each step before.
  ///
  /// - Parameter paints: write each generated token to standard output, marked by the first
  ///   reporter's tint.
  init(
    _ reporters: [(file: AppliedFile, kind: String, reporter: any TokenReporter)],
    _ tokenizer: any Tokenizer, paints: Bool
  ) {
    self.reporters = reporters
    self.tokenizer = tokenizer
    self.paints = paints
    promptDecoder = StreamingDecoder(tokenizer, continuing: false)
    decoder = StreamingDecoder(tokenizer, continuing: true)
  }

  func wants(_ site: Site) -> Bool { false }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {}

  func didRead(_ step: GenerationStep) -> GenerationVerdict {
    for (token, position) in zip(step.tokens, step.positions) {
      let text = step.isPrompt ? promptDecoder.append(token) : decoder.append(token)
      let reports = reporters.compactMap { file, kind, reporter -> JSONValue? in
        guard let report = reporter.report(at: position) else { return nil }
        return .object(
          JSONObject(
            [("file", .string(file.path)), ("kind", .string(kind))]
              + report.members.map { ($0.key, $0.value) }))
      }
      lines.append(
        JSONObject([
          ("position", JSONValue(position)), ("token", JSONValue(token)),
          ("text", .string(text)), ("prompt", .boolean(step.isPrompt)),
          ("reports", .array(reports)),
        ]))
      if paints, !step.isPrompt {
        let tints = reporters.lazy.compactMap { $0.reporter.tint(at: position) }
        StandardStreams.writeGenerated(text, tint: tints.first)
      }
    }
    return .goOn
  }

  /// The lines as the bytes of a file.
  var bytes: [UInt8] {
    Array(lines.map { JSONValue.object($0).canonicalText + "\n" }.joined().utf8)
  }
}
