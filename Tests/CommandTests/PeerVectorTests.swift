import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// Control vectors that llama.cpp's generator and repeng wrote from a few prompts. The directions
/// can be computed here from the model's activations. Each must be applied at the block where it
/// was measured.
@Suite struct PeerVectorTests {
  private let folder = TemporaryFolder()

  private func fixture(_ name: String) -> String {
    PackageFiles.fixture("control-vectors/\(name).gguf")
  }

  /// The vector of a file at a site, or the last row of a capture.
  private func last(_ name: String, in path: String) throws -> [Float] {
    let file = try SafetensorsFile(path)
    let tensor = try #require(file.tensor(named: name), "\(name)")
    let width = try #require(tensor.shape.last)
    let bytes = try file.bytes(of: tensor).suffix(4 * width)
    return Array(bytes).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  /// The activations of a model, as files in the order of the prompts.
  private func captures(_ model: String, _ option: String, _ prompts: [String]) -> [String] {
    prompts.indices.map { index in
      let path = folder.path("\(index).capture.safetensors")
      sextant(
        "capture", "-m", model, "--sites", "residual,final_norm", option, prompts[index], "-o", path
      )
      return path
    }
  }

  /// The difference of two of them at a site, after the last token.
  private func difference(_ files: ArraySlice<String>, at site: String) throws -> [Float] {
    let values = try files.map { try last(site, in: $0) }
    return difference(values[0], values[1])
  }

  private func convert(_ file: String, _ model: String, _ convention: String) -> String {
    let path = folder.path("\(convention).steer.safetensors")
    sextant(
      "convert", file, "-m", model, "--layer-convention", convention, "-o", path, "--force")
    return path
  }

  private func difference(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 - $1 } }

  private func cosine(_ a: [Float], _ b: [Float]) -> Double {
    func dot(_ a: [Float], _ b: [Float]) -> Double {
      zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
  }

  @Test(arguments: ["llama-cpp-mean", "llama-cpp-pca"])
  func theGeneratorOfLlamaCppLandsOnTheBlocksThatItMeasured(file: String) throws {
    let model = folder.path("demo.sxt")
    sextant("convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", model)
    let vector = convert(fixture(file), model, "llama-generator")
    let raw = try GGUFFile(fixture(file))
    #expect(raw.values["controlvector.layer_count"] == .integer(5))
    #expect(raw.values["controlvector.model_hint"] == .string("mamba"))
    let files = captures(
      model, "-p", ["<|endoftext|>The film was good", "<|endoftext|>The film was bad"])
    let differences = try (0..<6).map { try difference(files[...], at: "blocks.\($0).output") }
    #expect(try SafetensorsFile(vector).tensors.count == 5)
    for block in 0..<5 {
      let found = try last("blocks.\(block).output", in: vector)
      // The number in the file is one higher.
      let stored = try #require(raw.tensor(named: "direction.\(block + 1)"))
      #expect(try raw.bytes(of: stored) == found.withUnsafeBytes { Array($0) })
      // A principal component has either sign.
      let cosines = differences.map { abs(cosine(found, $0)) }
      #expect(cosines[block] > 0.99999, "block \(block): \(cosines)")
      #expect(cosines.indices.max { cosines[$0] < cosines[$1] } == block)
      #expect(cosines[block + 1] < 0.98, "block \(block): \(cosines)")
      if file == "llama-cpp-mean" { #expect(cosine(found, differences[block]) > 0) }
    }
  }

  @Test func repengLandsOnTheBlocksThatItMeasured() throws {
    let model = folder.path("llama.sxt")
    sextant("convert", PackageFiles.fixture("llama-tiny/huggingface"), "-o", model)
    let vector = convert(fixture("repeng"), model, "repeng")
    let raw = try GGUFFile(fixture("repeng"))
    #expect(raw.tensors.map(\.name) == ["direction.1", "direction.2"])
    // The principal component of two differences, centred, is the difference of the two.
    let files = captures(
      model, "--tokens", ["5,17,3,42", "5,17,3,43", "7,8,9,10,11", "7,8,9,10,90"])
    func component(_ site: String) throws -> [Float] {
      difference(try difference(files[..<2], at: site), try difference(files[2...], at: site))
    }
    let first = try last("blocks.1.output", in: vector)
    #expect(abs(cosine(first, try component("blocks.1.output"))) > 0.99999)
    #expect(abs(cosine(first, try component("blocks.0.output"))) < 0.99)
    #expect(abs(cosine(first, try component("blocks.2.output"))) < 0.99)
    // The last hidden state of transformers comes after the final norm, and repeng measures there.
    // But it adds the direction to the output of the last block.
    let final = try last("blocks.2.output", in: vector)
    #expect(abs(cosine(final, try component("final_norm"))) > 0.99999)
  }
}
