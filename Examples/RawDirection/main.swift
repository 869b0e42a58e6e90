import Sextant

let model = try LoadedModel("demo.sxt")
let site = Site.output(block: 3)

// A direction of one's own: the difference of two texts at their last tokens.
func last(_ text: String) throws -> [Float] {
  let values = try model.record([site.name], reading: text)[site]  // [T, D]
  return values.rows(values.shape[0] - 1..<values.shape[0]).values
}
let (good, bad) = (try last("The film was superb"), try last("The film was boring"))
let direction = zip(good, bad).map { $0 - $1 }

// Add it in block 3, and look at what leaves block 4.
var norms: [Float] = []
let run = try model.generate(
  "The film was", count: 12, temperature: 0,
  with: [
    .add(direction, at: site, strength: 0.5),
    .tap(.output(block: 4)) { _, value, context in
      let width = value.count / context.positions.count
      norms.append(value.values.suffix(width).reduce(0) { $0 + $1 * $1 }.squareRoot())
    },
  ])
for try await token in run {
  print(token.text.debugDescription, "norm in block 4:", norms[norms.count - 1])
  for edit in token.edits { print("  \(edit.site): \(edit.norms.before) -> \(edit.norms.after)") }
}
