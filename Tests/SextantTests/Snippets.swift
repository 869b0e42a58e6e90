import Sextant

// The snippets of `docs/library.md` that are not whole programs, so that they compile
// (`ExamplesTests.pagesShowTheProgramsAsTheyAre` compares them).

func openingSnippet() throws {
  try LoadedModel.convert("mamba-130m-hf", to: "model.sxt")
  let model = try LoadedModel("model.sxt")
  print(model.description.architecture, model.description.layerCount, model.description.width)
}

func recordingSnippet(_ model: LoadedModel) throws {
  let seen = try model.record(["blocks.3.output", "blocks.*.state.ssm"], reading: "The film was")
  let output = try seen["blocks.3.output"]
  let state = try seen[.state(block: 3, component: "ssm")]
  print(output.shape, state.shape, seen.tokens, seen.pieces)
}

func generatingSnippet(_ model: LoadedModel, _ joy: SteeringVector) async throws {
  let text = try model.generate("The film was", count: 32, temperature: 0).text()
  print(text)

  let run = try model.generate("The film was", with: [.steer(joy, strength: 2, layers: 3...3)])
  for try await token in run { print(token.text, token.edits.count) }
  print(run.ending ?? .count, run.edits)
}

func chatSnippet(_ model: LoadedModel) throws {
  var talk = try model.conversation(template: "plain", system: "You are terse.")
  print(try talk.answer("What was the film like?").text)
  print(try talk.answer("Why?", count: 20, temperature: 0).text)
}

func interventionSnippet(
  _ joy: SteeringVector, _ eraser: ConceptEraser, _ probe: Probe, _ lens: Lens, _ numbers: [Float]
) -> Interventions {
  [
    .steer(joy, strength: 2, layers: 3...3), .steer(joy, when: .above(0, by: probe)),
    .erase(eraser), .add(numbers, at: .output(block: 3)),
    .project(out: numbers, at: .output(block: 3)),
    .tap(.output(block: 4)) { site, value, context in print(site, value.shape, context.positions) },
    .report(probe), .report(lens: lens), .stop(.above(2, by: probe)),
  ]
}

func patchingSnippet(_ model: LoadedModel) throws {
  let found = try model.patch(
    clean: "20 + 62 = 92. Alice:", corrupted: "20 + 62 = 92. Bob:", answer: " False",
    against: " True", sites: ["stream", "state"])
  for cell in found.largest(3) {
    print(found.places[cell.place], found.columns[cell.column], cell.share.value)
  }
}

func stateSnippet(_ model: LoadedModel) throws {
  let opening = try model.state(after: "The film was")
  let praise = try model.generate(" good because", from: opening).text()
  let blame = try model.generate(" bad because", from: opening).text()
  print(praise, blame, try opening["blocks.3.state.ssm"].shape)
  try model.save(opening, to: "opening.state.safetensors")
  let again = try model.loadState("opening.state.safetensors")
  print(again.position)
}
