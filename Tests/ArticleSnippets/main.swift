import Sextant

// The code of the pages in `Sources/Sextant/Sextant.docc` that is no program of `Examples/`. `ArticleTests` compares it with the
// pages, and runs this program in a folder with the links `demo.sxt` and `fixtures`.

func start() throws {
  try LoadedModel.convert("fixtures/demo-model/model.safetensors", to: "start.sxt")
  let model = try LoadedModel("start.sxt")
  print(model.description.architecture, model.description.layerCount, model.description.width)

  let pairs = try ContrastPairs(
    reading: "fixtures/demo-model/sentiment_pairs.jsonl", template: nil)
  let joy = try SteeringVector.train(on: pairs, for: model, layers: 3...3)
  try joy.write(to: "start.steer.safetensors", replacing: true)

  for strength: Float in [-2, 0, 2] {
    let run = try model.generate(
      "The film was", count: 16, with: [.steer(joy, strength: strength, layers: 3...3)])
    print(strength, try run.text())
  }
}

func sites(_ model: LoadedModel) throws {
  let seen = try model.record(["blocks.3.output", "blocks.*.state.ssm"], reading: "The film was")
  let output = try seen["blocks.3.output"]  // [T, D]
  let state = try seen[.state(block: 3, component: "ssm")]  // [E, N]
  print(output.shape, state.shape, seen.pieces)

  for site in model.description.sites { print(site.site, site.shape, site.axes) }

  let each = try model.record(
    ["blocks.3.state.ssm"], reading: "The film was", statesAfter: .each)
  print(try each["blocks.3.state.ssm"].shape)  // [T, E, N]

  let last = output.rows(output.shape[0] - 1..<output.shape[0])  // [1, D]
  let norm = last.values.reduce(0) { $0 + $1 * $1 }.squareRoot()
  print("norm at the last token:", norm)

  let direction = [Float](repeating: 0.1, count: model.description.width)
  let edited = try model.record(
    ["blocks.5.output"], reading: "The film was",
    with: [.add(direction, at: .output(block: 3), positions: PositionSelection([.all]))])
  print(try edited["blocks.5.output"].shape)
}

func trainVector(_ model: LoadedModel) throws {
  let nouns = ["film", "acting", "story", "music", "ending", "cast"]
  let pairs = try ContrastPairs(
    nouns.map { (positive: "The \($0) was superb.", negative: "The \($0) was boring.") })
  let joy = try SteeringVector.train(on: pairs, for: model, at: ["all"], layers: 3...3)
  try joy.write(to: "joy.steer.safetensors", replacing: true)

  let test = try ChoiceTest(
    nouns.map {
      ChoiceTest.Item(prompt: "I think the \($0) is", matching: [" great"], other: [" awful"])
    })
  let found = try joy.evaluate(on: test, with: model, strengths: [-1, 1])
  for best in found.summary.best {
    print(best.sites, best.layer, best.multiplier, best.effect.value, best.effect.interval)
  }
}

func applyVector(_ model: LoadedModel) async throws {
  let joy = try SteeringVector(reading: "joy.steer.safetensors")
  let run = try model.generate("The film was", with: [.steer(joy, strength: 2, layers: 3...3)])
  for try await token in run { print(token.text, token.edits.count) }
  print(run.ending ?? .count, run.edits)
}

func editWithOwnCode(_ model: LoadedModel) throws {
  func last(_ text: String) throws -> [Float] {
    let output = try model.record(["blocks.3.output"], reading: text)["blocks.3.output"]
    return output.rows(output.shape[0] - 1..<output.shape[0]).values
  }
  let direction = zip(try last("superb"), try last("boring")).map { $0 - $1 }
  let text = try model.generate(
    "The film was", with: [.add(direction, at: .output(block: 3), strength: 0.5)]
  ).text()
  print(text)

  let halved = try model.generate(
    "The film was", count: 8,
    with: [
      .tap(.part(block: 3, name: "mixer")) { site, value, context in
        value = Tensor(value.values.map { $0 / 2 }, shape: value.shape)
      }
    ])
  print(try halved.text())
}

func trainLens(_ model: LoadedModel) throws {
  let corpus = try model.corpus(
    reading: ["fixtures/demo-model/samples_train.jsonl"], chunkLength: 128, limit: 512)
  var options = RidgeLensOptions()
  options.calibrationTokens = 0
  options.strengths = [0.01, 0.1, 1]
  let lens = try Lens.train(on: corpus, for: model, by: .ridge(options))
  try lens.write(to: "ridge.lens.safetensors", replacing: true)

  let test = try model.corpus(
    reading: ["fixtures/demo-model/samples_test.jsonl"], chunkLength: 128, limit: 256)
  let evaluation = try lens.evaluate(on: test, with: model)
  print("the model itself:", evaluation.crossEntropy.mean, "nats for each token")
  for result in evaluation.results {
    for layer in result.layers {
      print(result.name, layer.site, layer.crossEntropy.mean, layer.divergence.mean)
    }
  }
}

func applyLens(_ model: LoadedModel) async throws {
  let lens = try Lens(reading: "ridge.lens.safetensors")
  let run = try model.generate(
    "I watched this film", count: 4, with: [.report(lens: lens, guesses: 1)])
  for try await token in run {
    for report in token.reports {
      print(token.text.debugDescription, JSONValue.object(report.report).canonicalText)
    }
  }
}

func probes(_ model: LoadedModel) async throws {
  let nouns = ["film", "acting", "story", "music", "ending", "cast"]
  let records = try SelectedRecords(
    nouns.flatMap { [("I loved the \($0).", true), ("I hated the \($0).", false)] })
  let praise = try Probe.train(
    on: records, for: model, at: ["blocks.3.output", "blocks.3.state.ssm"],
    methods: [.meanDifference])
  try praise.write(to: "praise.probe.safetensors", replacing: true)

  let file = try LabelledRecords(reading: "fixtures/demo-model/quirky_train.jsonl")
  let alice = try SelectedRecords(
    file, label: "alice_label", subset: QuirkySubset(character: "Alice", difficulty: nil))
  print(alice.records.count, alice.classes)

  for row in try praise.evaluate(on: records, with: model).rows {
    print(row.entry.name, row.measured.accuracy, row.measured.calibrationError)
    if let roc = row.measured.roc { print("  area:", roc.area, roc.interval) }
  }

  let joy = try SteeringVector(reading: "joy.steer.safetensors")
  let name = "blocks.3.output.mean-diff"
  let run = try model.generate(
    "The film was", count: 12,
    with: [
      .steer(joy, strength: 2, layers: 3...3, when: .below(0, by: praise, name: name)),
      .report(praise, name: name),
      .stop(.above(1000, by: praise, name: name)),
    ])
  for try await token in run {
    print(token.text.debugDescription, token.edits.first?.gate?.score ?? 0)
  }

  let examples = ["film", "acting", "story", "music", "ending", "cast"].flatMap {
    [("I loved the \($0).", true), ("I hated the \($0).", false)]
  }
  let (eraser, certificate) = try ConceptEraser.train(
    on: SelectedRecords(examples), for: model, at: ["blocks.3.output"])
  for row in certificate.rows { print(row.site.name, row.before?.area ?? 0, row.after?.area ?? 0) }
  print(try model.generate("The film was", count: 12, with: [.erase(eraser)]).text())
}

func states(_ model: LoadedModel) throws {
  let opening = try model.state(after: "The film was")
  let praise = try model.generate(" good because", count: 16, from: opening).text()
  let blame = try model.generate(" bad because", count: 16, from: opening).text()
  print(praise, blame)

  for site in opening.sites { print(site, try opening[site].shape) }
  print("tokens read:", opening.position)

  var halved = opening
  let site = Site.state(block: 3, component: "ssm")
  let value = try opening[site]  // [E, N]
  try halved.setComponent(
    site, to: Tensor(value.values.map { $0 / 2 }, shape: [1] + value.shape))  // [1, E, N]
  print(try model.generate(" good because", count: 16, from: halved).text())

  try model.save(opening, to: "opening.state.safetensors", replacing: true)
  let again = try model.loadState("opening.state.safetensors")
  print(again == opening, again.position)

  let run = try model.generate("The film was", count: 8)
  let first = try run.finish()
  let rest = try model.generate(" And", count: 8, from: first.state).text()
  print(first.text, rest)

  var batch = opening.selecting([0, 0])
  let tokenizer = try model.textTokenizer()
  let ids = ["good", "bad"].map { Array(tokenizer.encode($0).prefix(1)) }  // [2][1]
  let logits = try model.model.run(TokenBatch(ids), from: &batch)  // [2, 1, V]
  print(logits.shape)
}

func patching(_ model: LoadedModel) throws {
  let found = try model.patch(
    clean: "20 + 62 = 92. Alice:", corrupted: "20 + 62 = 92. Bob:", answer: " False",
    against: " True", sites: ["stream", "state"])
  for cell in found.largest(3) {
    print(found.places[cell.place], found.columns[cell.column], cell.share.value)
  }

  let conv = PatchedPlace(.state(block: 4, component: "conv"))
  print("share of the state:", found.cell(conv, column: 12)?.share.value ?? 0)

  let names = ["20 + 62 = 92", "37 + 25 = 72", "11 + 26 = 47"]
  let pairs = names.map { sum in
    PatchingPair(
      clean: "\(sum). Alice:", corrupted: "\(sum). Bob:", answer: " False", against: " True")
  }
  let lost = try model.patch(pairs, sites: ["blocks.*.mixer"], reverse: true)
  for cell in lost.largest(2) { print(lost.places[cell.place], cell.share.interval) }

  let traced = try model.patch(
    [PatchingPair(clean: "20 + 62 = 92. Alice:", answer: " False", subject: "Alice")],
    noise: 3, seeds: 10)
  print("under noise:", traced.clean.probability, traced.corrupted.probability)
}

func oneToken(_ model: LoadedModel) throws {
  let tokenizer = try model.textTokenizer()
  var state = model.model.initialState()
  let tap = ClosureTap([.embedding, .output(block: 3), .part(block: 3, name: "mixer"), .logits]) {
    site, value, context in
    print(site, value.shape, context.positions)
  }
  let logits = try model.model.run(
    TokenBatch(tokenizer.encodeText("The film was")), from: &state, tap: tap)  // [1, 1, V]
  let best = logits.values.indices.max { logits.values[$0] < logits.values[$1] } ?? 0
  print(tokenizer.decode([best]), state.position)
}

func newModel() throws {
  try LoadedModel.convert("fixtures/mamba-tiny/huggingface", to: "tiny.sxt")
  let tiny = try LoadedModel("tiny.sxt")
  for site in tiny.description.sites { print(site.site, site.shape) }
  let seen = try tiny.record(["all"], reading: [1, 2, 3])
  print(seen.sites.count)
}

try start()
let model = try LoadedModel("demo.sxt")
try sites(model)
try trainVector(model)
try await applyVector(model)
try editWithOwnCode(model)
try trainLens(model)
try await applyLens(model)
try await probes(model)
try states(model)
try patching(model)
try oneToken(model)
try newModel()
