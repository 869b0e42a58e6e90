import SextantBytes
import SextantGeneration
import SextantModels

/// What a run asks for: `POST /sextant/v1/runs`.
struct RunRequest {
  /// A branch to make.
  struct Wish {
    var name: String
    var steering: Steering
  }

  /// Where the run starts.
  enum Start {
    case prompt([Int], from: State?)
    case fork(run: String, branch: String, position: Int, inserted: [Int])
  }

  /// Tokens of a branch at most.
  static let countLimit = 4096
  /// Branches of a run at most.
  static let branchLimit = 8

  /// The fields, which `formats/runs.md` describes.
  static let members: Set<String> = [
    "prompt", "state", "from", "insert", "token", "max_tokens", "temperature", "top_p", "top_k",
    "min_p",
    "seed", "ignore_eos", "report", "branches",
  ]

  let start: Start
  let options: GenerationOptions
  let branches: [Wish]
  let reports: Reports
  /// The lens of the reports: its name and whether it is the one without training; nil for none.
  let lens: (name: String, isRaw: Bool)?

  /// Reads a body.
  ///
  /// - Throws: `json.*`, `usage.option`, and what the artifacts are refused for.
  init(_ body: [UInt8], _ service: Service) throws {
    let value = try JSONValue(parsing: body, limits: RequestBody.limits, keepsVerbatim: true)
    let node = JSONNode(value, code: .usageOption, file: nil)
    try node.allowOnly(keys: Self.members)
    start = try Self.start(node, service)
    let number = { (name: String, range: ClosedRange<Double>, standard: Double) throws(Refusal) in
      Float(try node.optionalMember(name)?.requestNumber(in: range) ?? standard)
    }
    let sampling = try SamplingOptions(
      temperature: number("temperature", 0...100, 0.8),
      topK: node.optionalMember("top_k")?.requestInteger(in: 0...1_000_000) ?? 0,
      topP: max(number("top_p", 0...1, 1), 1e-9), minP: number("min_p", 0...1, 0),
      seed: UInt64(
        bitPattern: Int64(node.optionalMember("seed")?.requestInteger(in: Int.min...Int.max) ?? 0)))
    let count = try node.optionalMember("max_tokens")?.requestInteger(in: 1...Self.countLimit) ?? 64
    options = GenerationOptions(
      tokenCount: count, sampling: sampling,
      stopsAtEnd: !(try node.optionalMember("ignore_eos")?.boolean() ?? false),
      completesState: true)
    let report = try node.optionalMember("report")
    let reports = try report.map { try Reports($0, service.shelf) } ?? Reports()
    self.reports = reports
    lens = reports.items.indices.last.flatMap { place in
      guard case .lens = reports.items[place] else { return nil }
      return (reports.names[place], reports.names[place] == NamedLens.logit.name)
    }
    branches = try Self.branches(node.optionalMember("branches"), service)
  }

  private static func start(_ node: JSONNode, _ service: Service) throws -> Start {
    let from = try node.optionalMember("from")
    let prompt = try node.optionalMember("prompt")
    guard (from == nil) != (prompt == nil) else {
      throw ServingError(
        400, "usage.option", "A run needs one of `prompt` and `from`.", parameter: "prompt")
    }
    guard let from else {
      let state = try node.optionalMember("state").map { try service.savedState($0) }
      for name in ["insert", "token"] where try node.optionalMember(name) != nil {
        throw ServingError(400, "usage.option", "`\(name)` needs `from`.", parameter: name)
      }
      return .prompt(try ids(prompt, continuing: state, service), from: state)
    }
    try from.allowOnly(keys: ["run", "branch", "position"])
    if try node.optionalMember("state") != nil {
      throw ServingError(400, "usage.option", "`state` needs `prompt`.", parameter: "state")
    }
    var inserted: [Int] = []
    if let token = try node.optionalMember("token") {
      inserted.append(try token.requestInteger(in: 0...service.vocabularySize - 1))
    }
    if let text = try node.optionalMember("insert") {
      inserted += try service.tokenizer.encodeText(try text.string(), continues: true)
    }
    return .fork(
      run: try from.member("run").string(), branch: try from.member("branch").string(),
      position: try from.member("position").requestInteger(in: 0...Int.max), inserted: inserted)
  }

  private static func ids(
    _ prompt: JSONNode?, continuing state: State?, _ service: Service
  ) throws -> [Int] {
    guard let prompt else { return [] }
    var ids: [Int] = []
    if case .array = prompt.value {
      ids = try prompt.ids(below: service.vocabularySize, limit: Reports.promptLimit)
    } else {
      ids = try service.tokenizer.encodeText(try prompt.string(), continues: state != nil)
    }
    guard ids.count <= min(Reports.promptLimit, service.options.maximumPrompt) else {
      throw prompt.refusal(
        found: counted(ids.count, "token"), expected: "at most \(Reports.promptLimit)")
    }
    if ids.isEmpty, let end = service.tokenizer.endOfTextIDs.first { ids = [end] }
    guard !ids.isEmpty else { throw prompt.refusal(expected: "a text of at least one token") }
    return ids
  }

  private static func branches(_ node: JSONNode?, _ service: Service) throws -> [Wish] {
    guard let node else { return [Wish(name: "A", steering: try service.defaultSteering())] }
    let elements = try node.elements()
    guard (1...branchLimit).contains(elements.count) else {
      throw node.refusal(
        found: counted(elements.count, "branch"), expected: "1 to \(branchLimit)")
    }
    var wishes: [Wish] = []
    for element in elements {
      try element.allowOnly(keys: ["name", "steering"])
      let nameNode = try element.member("name")
      let name = try nameNode.string()
      guard ArtifactShelf.isName(name), !wishes.contains(where: { $0.name == name }) else {
        throw nameNode.refusal(
          expected: "a name of its own, of letters, digits, dots, hyphens and underscores")
      }
      let steering = try element.optionalMember("steering").map {
        try service.steeringReader.steering($0)
      }
      wishes.append(Wish(name: name, steering: try steering ?? service.defaultSteering()))
    }
    return wishes
  }
}
