import Glibc
import SextantBytes
import SextantEvaluation
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantModels

/// A model without memory whose logits for a token are the row of a table.
private final class TableModel: LanguageModel {
  let table: Tensor  // [V, V]

  init(_ rows: [[Float]]) {
    table = Tensor(rows.flatMap { $0 }, shape: [rows.count, rows.count])
  }

  var description: ModelDescription {
    ModelDescription(
      architecture: "table", width: table.shape[0], vocabularySize: table.shape[0],
      identity: SHA256.digest([]), variant: "source", blocks: [])
  }

  // The stream is the token, one-hot. The norm changes nothing, and the head is the table.
  var readout: Readout {
    let count = table.shape[0]
    let weight = Tensor(
      Array(repeating: 1 / Float(count).squareRoot(), count: count), shape: [count])
    let values = table.values
    let head = (0..<count * count).map { values[$0 % count * count + $0 / count] }
    return Readout(
      norm: .rms(weight: weight, epsilon: 0), head: Tensor(head, shape: [count, count]))
  }

  func embed(_ tokens: TokenBatch, at starts: [Int], textLength: Int?) -> BlockStream {
    let count = table.shape[0]
    let oneHot = (0..<count * count).map { Float($0 / count == $0 % count ? 1 : 0) }
    return BlockStream(
      tokens, at: starts, embedding: Tensor(oneHot, shape: [count, count]))  // [T, V]
  }

  func run(
    block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
  ) {}
}

@Suite struct LogitDriftTests {
  /// Log-probabilities of the row [0, ln 3]: 1/4 and 3/4. Of [0, 0]: 1/2 each.
  @Test func figuresOfKnownDistributions() throws {
    let reference = TableModel([[0, log(3)], [0, log(3)]])
    let model = TableModel([[0, 0], [0, 0]])
    // 100 predictions in more than one piece: a 0 and three 1, again and again.
    let tokens = [1] + (0..<25).flatMap { _ in [0, 1, 1, 1] }
    let drift = try LogitDrift(of: model, from: reference, on: tokens)
    #expect(drift.tokenCount == 100)
    #expect(abs(drift.loss - log(2.0)) < 1e-6)
    #expect(abs(drift.referenceLoss - (log(4.0) / 4 + log(4.0 / 3) * 3 / 4)) < 1e-6)
    #expect(abs(drift.divergence - (log(2.0) - drift.referenceLoss)) < 1e-6)
    #expect(drift.agreement == 0)
    #expect(abs(drift.maximum - log(3.0)) < 1e-6)
    #expect(abs(drift.rootMeanSquare - log(3.0) / 2.0.squareRoot()) < 1e-6)
  }

  @Test func aModelDoesNotDriftFromItself() throws {
    let model = TableModel([[0.5, -1, 2], [3, 0, 1], [0, 0, 0]])
    let drift = try LogitDrift(of: model, from: model, on: [0, 1, 2, 0, 2])
    #expect(drift.divergence == 0 && drift.maximum == 0 && drift.rootMeanSquare == 0)
    #expect(drift.agreement == 1 && drift.loss == drift.referenceLoss)
  }

  /// Adding the same number to all logits changes no prediction.
  @Test func aShiftIsALogitErrorButNoDivergence() throws {
    let drift = try LogitDrift(
      of: TableModel([[2, 4], [3, 2]]), from: TableModel([[1, 3], [2, 1]]), on: [0, 1, 1, 0])
    #expect(abs(drift.divergence) < 1e-12 && drift.agreement == 1)
    #expect(abs(drift.rootMeanSquare - 1) < 1e-6)
  }

  @Test func refusesWhatCannotBeCompared() {
    let (two, one) = (TableModel([[0, 0], [0, 0]]), TableModel([[0]]))
    expectRefusal(.modelShape) { try LogitDrift(of: one, from: two, on: [0, 0]) }
    expectRefusal(.dataEmpty) { try LogitDrift(of: two, from: two, on: [0]) }
    expectRefusal(.modelToken) { try LogitDrift(of: two, from: two, on: [0, 1, 2, 0]) }
  }
}
