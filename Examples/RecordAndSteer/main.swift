import Sextant

let model = try LoadedModel("demo.sxt")
let seen = try model.record(["blocks.3.output", "blocks.*.state.ssm"], reading: "The film was")
print("shape:", try seen["blocks.3.output"].shape)
let joy = try SteeringVector(reading: "sentiment.steer.safetensors")
let run = try model.generate("The film was", with: [.steer(joy, strength: 2, layers: 3...3)])
for try await token in run { print(token.text, terminator: "") }
