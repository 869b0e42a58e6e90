import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore

/// What steers a text: the items, and a key that is equal for equal steering.
struct Steering {
  /// The items that edit.
  var items: [Intervention] = []
  /// What each item is, for people: `joy:2`.
  var names: [String] = []
  /// Equal keys mean equal edits; it contains the versions of the files.
  var key = ""
  /// What edits depend on, besides the tokens that were read before them.
  var dependence = Dependence.nothing

  /// What edits depend on: of the edits of several items, the largest.
  enum Dependence: Int, Comparable {
    /// The state after a prefix is the same in every prompt with that prefix.
    case nothing
    /// Where the prompt ends.
    case promptEnd
    /// Scores of a probe.
    case scores
    /// The prediction at the end of the prompt, from which a strength in nats is found.
    case prediction

    static func < (a: Dependence, b: Dependence) -> Bool { a.rawValue < b.rawValue }
  }
}

/// Reads the forms of steering: texts of the command line, and objects.
struct SteeringReader {
  let shelf: ArtifactShelf

  /// Steering by texts such as `joy:2`.
  func steering(_ texts: [String], parameter: String) throws -> Steering {
    var steering = Steering()
    for (place, text) in texts.enumerated() {
      let path = texts.count == 1 ? parameter : "\(parameter)[\(place)]"
      try add(applied(text, path), ApplyingOptions(), text, to: &steering)
    }
    return steering
  }

  /// Steering by the field of a request: a text, a list of texts, or an object with `vectors`.
  func steering(_ node: JSONNode) throws -> Steering {
    switch node.value {
    case .string(let text): return try steering(parts(text), parameter: "steering")
    case .array:
      var texts: [String] = []
      for element in try node.elements() { texts.append(try element.string()) }
      return try steering(texts, parameter: "steering")
    case .object:
      var steering = Steering()
      try node.allowOnly(keys: ["vectors", "conflict"])
      try node.accept("conflict", ["sum"])
      let vectors = try node.member("vectors").elements()
      for (place, vector) in vectors.enumerated() {
        try add(vector, "steering.vectors[\(place)]", to: &steering)
      }
      return steering
    default:
      throw node.refusal(
        expected: "a text such as \"joy:2\", a list of such texts, or an object with `vectors`")
    }
  }

  /// The parts of `joy:2+calm:-1`. A plus sign after a colon belongs to a number.
  func parts(_ text: String) -> [String] {
    var parts = [""]
    for character in text {
      if character == "+", parts[parts.count - 1].last != ":" {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts
  }

  /// An artifact and its strength, as the command line writes them.
  private func applied(
    _ text: String, _ parameter: String
  ) throws -> (applied: AppliedArtifact, key: String) {
    let file: AppliedFile
    do throws(Refusal) {
      file = try AppliedFile(written: text)
    } catch {
      let isEmpty = text.isEmpty || text.hasPrefix(":")
      throw ServingError(
        .option,
        isEmpty
          ? "found no name, expected the name of an artifact, such as `joy` or `joy:2`."
          : "found \(printable(error.found, limit: 80)), expected \(error.expected): name an "
            + "artifact, such as `joy:2`.",
        parameter: parameter)
    }
    if !file.hasStrength, let colon = text.lastIndex(of: ":"),
      ArtifactShelf.isName(String(text[..<colon]))
    {
      throw ServingError(
        .option,
        "found the strength \"\(printable(String(text[text.index(after: colon)...]), limit: 80))\", "
          + "expected a number, such as 2, 10% or 0.1nats, or one for each block, such as 3=1.5,5-7=0.5",
        parameter: parameter)
    }
    let (artifact, key) = try shelf.artifact(file.path, parameter: parameter)
    let strength = file.strength
    return try (
      refusing(parameter) { () throws(Refusal) in
        try AppliedArtifact(
          artifact, strength: file.hasStrength ? strength.value : nil,
          layerStrengths: strength.layers, unit: strength.unit, named: file.path)
      }, key
    )
  }

  private func add(_ node: JSONNode, _ path: String, to steering: inout Steering) throws {
    try node.allowOnly(keys: [
      "source", "algorithm", "scale", "layers", "normalize", "apply", "params", "unit",
      "positions", "state_positions", "operation", "when",
    ])
    try node.accept("algorithm", ["direct"])
    if let params = try node.optionalMember("params"), try !params.object().members.isEmpty {
      throw params.refusal(expected: "no parameters")
    }
    if let flag = try node.optionalMember("normalize"), try flag.boolean() {
      throw flag.refusal(expected: "false; `unit` can be \"share\"")
    }
    var options = ApplyingOptions()
    options.layers = try layers(of: node)
    options.positions = try positions(node, "positions") ?? applyPositions(of: node)
    options.statePositions = try positions(node, "state_positions")
    options.operation = try node.optionalMember("operation").map { node in
      guard let operation = SteeringVector.Operation(rawValue: try node.string()) else {
        let names = SteeringVector.Operation.allCases.map { "\"\($0.rawValue)\"" }
        throw node.refusal(expected: "one of \(names.joined(separator: ", "))")
      }
      return operation
    }
    options.condition = try node.optionalMember("when").map { try condition($0, "\(path).when") }
    let unit = try node.optionalMember("unit").map { node in
      guard let unit = SteeringOptions.Unit(rawValue: try node.string()) else {
        throw node.refusal(expected: "\"raw\", \"share\" or \"nats\"")
      }
      return unit
    }
    let source = try node.member("source").string()
    let (artifact, key) = try shelf.artifact(source, parameter: "\(path).source")
    let scale = try node.optionalMember("scale").map {
      Float(try $0.requestNumber(in: -1e30...1e30))
    }
    let applied = try refusing(path) { () throws(Refusal) in
      try AppliedArtifact(artifact, strength: scale, unit: unit ?? .raw, named: source)
    }
    try add((applied, key), options, node.value.canonicalText, to: &steering, path: path)
  }

  private func add(
    _ source: (applied: AppliedArtifact, key: String), _ options: ApplyingOptions, _ text: String,
    to steering: inout Steering, path: String = "steering"
  ) throws {
    guard source.applied.edits else {
      throw ServingError(
        .artifactKind,
        "\"\(source.applied.name)\" is a \(source.applied.artifact.manifest.kind), which edits nothing. "
          + "Ask for its reports with `sextant`.", parameter: path)
    }
    let items = try refusing(path) { () throws(Refusal) in
      try Interventions(applying: [source.applied], options).items
    }
    steering.items += items
    steering.names.append(text)
    steering.key += "\(source.key) \(text)\n"
    steering.dependence = items.map(\.dependence).reduce(steering.dependence, max)
  }

  // MARK: Members of an object

  private func layers(of node: JSONNode) throws -> LayerSelection? {
    guard let layers = try node.optionalMember("layers") else { return nil }
    if case .string(let text) = layers.value {
      guard let selection = LayerSelection(text) else {
        throw layers.refusal(expected: "blocks, such as \"3\" or \"2-5\"")
      }
      return selection
    }
    var parts: [ClosedRange<Int>] = []
    for element in try layers.elements() {
      let layer = try element.requestInteger(in: 0...1_000_000)
      parts.append(layer...layer)
    }
    guard !parts.isEmpty else { throw layers.refusal(expected: "at least one block") }
    return LayerSelection(parts: parts)
  }

  private func positions(_ node: JSONNode, _ name: String) throws -> PositionSelection? {
    guard let own = try node.optionalMember(name) else { return nil }
    guard let selection = PositionSelection(try own.string()) else {
      throw own.refusal(expected: "positions, such as \"all\", \"last,generated\" or \"every-3\"")
    }
    return selection
  }

  /// EasySteer's form: which tokens of the prompt, and which of the answer.
  private func applyPositions(of node: JSONNode) throws -> PositionSelection? {
    guard let apply = try node.optionalMember("apply") else { return nil }
    guard try node.optionalMember("positions") == nil else {
      throw apply.refusal(expected: "one of `apply` and `positions`")
    }
    try apply.allowOnly(keys: ["prompt", "generation"])
    try apply.accept("prompt", ["all", "last"])
    try apply.accept("generation", ["all"])
    let prompt = try apply.optionalMember("prompt")?.string()
    let generation = try apply.optionalMember("generation")?.string()
    var parts: [PositionSelection.Part] = []
    if prompt == "all" { parts.append(generation == nil ? .prompt : .all) }
    if prompt == "last" { parts.append(.last(count: 1)) }
    if generation == "all", prompt != "all" { parts.append(.generated) }
    guard !parts.isEmpty else { throw apply.refusal(expected: "`prompt`, `generation` or both") }
    return PositionSelection(parts)
  }

  private func condition(_ node: JSONNode, _ parameter: String) throws -> ScoreCondition {
    guard let written = ProbeCondition(argument: try node.string()) else {
      throw node.refusal(expected: "a probe and a bound, such as \"truth#NAME<0\"")
    }
    let (artifact, _) = try shelf.artifact(written.path, parameter: parameter)
    return try refusing(parameter) { () throws(Refusal) in
      try written.condition(of: Probe(artifact), as: "when", allowingOther: false)
    }
  }
}

/// Runs `body`; a refusal becomes one of a field.
func refusing<Value>(
  _ parameter: String, _ body: () throws(Refusal) -> Value
) throws(ServingError) -> Value {
  do throws(Refusal) { return try body() } catch { throw ServingError(error, parameter: parameter) }
}

extension Intervention {
  /// What its edits depend on.
  fileprivate var dependence: Steering.Dependence {
    switch self {
    case .steer(let applied):
      if applied.options.unit == .nats { return .prediction }
      if applied.gate != nil { return .scores }
      return applied.options.dependence(orElse: applied.vector.positions)
    case .erase(let applied):
      if applied.gate != nil { return .scores }
      return applied.options.dependence(orElse: applied.eraser.positions)
    default: return .prediction
    }
  }
}

extension SteeringOptions {
  fileprivate func dependence(orElse own: PositionSelection) -> Steering.Dependence {
    let isFree = [positions ?? own, statePositions ?? positions ?? own].allSatisfy { selection in
      selection.parts.allSatisfy { part in
        switch part {
        case .all, .token: true
        case .index(let index): index >= 0
        case .window(let first, _): first >= 0
        case .prompt, .generated, .last, .firstGenerated, .every: false
        }
      }
    }
    return isFree ? .nothing : .promptEnd
  }
}

extension JSONNode {
  /// Refuses members other than these, at the place of the first of them.
  func allowOnly(keys: Set<String>) throws(Refusal) {
    for (key, node) in try members() where !keys.contains(key) {
      throw node.refusal(
        found: "an unknown member \"\(printable(key, limit: 80))\"",
        expected: "only \(keys.sorted().joined(separator: ", "))")
    }
  }

  /// Refuses a member whose text is none of these.
  func accept(_ key: String, _ values: [String]) throws(Refusal) {
    guard let node = try optionalMember(key) else { return }
    guard values.contains(try node.string()) else {
      throw node.refusal(expected: values.map { "\"\($0)\"" }.joined(separator: " or "))
    }
  }
}
