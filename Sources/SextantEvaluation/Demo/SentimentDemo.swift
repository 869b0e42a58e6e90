import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// The demo's sentiment experiment: a vector from contrast pairs, texts that it steers, and a measure of
/// many such texts.
package struct SentimentDemo {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let vectorPath: String
  private let samples: Int
  private let say: (String) -> Void

  /// The block whose output is steered: of six, where the paper found the middle ones to work best.
  package static let layer = 3
  private static let strengths: [Float] = [-2, 0, 2]
  private static let openings = [
    "I watched this film last night and", "The acting in this movie",
    "What I remember about the story is", "The director has made",
  ]
  /// Reviews follow this token in the model's training text.
  private static let start = "<|endoftext|>"
  private static let tokenCount = 36
  private static let temperature: Float = 0.8
  private static let controlCount = 8

  /// The experiment on the demo model.
  ///
  /// - Parameters:
  ///   - vectorPath: the file that the vector is written to.
  ///   - samples: continuations of each opening that are measured, at each strength.
  ///   - say: receives lines for people.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, vectorPath: String, samples: Int,
    say: @escaping (String) -> Void
  ) {
    (self.model, self.tokenizer) = (model, tokenizer)
    (self.vectorPath, self.samples, self.say) = (vectorPath, samples, say)
  }

  /// Learns the vector.
  package func train(_ pairs: ContrastPairs) throws(Refusal) -> SteeringVector {
    heading("2. Learn a sentiment vector from \(pairs.pairs.count) contrast pairs")
    let vector = try SteeringTrainer(
      model, tokenizer, sites: model.description.sites(named: ["residual"])
    ).train(pairs).vector
    try vector.artifact.write(to: vectorPath, replacing: true)
    if let pair = pairs.pairs.first {
      say("  + \(pair.positive.dropFirst(Self.start.count))")
      say("  - \(pair.negative.dropFirst(Self.start.count))")
    }
    say("  mean difference at the last token, at every block's output → \(vectorPath)")
    return vector
  }

  /// Continues openings at every strength, and shows the texts.
  package func show(_ vector: SteeringVector) throws(Refusal) -> JSONValue {
    heading("3. The same openings at three strengths (output of block \(Self.layer))")
    var shown: [JSONValue] = []
    for opening in Self.openings.prefix(2) {
      say("  \(opening) …")
      for strength in Self.strengths {
        let generator = Generator(
          model, tokenizer, applying: [.steer(AppliedVector(vector, options(strength)))])
        let sampling = try SamplingOptions(temperature: Self.temperature, seed: 3)
        let result = try generator.generate(
          tokenizer.encode(Self.start + opening),
          GenerationOptions(tokenCount: Self.tokenCount, sampling: sampling))
        let text = result.text.split(whereSeparator: \.isNewline).joined(separator: " ")
        say("    \(signed(Double(strength), 0)) │\(text)")
        shown.append([
          "opening": .string(opening), "strength": .number(Double(strength)),
          "text": .string(result.text),
        ])
      }
    }
    return .array(shown)
  }

  /// Measures the sentiment of many continuations, beside random directions.
  ///
  /// - Parameter progress: receives texts done and in all.
  package func measure(
    _ vector: SteeringVector, _ pairs: ContrastPairs,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> JSONValue {
    let lexicon = SentimentLexicon(without: pairs.pairs.flatMap { [$0.positive, $0.negative] })
    heading("4. The sentiment of \(samples * Self.openings.count) continuations at each strength")
    say(
      """
        score: (praise - blame) / (praise + blame) by a list of \(counted(lexicon.count, "word")), without the
        words of the contrast pairs; ± is one standard error

        strength   sentiment vector   \(Self.controlCount) random directions of equal norm
      """)
    let controls = (1...Self.controlCount).map { vector.randomControl(seed: UInt64($0)) }
    let openings = Self.openings.map { tokenizer.encode(Self.start + $0) }
    var done = 0
    let total = 2 * Self.strengths.count * openings.count * samples
    let measured = try Self.strengths.map { strength throws(Refusal) in
      try [[vector], controls].map { vectors throws(Refusal) in
        try SentimentTrial(
          of: vectors, options: options(strength), openings: openings, samplesPerOpening: samples,
          tokenCount: Self.tokenCount, temperature: Self.temperature, lexicon: lexicon
        ) {
          done += 1
          progress(done, total)
        } generator: {
          Generator(model, tokenizer, applying: $0)
        }
      }
    }
    var rows: [JSONValue] = []
    for (strength, trials) in zip(Self.strengths, measured) {
      let cells = trials.map {
        "\(signed($0.score.mean, 2)) ± \(Format.fixed($0.score.standardError, 2))"
      }
      say("     \(signed(Double(strength), 0))       \(cells.joined(separator: "       "))")
      rows.append([
        "strength": .number(Double(strength)), "vector": json(trials[0]),
        "control": json(trials[1]),
      ])
    }
    return .array(rows)
  }

  private func json(_ trial: SentimentTrial) -> JSONValue {
    [
      "score": .number(trial.score.mean), "standard_error": .number(trial.score.standardError),
      "scored": JSONValue(trial.score.count), "samples": JSONValue(trial.sampleCount),
    ]
  }

  private func options(_ strength: Float) -> SteeringOptions {
    SteeringOptions(strength: strength, layers: LayerSelection(Self.layer...Self.layer))
  }

  private func heading(_ text: String) {
    say("\n\(text)\n\(String(repeating: "─", count: text.count))")
  }

  private func signed(_ value: Double, _ digits: Int) -> String {
    (value > 0 ? "+" : value == 0 ? " " : "") + Format.fixed(value, digits)
  }
}
