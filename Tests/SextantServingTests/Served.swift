import Sextant
import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantServing

/// A service of the demo model, and its answers.
struct Served: Sendable {
  /// The folder of the model and its artifacts.
  static let folder = TemporaryFolder.shared.makeFolder("serving")
  /// The model, converted once.
  static let model: LoadedModel = {
    do {
      let path = "\(folder)/demo.sxt"
      try LoadedModel.convert(PackageFiles.fixture("demo-model/model.safetensors"), to: path)
      return try LoadedModel(path)
    } catch {
      fatalError("\(error)")
    }
  }()
  /// Artifacts of the model: vectors `joy` (from the last token on), `all` (every token), `answer` (generated
  /// tokens) and `inside` (the state), probes `truth`, and a vector of another model, `stranger`.
  static let artifacts: String = {
    let folder = TemporaryFolder.shared.makeFolder("serving-artifacts")
    do {
      let vectors: [(String, [String], PositionSelection, UInt64)] = [
        ("joy", ["residual"], .fromLast, 1), ("all", ["residual"], PositionSelection([.all]), 2),
        ("answer", ["residual"], PositionSelection([.generated]), 3),
        ("inside", ["state"], PositionSelection([.all]), 4),
      ]
      for (name, sites, positions, seed) in vectors {
        try SteeringVector.random(model, sites, positions, seed: seed).write(
          to: "\(folder)/\(name).steer.safetensors")
      }
      try SteeringVector.random(model, ["residual"], .fromLast, seed: 5, ofOther: true).write(
        to: "\(folder)/stranger.steer.safetensors")
      try Probe.random(model).write(to: "\(folder)/truth.probe.safetensors")
    } catch {
      fatalError("\(error)")
    }
    return folder
  }()

  let service: Service

  /// A service.
  init(_ change: (inout ServiceOptions) -> Void = { _ in }) throws {
    var options = ServiceOptions(modelName: "demo")
    options.artifactsFolder = Self.artifacts
    options.hosts = ["localhost:8080", "127.0.0.1:8080"]
    // Other suites may keep the processors busy for minutes.
    options.secondsPerRequest = 3600
    options.secondsOfRest = 3600
    change(&options)
    service = try Service(Self.model, options)
  }

  /// An answer that is complete.
  struct Answer: Sendable {
    let status: Int
    let headers: [(name: String, value: String)]
    let bytes: [UInt8]

    /// The text of the body.
    var text: String { String(decoding: bytes, as: UTF8.self) }
    /// The body as JSON.
    var json: JSONNode { get throws { try JSONNode(parsing: bytes, code: .dataRecord, file: nil) } }
    /// The chunks of a stream.
    var chunks: [JSONNode] {
      get throws {
        try text.split(separator: "\n\n").filter { $0.hasPrefix("data: {") }.map {
          try JSONNode(parsing: Array($0.utf8.dropFirst(6)), code: .dataRecord, file: nil)
        }
      }
    }

    func header(_ name: String) -> String? {
      headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    /// The code and the field of an error.
    var error: (code: String?, parameter: String?) {
      get throws {
        let error = try json.member("error")
        return (
          try error.optionalMember("code")?.string(), try error.optionalMember("param")?.string()
        )
      }
    }
  }

  /// Sends a request and reads all of the answer.
  func send(_ request: ServingRequest) async -> Answer {
    let response = await service.respond(to: request)
    var bytes: [UInt8] = []
    switch response.body {
    case .bytes(let all): bytes = all
    case .pieces(let pieces): while let piece = await pieces.next() { bytes += piece }
    }
    return Answer(status: response.status, headers: response.headers, bytes: bytes)
  }

  /// Waits until the engine's figures are as they must be. Other suites may keep the processors busy for minutes.
  func wait(_ event: Comment, until isReached: (Metrics.Figures) -> Bool) async throws {
    for _ in 0..<100_000 where !isReached(service.engine.metrics.current) {
      try await Task.sleep(for: .milliseconds(5))
    }
    try #require(isReached(service.engine.metrics.current), event)
  }

  /// Takes all of the engine's room without work: its texts rest, because nobody reads these streams. Other
  /// requests wait until the streams are cancelled.
  func hold() async throws -> [any ServingPieces] {
    let parallel = service.options.parallel
    var streams: [any ServingPieces] = []
    for count in 1...parallel * Engine.restingFactor {
      let response = await service.respond(
        to: ServingRequest(
          "POST", "/v1/completions", headers: [("Host", "localhost:8080")],
          body: Array(
            #"{"prompt": "The", "max_tokens": 100000, "stream": true, "ignore_eos": true}"#.utf8)))
      guard case .pieces(let stream) = response.body else {
        Issue.record("no stream")
        break
      }
      streams.append(stream)
      try await wait("a text starts") { $0.starts == count }
    }
    return streams
  }

  /// Posts JSON.
  func post(_ path: String, _ body: String) async -> Answer {
    await send(
      ServingRequest(
        "POST", path, headers: [("Host", "localhost:8080"), ("Content-Type", "application/json")],
        body: Array(body.utf8)))
  }

  /// Gets a path.
  func get(_ path: String) async -> Answer {
    await send(ServingRequest("GET", path, headers: [("Host", "localhost:8080")]))
  }

  /// The choices of a completion.
  func complete(_ body: String) async throws -> [JSONNode] {
    let answer = await post("/v1/completions", body)
    try #require(answer.status == 200, "\(answer.text)")
    return try answer.json.member("choices").elements()
  }

  /// The text of the first choice.
  func text(_ body: String) async throws -> String {
    try await complete(body)[0].member("text").string()
  }
}

extension JSONNode {
  /// The value at a path of keys and indices.
  func at(_ path: String...) throws -> JSONValue {
    var node = self
    for key in path {
      if let index = Int(key), case .array = node.value {
        node = try node.elements()[index]
      } else {
        guard let next = try node.optionalMember(key) else { return .null }
        node = next
      }
    }
    return node.value
  }

  /// Numbers; NaN for null.
  func numbers() throws -> [Double] {
    try elements().map { $0.value == .null ? .nan : try $0.number() }
  }
}

extension SteeringVector {
  static func random(
    _ model: LoadedModel, _ words: [String], _ positions: PositionSelection, seed: UInt64,
    ofOther: Bool = false
  ) throws -> SteeringVector {
    var generator = SextantTestSupport.SplitMix64(seed: seed)
    let sites = try model.description.sites(named: words)
    let own = model.reference
    let reference =
      ofOther
      ? ModelReference(
        architecture: own.architecture, identity: SHA256.digest([1]), weights: own.weights,
        width: own.width, layerCount: own.layerCount, tokenizer: own.tokenizer) : own
    return SteeringVector(
      model: reference,
      vectors: sites.map { site in
        (site.reference, Tensor(generator.floats(site.elementCount), shape: site.shape))
      }, positions: positions,
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }
}

extension Probe {
  static func random(_ model: LoadedModel) throws -> Probe {
    var random = SextantTestSupport.SplitMix64(seed: 6)
    let sites = try model.description.sites(named: ["blocks.2.output"])
    return Probe(
      model: model.reference, sites: sites.map(\.reference),
      entries: sites.map { site in
        ProbeEntry(
          site: site.reference, method: "lr", input: .single,
          direction: random.floats(site.elementCount).map { Double($0) })
      },
      training: .init(
        label: "label", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
  }
}
