import Glibc
import SextantBytes
import SextantCollective
import SextantModels
import SextantTensor

/// How far a model's predictions of a text are from those of a reference, such as the same model with
/// its weights in more bits.
package struct LogitDrift: Sendable {
  /// Tokens that were predicted.
  package private(set) var tokenCount = 0
  /// Mean negative log-likelihood of the text under the reference, in nats per token.
  package var referenceLoss: Double { mean(referenceSum) }
  /// Mean negative log-likelihood of the text under the model, in nats per token.
  package var loss: Double { mean(lossSum) }
  /// Mean Kullback-Leibler divergence of the model's predictions from the reference's, in nats.
  package var divergence: Double { mean(divergenceSum) }
  /// The share of positions at which both rank the same token first.
  package var agreement: Double { mean(Double(agreeing)) }
  /// Root of the mean squared difference of logits.
  package var rootMeanSquare: Double { (squareSum / Double(max(logitCount, 1))).squareRoot() }
  /// The largest difference of two logits.
  package private(set) var maximum = 0.0

  private var (referenceSum, lossSum, divergenceSum, squareSum) = (0.0, 0.0, 0.0, 0.0)
  private var (agreeing, logitCount) = (0, 0)

  /// The number of tokens whose logits are in memory at a time.
  private static let pieceLength = 64

  private func mean(_ sum: Double) -> Double { sum / Double(max(tokenCount, 1)) }

  /// The drift that another rank has put.
  init(_ reader: inout MessageReader) throws(Refusal) {
    (tokenCount, maximum) = (try reader.integer(), try reader.double())
    (referenceSum, lossSum) = (try reader.double(), try reader.double())
    (divergenceSum, squareSum) = (try reader.double(), try reader.double())
    (agreeing, logitCount) = (try reader.integer(), try reader.integer())
  }

  /// Appends the sums, for another rank.
  func put(into message: inout Message) {
    message.put(tokenCount)
    for value in [maximum, referenceSum, lossSum, divergenceSum, squareSum] { message.put(value) }
    message.put(agreeing)
    message.put(logitCount)
  }

  /// Runs both models over a text.
  ///
  /// - Parameters:
  ///   - tokens: at least two ids; all except the first are predicted, each from all previous ones.
  ///   - progress: receives the tokens predicted and those in all.
  /// - Throws: `model.shape` for models of different vocabularies, `data.empty` for fewer than two
  ///   tokens, `model.token`.
  package init(
    of model: any LanguageModel, from reference: any LanguageModel, on tokens: [Int],
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    let size = reference.description.vocabularySize
    guard model.description.vocabularySize == size else {
      throw Refusal(
        .modelShape, found: "a vocabulary of \(model.description.vocabularySize)",
        expected: "\(size), as the reference has",
        remedy: "Compare models with the same tokenizer.")
    }
    guard tokens.count > 1 else {
      throw Refusal(
        .dataEmpty, found: counted(tokens.count, "token"), expected: "a text of at least two")
    }
    var states = (reference.initialState(batch: 1), model.initialState(batch: 1))
    for start in stride(from: 0, to: tokens.count - 1, by: Self.pieceLength) {
      let end = min(start + Self.pieceLength, tokens.count - 1)
      let batch = TokenBatch(Array(tokens[start..<end]))
      let expected = try reference.run(batch, from: &states.0, logits: .all)  // [1, S, V]
      let found = try model.run(batch, from: &states.1, logits: .all)  // [1, S, V]
      expected.withFloats { expected in
        found.withFloats { found in
          for (row, next) in tokens[start + 1...end].enumerated() {
            let place = row * size..<(row + 1) * size
            add(expected: expected[place], found: found[place], next: next)
          }
        }
      }
      progress(end, tokens.count - 1)
    }
  }

  /// Adds one position, whose next token is known.
  private mutating func add(
    expected: Slice<UnsafeBufferPointer<Float>>, found: Slice<UnsafeBufferPointer<Float>>, next: Int
  ) {
    let (p, q) = (LogSoftmax(expected), LogSoftmax(found))
    var (divergence, squares) = (0.0, 0.0)
    for (a, b) in zip(expected, found) {
      let difference = Double(b) - Double(a)
      squares += difference * difference
      maximum = max(maximum, abs(difference))
      let (logP, logQ) = (Double(a) - p.shift, Double(b) - q.shift)
      divergence += exp(logP) * (logP - logQ)
    }
    tokenCount += 1
    logitCount += expected.count
    squareSum += squares
    divergenceSum += divergence
    referenceSum += p.shift - Double(expected[expected.startIndex + next])
    lossSum += q.shift - Double(found[found.startIndex + next])
    if p.best == q.best { agreeing += 1 }
  }
}

/// The shift from logits to log-probabilities: log p = logit - shift.
private struct LogSoftmax {
  let shift: Double
  /// The place of the largest logit.
  let best: Int

  init(_ logits: Slice<UnsafeBufferPointer<Float>>) {
    var (best, largest) = (0, -Float.infinity)
    for (place, logit) in logits.enumerated() where logit > largest {
      (best, largest) = (place, logit)
    }
    let sum = logits.reduce(0.0) { $0 + exp(Double($1) - Double(largest)) }
    shift = Double(largest) + log(sum)
    self.best = best
  }
}
