import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// The effect of a vector inside a run, as a recorder after it sees it.
@Suite struct EditTapTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokens: [Int]

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
    tokens = try Goldens("mamba-tiny/goldens/f32.safetensors").integers("tokens")
  }

  private func tap(
    _ vector: SteeringVector, _ strength: Float, _ positions: String? = nil,
    layers: LayerSelection? = nil, prompt: Range<Int>? = nil
  ) throws -> EditTap {
    try EditTap(
      AppliedVector(
        vector,
        SteeringOptions(
          strength: strength, positions: positions.flatMap { PositionSelection($0) },
          layers: layers)),
      model: model.description, tokenizer: nil, prompt: prompt ?? 0..<tokens.count)
  }

  /// The values of every site after `taps` have acted.
  private func record(
    _ taps: [any Tap], batch: Int = 1, chunk: Int = 512
  ) throws -> (sites: [Site: Tensor], logits: Tensor, state: State) {
    let recorder = FullRecorder()
    var state = model.initialState(batch: batch)
    let logits = try model.run(
      TokenBatch(Array(repeating: tokens, count: batch)), from: &state, logits: .all,
      tap: TapChain(taps + [recorder]), chunk: chunk)
    return (recorder.values, logits, state)
  }

  @Test(arguments: ["last", "last-3", "all", "prompt", "0", "7,-2", "-37"])
  func theVectorTimesTheStrengthIsAddedAtTheseTokensAndNowhereElse(positions: String) throws {
    let site = Site.output(block: 1)
    let vector = try SteeringVector.random(model.description, [site.name])
    let plain = try record([])
    let tap = try tap(vector, -1.5, positions)
    let steered = try record([tap])
    let selection = try #require(PositionSelection(positions))
    let selected = tokens.indices.filter { selection.contains($0, prompt: 0..<tokens.count) }
    #expect(!selected.isEmpty)

    var expected = try #require(plain.sites[site])  // [T, D]
    let width = model.description.width
    expected.withMutableFloats { rows in
      for position in selected {
        for (index, value) in vector.values(site).enumerated() {
          rows[position * width + index] += -1.5 * value
        }
      }
    }
    #expect(steered.sites[site] == expected)
    // The next block reads the steered stream. Values before it do not change.
    #expect(steered.sites[.input(block: 2)] == expected)
    for earlier in [
      Site.embedding, .input(block: 0), .output(block: 0), .input(block: 1),
      .part(block: 1, name: "mixer"), .state(block: 1, component: "ssm"),
    ] {
      #expect(steered.sites[earlier] == plain.sites[earlier], "\(earlier)")
    }
    // Tokens before the first steered one keep their logits.
    let vocabulary = model.description.vocabularySize
    let first = selected[0] * vocabulary
    #expect(steered.logits.values[..<first] == plain.logits.values[..<first])
    #expect(
      steered.logits.values[first..<first + vocabulary]
        != plain.logits.values[first..<first + vocabulary])
    #expect(tap.editedPositions.count == selected.count && tap.editedSites.count == 1)
  }

  @Test func everySequenceOfABatchIsSteered() throws {
    let vector = try SteeringVector.random(model.description, ["blocks.0.output"])
    let alone = try record([tap(vector, 2, "last-5")], chunk: 7)
    let batch = try record([tap(vector, 2, "last-5")], batch: 3, chunk: 21)
    for sequence in 0..<3 {
      expectClose(
        batch.logits.rows(sequence..<sequence + 1), alone.logits,
        Bound(absolute: 2e-5, relative: 1e-5), "sequence \(sequence)")
    }
  }

  @Test(arguments: ["last", "all", "0,3,-1", "last-2"])
  func aStateIsEditedOnceBeforeEachSelectedToken(positions: String) throws {
    for component in ["conv", "ssm"] {
      let site = Site.state(block: 1, component: component)
      let vector = try SteeringVector.random(model.description, [site.name])
      let selection = try #require(PositionSelection(positions))
      let recorder = StateRecorder(site)
      let tap = try tap(vector, 0.5, positions)
      var state = model.initialState()
      _ = try model.run(
        TokenBatch(tokens), from: &state, logits: .none, tap: TapChain([tap, recorder]))
      var selected = 0
      for position in tokens.indices {
        let before = try #require(recorder.before[position]).values
        let left = position == 0 ? nil : recorder.after[position - 1]?.values
        var expected = left ?? [Float](repeating: 0, count: before.count)
        if selection.contains(position, prompt: 0..<tokens.count) {
          selected += 1
          for (index, value) in vector.values(site).enumerated() {
            expected[index] += 0.5 * value
          }
        }
        #expect(before == expected, "before token \(position)")
      }
      // Nothing is added for a token that was not run.
      #expect(state.component(site)?.values == recorder.after[tokens.count - 1]?.values)
      #expect(tap.editedPositions.count == selected && tap.editedSites.count == 1)
    }
  }

  /// The first token after a loaded state is steered like any other, and no token twice.
  @Test(arguments: ["state", "residual", "all"])
  func aTextThatIsCutIsSteeredLikeAWholeOne(words: String) throws {
    let vector = try SteeringVector.random(model.description, [words], positions: .init([.all]))
    // State visits cut the run at each token. The test cuts the run of the residual stream.
    let chunk = words == "residual" ? 1 : 512
    var whole = model.initialState()
    let expected = try model.run(
      TokenBatch(tokens), from: &whole, tap: tap(vector, 0.1), chunk: chunk)
    for cut in [1, 5, 36] {
      var state = model.initialState()
      for range in [0..<cut, cut..<tokens.count] {
        let logits = try model.run(
          TokenBatch(Array(tokens[range])), from: &state, tap: tap(vector, 0.1, prompt: range),
          chunk: chunk)
        if range.upperBound == tokens.count { #expect(logits == expected) }
      }
      #expect(state == whole)
    }
  }

  @Test func twoVectorsAddUpInTheirOrder() throws {
    let site = Site.output(block: 0)
    let first = try SteeringVector.random(model.description, [site.name], seed: 1)
    let second = try SteeringVector.random(model.description, [site.name], seed: 2)
    let plain = try record([])
    let both = try record([tap(first, 2, "-1"), tap(second, -3, "-1")])
    let width = model.description.width
    let row = try #require(plain.sites[site]).values.suffix(width)
    let expected = zip(row, zip(first.values(site), second.values(site))).map {
      ($0 + 2 * $1.0) + -3 * $1.1
    }
    #expect(both.sites[site]?.values.suffix(width) == expected[...])
  }

  /// Each vector of a chain edits the state at its own tokens only.
  @Test func vectorsAtDifferentTokensDoNotSeeEachOthersVisits() throws {
    let site = Site.state(block: 0, component: "ssm")
    let first = try SteeringVector.random(model.description, [site.name], seed: 1)
    let second = try SteeringVector.random(model.description, [site.name], seed: 2)
    let recorder = StateRecorder(site)
    var state = model.initialState()
    let taps = [try tap(first, 1, "5"), try tap(second, 1, "9")]
    _ = try model.run(
      TokenBatch(tokens), from: &state, logits: .none, tap: TapChain(taps + [recorder]))
    for (position, vector) in [(5, first), (9, second)] {
      let left = try #require(recorder.after[position - 1]).values
      #expect(
        recorder.before[position]?.values == zip(left, vector.values(site)).map { $0 + $1 })
    }
    for position in tokens.indices where position > 0 && position != 5 && position != 9 {
      #expect(recorder.before[position] == recorder.after[position - 1])
    }
    #expect(taps.allSatisfy { $0.editedPositions.count == 1 && $0.editedSites.count == 1 })
  }

  @Test func layersChooseAmongTheBlocks() throws {
    let vector = try SteeringVector.random(
      model.description, ["residual", "state", "final_norm"], positions: .init([.all]))
    let all = try tap(vector, 1)
    let some = try tap(vector, 1, layers: LayerSelection(1...1))
    for site in model.description.sites.map(\.site) {
      let has = !vector.values(site).isEmpty
      #expect(all.wants(site) == has)
      #expect(some.wants(site) == (has && (site.block ?? 1) == 1), "\(site)")
    }
    _ = try record([some])
    #expect(some.editedPositions.count == tokens.count && some.editedSites.count == 4)
  }

  @Test func strengthZeroIsNoVectorAtAll() throws {
    let vector = try SteeringVector.random(
      model.description, ["all"], positions: .init([.all]))
    let tap = try tap(vector, 0)
    let (plain, steered) = (try record([]), try record([tap]))
    #expect(steered.logits == plain.logits)
    #expect(steered.state == plain.state)
    #expect(steered.sites == plain.sites)
    #expect(tap.editedPositions.count == 0 && tap.editedSites.count == 0)
    #expect(!model.description.sites.contains { tap.wants($0.site) })
    #expect(tap.stateVisits(in: 0..<37) == StateVisits())
  }

  // MARK: Refusals

  private func refuses(
    _ code: Refusal.Code, _ vector: SteeringVector,
    _ options: SteeringOptions = SteeringOptions(), tokenizer: Digest? = nil
  ) {
    expectRefusal(code) {
      try EditTap(
        AppliedVector(vector, options), model: model.description, tokenizer: tokenizer,
        prompt: 0..<4)
    }
  }

  @Test func vectorsOfOtherModelsAreRefused() throws {
    let digest = SHA256.digest([])
    let own = try SteeringVector.random(
      model.description, ["residual"], tokenizer: SHA256.digest([1]))
    var other = own.model
    other.identity = digest
    refuses(.artifactModelDigest, own.replacing(model: other))
    refuses(.artifactTokenizerDigest, own, tokenizer: digest)
    for (width, layers) in [(41, 3), (40, 4)] {
      other = own.model
      (other.width, other.layerCount) = (width, layers)
      refuses(.artifactWidth, own.replacing(model: other))
      refuses(.artifactWidth, own.replacing(model: other), .init(allowsModelMismatch: true))
    }
    other = own.model
    other.identity = digest
    _ = try EditTap(
      AppliedVector(own.replacing(model: other), .init(allowsModelMismatch: true)),
      model: model.description, tokenizer: digest, prompt: 0..<4)
  }

  @Test(arguments: [
    ("blocks.3.output", [40], ["channel"], Refusal.Code.artifactSite),
    ("blocks.0.attention", [40], ["channel"], .artifactSite),
    ("blocks.0.state.wkv", [80, 16], ["channel", "state"], .artifactSite),
    ("hidden", [40], ["channel"], .artifactSite),
    ("blocks.0.output", [41], ["channel"], .artifactWidth),
    ("blocks.0.output", [40, 1], ["channel", "one"], .artifactWidth),
    ("blocks.0.state.ssm", [16, 80], ["channel", "state"], .artifactWidth),
    ("blocks.0.state.ssm", [80, 16], ["state", "channel"], .artifactSite),
  ])
  func sitesThatDoNotFitAreRefused(
    name: String, shape: [Int], axes: [String], code: Refusal.Code
  ) throws {
    let own = try SteeringVector.random(model.description, ["residual"])
    refuses(
      code,
      own.replacing(vectors: [
        (SiteReference(name: name, shape: shape, axes: axes), Tensor(zeros: shape))
      ]))
  }

  @Test func strengthsAndLayersThatCannotBeUsedAreRefused() throws {
    let own = try SteeringVector.random(model.description, ["residual"])
    for strength in [Float.nan, .infinity, -.infinity] {
      refuses(.artifactScale, own, SteeringOptions(strength: strength))
    }
    let large = own.replacing(
      vectors: own.vectors.map { site, value in
        (site, Tensor(value.values.map { $0 * 1e20 }, shape: value.shape))
      })
    refuses(.artifactScale, large, SteeringOptions(strength: 1e20))
    let some = try SteeringVector.random(model.description, ["blocks.1.output"])
    refuses(.artifactEmpty, some, SteeringOptions(layers: LayerSelection(2...2)))
  }

  @Test(arguments: ["7-9", "2-100", "3", "0,1,3"])
  func blocksThatTheModelDoesNotHaveAreRefused(text: String) throws {
    let own = try SteeringVector.random(model.description, ["residual"])
    let layers = try #require(LayerSelection(text))
    refuses(.usageOption, own, SteeringOptions(layers: layers))
    let strengths = try #require(SteeringOptions.LayerStrengths(layers.parts.map { .init($0, 1) }))
    refuses(.usageOption, own, SteeringOptions(layerStrengths: strengths))
    let refusal = expectRefusal(.usageOption) { try layers.check(blockCount: 3) }
    #expect(refusal?.expected == "blocks between 0 and 2: the model has 3 blocks")
  }
}
