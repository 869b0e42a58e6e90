import Sextant

let model = try LoadedModel("demo.sxt")
let nouns = ["film", "acting", "story", "music", "ending", "cast"]

// A steering vector, from pairs of texts.
let pairs = try ContrastPairs(
  nouns.map { (positive: "The \($0) was superb.", negative: "The \($0) was boring.") })
let joy = try SteeringVector.train(on: pairs, for: model)
try joy.write(to: "joy.steer.safetensors", replacing: true)

// A probe, from texts with labels.
let records = try SelectedRecords(
  nouns.flatMap { [("I loved the \($0).", true), ("I hated the \($0).", false)] })
let praise = try Probe.train(
  on: records, for: model, at: ["blocks.3.output"], methods: [.meanDifference])
for row in try praise.evaluate(on: records, with: model).rows {
  print(row.entry.name, "accuracy:", row.measured.accuracy)
}

// Steer with the vector, and let the probe read along.
let run = try model.generate(
  "The film was", count: 12, temperature: 0,
  with: [.steer(joy, strength: 2, layers: 2...2), .report(praise)])
for try await token in run {
  print(
    token.text.debugDescription, token.reports.map { JSONValue.object($0.report).canonicalText })
}
