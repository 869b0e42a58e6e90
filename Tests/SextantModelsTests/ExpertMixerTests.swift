import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Mixtures of experts inside models with random weights: which experts are read, and what shows it.
@Suite struct ExpertMixerTests {
  private let folder = TemporaryFolder()

  private func store(
    _ name: String, changing change: (String, inout [Float]) -> Void = { _, _ in }
  ) throws -> ModelStore {
    let model = try #require(RandomModel.withExperts.first { $0.name == name })
    return try RandomModel.store(
      model.configuration, at: folder.path("\(UInt64.random(in: 0...UInt64.max)).sxt"),
      changing: change)
  }

  private func run(
    _ model: any LanguageModel, _ tokens: TokenBatch, tap: (any Tap)? = nil
  ) throws -> Tensor {
    var state = model.initialState(batch: tokens.batch)
    return try model.run(tokens, from: &state, logits: .all, tap: tap)
  }

  private static let texts = (0..<5).map { text in (0..<9).map { (text * 31 + $0 * 17) % 96 } }

  @Test(arguments: RandomModel.withExperts.map(\.name))
  func aBatchOfSequencesOfDifferentExpertsEqualsSingleRuns(name: String) throws {
    let model = try Architectures.open(store(name))
    let together = try run(model, TokenBatch(Self.texts))  // [B, T, V]
    for (index, text) in Self.texts.enumerated() {
      let single = try run(model, TokenBatch(text))  // [1, T, V]
      #expect(together.rows(index..<index + 1) == single, "\(index)")
    }
  }

  /// The scores of experts are the product of the normed stream and the router's matrix.
  @Test func theRouterShowsItsScores() throws {
    let store = try store("nemotron_h")
    let model = try Architectures.open(store)
    let recorder = FullRecorder()
    _ = try run(model, TokenBatch(Self.texts[0]), tap: recorder)
    let names = model.description.sites.map(\.site.name).filter { $0.hasSuffix("router") }
    #expect(names == ["blocks.1.router", "blocks.3.router"])
    let shown = try #require(recorder.values[.router(block: 3)])  // [T, X]
    let input = try #require(recorder.values[.input(block: 3)])  // [T, D]
    let norm = try store.tensor("blocks.3.norm.weight").values
    let matrix = try store.tensor("blocks.3.mixer.router.weight").values
    #expect(shown.shape == [9, 8])
    for token in 0..<9 {
      let row = input.values[token * 64..<(token + 1) * 64].map { Double($0) }
      let size = (row.reduce(0) { $0 + $1 * $1 } / 64 + 1e-5).squareRoot()
      for expert in 0..<8 {
        let score = row.indices.reduce(0.0) { sum, channel in
          sum + row[channel] / size * Double(norm[channel] * matrix[expert * 64 + channel])
        }
        #expect(abs(Double(shown.values[token * 8 + expert]) - score) < 1e-5)
      }
    }
    let word = try model.description.sites(named: ["blocks.*.router"])
    #expect(word.map(\.site.name) == names && word.allSatisfy(\.isReadOnly))
    #expect(word.allSatisfy { $0.shape == [8] && $0.axes == ["expert"] })
    #expect(try model.description.sites(named: ["all"]).allSatisfy { !$0.isReadOnly })
  }

  @Test func anEditOfAShownValueIsRefused() throws {
    let model = try Architectures.open(store("granitemoehybrid"))
    for site in [Site.router(block: 1), .memory(block: 0)] {
      let reading = ClosureTap([site]) { _, _, _ in }
      let plain = try run(model, TokenBatch(Self.texts[0]), tap: reading)
      #expect(try plain == run(model, TokenBatch(Self.texts[0])))
      let tap = ClosureTap([site]) { _, value, _ in
        value.withMutableFloats { $0[3] += 1 }
      }
      let refusal = expectRefusal(.artifactSite) {
        _ = try run(model, TokenBatch(Self.texts[0]), tap: tap)
      }
      #expect(refusal?.found == "an edit of \(site)")
    }
  }

  /// Numbers of experts that no token chooses do not matter: their rows are not read.
  @Test func onlyChosenExpertsAreRead() throws {
    let tokens = TokenBatch([7, 51])
    let plain = try Architectures.open(store("granitemoe"))
    let recorder = FullRecorder()
    let logits = try run(plain, tokens, tap: recorder)
    var chosen: [Int: Set<Int>] = [:]  // by block
    for block in 0..<2 {
      let scores = try #require(recorder.values[.router(block: block)])  // [T, X]
      chosen[block] = Set(Kernels.largest(scores, count: 2))
      #expect((2...4).contains(chosen[block]?.count ?? 0))
    }
    func poisoned(_ isPoisoned: (_ block: Int, _ expert: Int) -> Bool) throws -> Tensor {
      let store = try store("granitemoe") { name, values in
        guard name.contains(".experts."), let block = Int(name.split(separator: ".")[1]) else {
          return
        }
        let size = values.count / 8
        for expert in 0..<8 where isPoisoned(block, expert) {
          for place in expert * size..<(expert + 1) * size { values[place] = .nan }
        }
      }
      return try run(Architectures.open(store), tokens)
    }
    #expect(try poisoned { chosen[$0]?.contains($1) == false } == logits)
    let damaged = try poisoned { $0 == 1 && chosen[1]?.contains($1) == true }
    #expect(damaged.values.allSatisfy { $0.isNaN })
  }

  /// A step of decoding reads two of eight experts.
  @Test func decodingCountsTheChosenExperts() throws {
    let store = try store("granitemoe")
    let stacks = store.tensors.filter { $0.name.contains(".experts.") }
    let all = store.tensors.reduce(0) { $0 + $1.byteCount }
    #expect(stacks.count == 6)
    let embedding = try #require(store.entry("embedding.weight")).byteCount
    #expect(
      store.decodingByteCount == all - embedding - stacks.reduce(0) { $0 + $1.byteCount } / 4 * 3)
  }
}
