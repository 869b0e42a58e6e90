import SextantArtifacts
import SextantBytes
import SextantGeneration

/// The effect of steering on the sentiment of generated text, measured with a word list.
package struct SentimentTrial: Sendable {
  /// The strength that the vector was applied with.
  package let strength: Float
  /// The scores of the samples that have one.
  package let score: SampleMean
  /// Samples generated.
  package let sampleCount: Int
  /// Tokens that were steered, over all samples.
  package let steeredTokenCount: Int

  /// Continues each opening several times under a vector and scores the continuations.
  ///
  /// The same seeds are used at every strength, so that trials differ by the strength alone.
  ///
  /// - Parameters:
  ///   - vectors: one vector, or several that are used in turn, such as random controls.
  ///   - openings: token ids of the texts to continue.
  ///   - samplesPerOpening: continuations of each.
  ///   - tokenCount: tokens of each continuation.
  ///   - told: called after each continuation.
  /// - Throws: the errors of generation.
  package init(
    of vectors: [SteeringVector], options: SteeringOptions, openings: [[Int]],
    samplesPerOpening: Int, tokenCount: Int, temperature: Float, lexicon: SentimentLexicon,
    told: () -> Void = {}, generator make: (Interventions) -> Generator
  ) throws(Refusal) {
    let generators = vectors.map { make([.steer(AppliedVector($0, options))]) }
    var (scores, steered): ([Double], Int) = ([], 0)
    for (index, opening) in openings.enumerated() {
      for sample in 0..<samplesPerOpening {
        let sampling = try SamplingOptions(
          temperature: temperature, seed: UInt64(index * samplesPerOpening + sample))
        let result = try generators[sample % generators.count].generate(
          opening, GenerationOptions(tokenCount: tokenCount, sampling: sampling))
        if let score = lexicon.score(result.text) { scores.append(score) }
        steered += result.edits.first?.tokens ?? 0
        told()
      }
    }
    strength = options.strength
    score = SampleMean(scores)
    sampleCount = openings.count * samplesPerOpening
    steeredTokenCount = steered
  }
}
