import SextantArtifacts
import SextantBytes
import SextantStore
import SextantTensor

/// One small artifact of each kind, of a model of width 4 with 3 blocks.
enum Samples {
  static let model = ModelReference(
    architecture: "mamba", identity: SHA256.digest(Array("model".utf8)), weights: "source",
    width: 4, layerCount: 3, tokenizer: SHA256.digest(Array("tokenizer".utf8)))

  static let residual = SiteReference(name: "blocks.1.output", shape: [4], axes: ["channel"])
  static let state = SiteReference(
    name: "blocks.2.state.ssm", shape: [2, 3], axes: ["channel", "state"])

  /// Numbers without any symmetry.
  static func floats(_ shape: [Int], from start: Int = 0) -> Tensor {
    let count = shape.reduce(1, *)
    return Tensor((0..<count).map { Float(start + $0) * 0.75 - 1 }, shape: shape)
  }

  static func doubles(_ shape: [Int], from start: Int = 0) -> Tensor {
    let count = shape.reduce(1, *)
    return Tensor(doubles: (0..<count).map { Double(start + $0) / 3 }, shape: shape)
  }

  static let steering = trained.artifact
  static let dosed = trained.dosed(
    SteeringVector.Dose(
      layers: 1...1, sites: "residual", strength: -0.5,
      search: ["effect": ["value": 0.25, "interval": [0.125, 0.375]], "seed": "0"])
  ) { $0 == residual }.artifact

  private static let trained = SteeringVector(
    model: model, vectors: [(residual, floats([4])), (state, floats([2, 3], from: 9))],
    training: .init(
      method: "mean", positions: .last,
      data: [
        "form": "pairs-jsonl", "pairs": 2, "sha256": .string(String(repeating: "a", count: 64)),
      ]),
    statistics: [
      "blocks.1.output": ["norm": 1.5, "mean_norm": 2.0, "separation": 0.25]
    ]
  )

  static let moments = Artifact(
    manifest: Manifest(
      kind: Moments.name, kindVersion: Moments.version, model: model, sites: [residual, state],
      details: [
        "classes": ["positive", "negative"], "data": ["pairs": 2], "positions": "last-3",
      ]),
    tensors: ["positive", "negative"].flatMap { name in
      [
        ("blocks.1.output.\(name).count", Tensor(doubles: [7], shape: [])),
        ("blocks.1.output.\(name).mean", doubles([4])),
        ("blocks.1.output.\(name).scatter", doubles([4, 4], from: 5)),
        ("blocks.2.state.ssm.\(name).count", Tensor(doubles: [7], shape: [])),
        ("blocks.2.state.ssm.\(name).mean", doubles([2, 3])),
        ("blocks.2.state.ssm.\(name).squares", doubles([2, 3], from: 5)),
      ]
    })

  static let saved = SavedState(
    model: model, batch: 2, position: 17, components: [(state, floats([2, 2, 3]))]
  ).artifact

  static let difference = SavedState(
    model: model, batch: 1, position: 0, isDifference: true,
    components: [(state, floats([1, 2, 3]))]
  ).artifact

  static let capture = Artifact(
    manifest: Manifest(
      kind: Capture.name, kindVersion: Capture.version, model: model, sites: [residual, state],
      details: ["prompts": 2]),
    tensors: [
      ("tokens", Tensor(integers: [5, 6, 7])), ("row.prompt", Tensor(integers: [0, 0, 1])),
      ("row.position", Tensor(integers: [0, 1, 0])), ("blocks.1.output", floats([3, 4])),
      ("blocks.2.state.ssm", floats([2, 2, 3])),
    ])

  static let captureOfOnePrompt = Artifact(
    manifest: Manifest(
      kind: Capture.name, kindVersion: Capture.version, model: model, sites: [residual, state],
      details: ["prompts": 1]),
    tensors: [
      ("tokens", Tensor(integers: [5, 6, 7])), ("blocks.1.output", floats([3, 4])),
      ("blocks.2.state.ssm", floats([2, 3])),
    ])

  static let heads = SiteReference(
    name: "blocks.0.state.wkv", shape: [2, 3, 2], axes: ["head", "key", "value"])

  private static func numbers(_ count: Int, from start: Int = 0) -> [Double] {
    (0..<count).map { Double(start + $0) / 7 - 1 }
  }

  static let probes = Probe(
    model: model, sites: [heads, residual],
    entries: [
      ProbeEntry(
        site: heads, head: 1, method: "lr", input: .single, direction: numbers(6), bias: 0.25),
      ProbeEntry(
        site: residual, method: "ccs", input: .difference, direction: numbers(4, from: 3),
        eraser: .init(mean: numbers(4), left: numbers(4, from: 5), right: numbers(4, from: 1)),
        scale: -2.5, bias: 1.0 / 3, threshold: 0.5),
      ProbeEntry(
        site: residual, method: "lda-on-pair", input: .joined, direction: numbers(8)),
    ],
    training: .init(
      label: "label", positions: .last, pooling: .each, data: ["records": 9], seed: 4),
    statistics: ["blocks.1.output.ccs": ["loss": 0.125]]
  ).artifact

  static let eraser = ConceptEraser(
    model: model,
    erasers: [
      (
        residual,
        .init(mean: numbers(4), left: numbers(4, from: 5), right: numbers(4, from: 1))
      )
    ],
    positions: .fromLast,
    training: .init(
      label: "label", positions: .last, pooling: .mean, data: ["records": 9], seed: 0),
    statistics: JSONObject()
  ).artifact

  static let embedding = SiteReference(name: "embedding", shape: [4], axes: ["channel"])

  static let lens = Lens(
    model: model,
    translators: [embedding, residual].enumerated().map { index, site in
      (site, Translator(weight: floats([4, 4], from: index), bias: floats([4], from: 20 * index)))
    },
    training: .init(
      method: "tuned", options: ["loss": "kl", "steps": 250], data: ["documents": 2], seed: 42),
    statistics: ["embedding": ["last_loss": 1.25]]
  ).artifact

  static let lensCheckpoint = LensCheckpoint(
    model: model, sites: [residual], step: 7, options: ["loss": "kl"], data: ["documents": 2],
    seed: 42, memories: ["momentum"],
    values: [0, 30].map { [Translator(weight: floats([4, 4], from: $0), bias: floats([4]))] }
  ).artifact

  static let all = [
    "steering": steering, "dosed": dosed, "moments": moments, "state": saved,
    "difference of states": difference,
    "capture": capture,
    "capture of one prompt": captureOfOnePrompt, "probes": probes, "eraser": eraser, "lens": lens,
    "lens checkpoint": lensCheckpoint,
  ]
  static let names = all.keys.sorted()

  static func named(_ name: String) -> Artifact { all[name] ?? steering }
}
