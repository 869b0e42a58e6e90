import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantServing

/// `formats/serving.md` agrees with the program.
@Suite struct PageTests {
  private static let path = PackageFiles.format("serving.md")

  private static func text(_ number: Double) -> String {
    Int(exactly: number).map { "\($0)" } ?? "\(number)"
  }

  /// A field as a row of the page.
  private static func row(_ field: RequestField) -> String {
    let short: [RequestRoute: String] = [
      .completions: "completions", .chat: "chat", .llama: "llama", .tokenize: "tokenize",
      .detokenize: "detokenize",
    ]
    let places = RequestRoute.allCases.compactMap { route -> String? in
      guard let standard = field.defaults[route], let name = short[route] else { return nil }
      return standard == .null ? name : "\(name) \(standard.canonicalText)"
    }
    let value =
      switch field.kind {
      case .integer(Int.min...Int.max): "an integer of 64 bits"
      case .integer(let range): "an integer, \(range.lowerBound) to \(range.upperBound)"
      case .number(let range): "a number, \(text(range.lowerBound)) to \(text(range.upperBound))"
      case .boolean: "true or false"
      case .string(let limit): "a text of at most \(limit) bytes"
      case .value(let text): text
      case .nothing: "anything"
      case .refused(let accepted): accepted
      }
    let meaning =
      switch field.kind {
      case .nothing: "accepted, without effect"
      case .refused: "other values are refused"
      default: field.meaning
      }
    return "| `\(field.name)` | \(value) | \(places.joined(separator: ", ")) | \(meaning) |"
  }

  /// An error as the beginning of a row.
  private static func row(_ word: ServingError.Word) -> String {
    "| \(word.status) | `\(word.rawValue)` |"
  }

  private static func rows(_ page: String, after heading: String) -> [String] {
    page.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
      .drop { $0 != heading }.drop { !$0.hasPrefix("|") }.prefix { $0.hasPrefix("|") }.dropFirst(2)
      .map { String($0) }
  }

  @Test func theTableOfFieldsIsThatOfTheProgram() throws {
    let page = try PackageFiles.text("formats/serving.md")
    #expect(Self.rows(page, after: "## Fields") == RequestField.all.map(Self.row))
  }

  @Test func theTableOfErrorsIsThatOfTheProgram() throws {
    let page = try PackageFiles.text("formats/serving.md")
    let rows = Self.rows(page, after: "## Errors")
    #expect(rows.count == ServingError.Word.allCases.count)
    for (row, word) in zip(rows, ServingError.Word.allCases) {
      #expect(row.hasPrefix(Self.row(word)))
    }
  }

  @Test func theTableOfRoutesIsThatOfTheProgram() async throws {
    let page = try PackageFiles.text("formats/serving.md")
    let named = Self.rows(page, after: "## Routes").flatMap { row in
      row.split(separator: "|")[0].split(separator: "`").filter { $0.contains("/") }.map {
        String($0)
      }
    }
    let own = Service.methods.flatMap { path, methods in methods.map { "\($0) \(path)" } }
    #expect(Set(named) == Set(own + ["GET /v1/models/{id}"]))
    // Each of them exists.
    let served = try Served()
    for route in own {
      let parts = route.split(separator: " ")
      let answer = await served.send(
        ServingRequest(
          String(parts[0]), String(parts[1]), headers: [(name: "Host", value: "localhost:8080")]))
      #expect(answer.status != 404 && answer.status != 405, "\(route)")
    }
  }

  @Test func everyFieldThatActsIsRead() async throws {
    // A value of the wrong type is refused at the field, on every route that has it.
    let served = try Served()
    let rest: [RequestRoute: [(name: String, value: String)]] = [
      .completions: [("prompt", #""a""#), ("max_tokens", "1")],
      .chat: [("messages", #"[{"role": "user", "content": "a"}]"#), ("max_tokens", "1")],
      .llama: [("prompt", #""a""#), ("n_predict", "1")], .tokenize: [("content", #""a""#)],
      .detokenize: [("tokens", "[1]")],
    ]
    for field in RequestField.all where field.kind != .nothing {
      for route in field.defaults.keys {
        // A `prompt` is not read beside `content`.
        let isOther = route == .tokenize && field.name == "prompt"
        let others = rest[route, default: []].filter { $0.name != field.name && !isOther }
        let members = (others + [(field.name, "[{}]")]).map { #""\#($0.name)": \#($0.value)"# }
        let answer = await served.post(route.rawValue, "{\(members.joined(separator: ", "))}")
        #expect((400..<500).contains(answer.status), "\(route) \(field.name): \(answer.text)")
        #expect(
          try answer.error.parameter?.hasPrefix(field.name) == true,
          "\(route) \(field.name): \(answer.text)")
      }
    }
  }
}
