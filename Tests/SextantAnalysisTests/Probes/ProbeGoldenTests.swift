import Glibc
import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantAnalysis

/// Every method is compared with scikit-learn, concept-erasure and NumPy on the same examples.
@Suite struct ProbeGoldenTests {
  let examples: Activations
  let labels: [Bool]
  let expected: [String: [Double]]
  static let site = SiteDescription(site: .output(block: 1), shape: [12], axes: ["channel"])

  init() throws {
    let file = try SafetensorsFile(PackageFiles.fixture("probes/examples.safetensors"))
    let (values, pairs) = try (Self.tensor(file, "values"), Self.tensor(file, "pairs"))
    labels = try Self.tensor(file, "labels").withUnsafeBytes {
      $0.bindMemory(to: Int64.self).map { $0 == 1 }
    }
    examples = Activations([(Self.site, values)], pairs: [(Self.site, pairs)])
    let golden = try SafetensorsFile(PackageFiles.fixture("probes/expected.safetensors"))
    var expected: [String: [Double]] = [:]
    for entry in golden.tensors {
      expected[entry.name] = try Self.tensor(golden, entry.name).withDoubles { Array($0) }
    }
    self.expected = expected
  }

  private static func tensor(_ file: SafetensorsFile, _ name: String) throws -> Tensor {
    let entry = try #require(file.tensor(named: name))
    let value = try file.bytes(of: entry).withUnsafeBytes {
      Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
    }
    return try #require(value)
  }

  private func train(_ methods: [ProbeMethod], seed: Int = 0) throws -> ProbeTrainer.Result {
    try ProbeTrainer(methods, seed: seed).train(examples, labels: labels)
  }

  private func cosine(_ a: [Double], _ b: [Double]) -> Double {
    LBFGS.dot(a, b) / (LBFGS.dot(a, a) * LBFGS.dot(b, b)).squareRoot()
  }

  /// The share of pairs of examples, one of each label, that the scores put in the right order.
  private func area(_ scores: [Double]) -> Double {
    var (right, all) = (0.0, 0.0)
    for (a, first) in zip(scores, labels) where first {
      for (b, second) in zip(scores, labels) where !second {
        all += 1
        right += a > b ? 1 : a == b ? 0.5 : 0
      }
    }
    return right / all
  }

  private static let golden: [ProbeMethod] = [
    .logistic, .meanDifference, .discriminant, .principal, .logisticOnPair, .meanDifferenceOnPair,
    .discriminantOnPair, .clustering, .negativeCovariance,
  ]

  @Test(arguments: golden)
  func directionsAndAreasAreThoseOfOtherPrograms(method: ProbeMethod) throws {
    let probe = try #require(train([method]).entries.first)
    let direction = try #require(expected["\(method.rawValue).direction"])
    let signed = cosine(probe.direction, direction)
    let isUnsigned = [.principal, .clustering, .negativeCovariance].contains(method)
    #expect(1 - (isUnsigned ? abs(signed) : signed) < 1e-6)
    let scores = try #require(probe.scores(of: examples))
    // The scale contains the sign: scores increase with the label, and a component may have either
    // sign.
    let golden = try #require(expected["\(method.rawValue).auroc"]?.first)
    let wanted = isUnsigned ? max(golden, 1 - golden) : golden
    #expect(abs(area(scores) - wanted) < 1e-6)
  }

  @Test(arguments: [ProbeMethod.logistic, .logisticOnPair])
  func theBiasIsTheOtherProgramsToo(method: ProbeMethod) throws {
    let probe = try #require(train([method]).entries.first)
    let bias = try #require(expected["\(method.rawValue).bias"]?.first)
    #expect(abs(probe.bias - bias) < 1e-5 * max(abs(bias), 1))
    let direction = try #require(expected["\(method.rawValue).direction"])
    #expect(zip(probe.direction, direction).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func erasedRowsAreThoseOfConceptErasure() throws {
    let values = try #require(examples.values[Self.site.site])
    let eraser = try #require(LEACE.eraser(ClassMoments(values, labels, order: .covariance)))
    let wanted = try #require(expected["erased"])
    for row in 0..<labels.count {
      let x = values.rows(row..<row + 1).values.map(Double.init)
      let amount = LBFGS.dot(eraser.right, zip(x, eraser.mean).map { $0 - $1 })
      for (index, value) in x.enumerated() {
        #expect(abs(value - eraser.left[index] * amount - wanted[row * 12 + index]) < 1e-6)
      }
    }
  }

  @Test func noProbeFindsALabelThatIsErased() throws {
    let values = try #require(examples.values[Self.site.site])
    let eraser = try #require(LEACE.eraser(ClassMoments(values, labels, order: .covariance)))
    var erased: [Float] = []
    for row in 0..<labels.count {
      let x = values.rows(row..<row + 1).values.map(Double.init)
      let amount = LBFGS.dot(eraser.right, zip(x, eraser.mean).map { $0 - $1 })
      erased += x.enumerated().map { Float($1 - eraser.left[$0] * amount) }
    }
    var copy = examples
    copy.values = [Self.site.site: Tensor(erased, shape: values.shape)]
    let result = try ProbeTrainer([.logistic]).train(copy, labels: labels)
    let probe = try #require(result.entries.first)
    #expect(LBFGS.dot(probe.direction, probe.direction).squareRoot() < 1e-3)
    let before = try #require(train([.logistic]).entries.first)
    #expect(LBFGS.dot(before.direction, before.direction).squareRoot() > 0.5)
  }

  @Test func consistentSearchEndsAsLowAsThePublishedLossCanGet() throws {
    let result = try train([.consistentSearch])
    let probe = try #require(result.entries.first)
    guard case .object(let figures)? = result.statistics[probe.name],
      case .number(let loss)? = figures["loss"], case .number(let bias)? = figures["search_bias"]
    else {
      Issue.record("no loss in \(result.statistics)")
      return
    }
    let least = try #require(expected["ccs.loss"]?.first)
    #expect(loss < least + 1e-4)
    // The loss, written out again from the erased pairs.
    let erased = try #require(expected["erased-pairs"])
    let logits = (0..<2 * labels.count).map { row in
      LBFGS.dot(probe.direction, Array(erased[row * 12..<(row + 1) * 12])) + bias
    }
    var sum = 0.0
    for index in labels.indices {
      let (q, p) = (1 / (1 + exp(-logits[index])), 1 / (1 + exp(-logits[labels.count + index])))
      sum += pow(p - (1 - q), 2) + pow(min(p, q), 2)
    }
    let decay = 0.005 * LBFGS.dot(probe.direction, probe.direction)
    #expect(abs(sum / Double(labels.count) + decay - loss) < 1e-6)
    let other = try #require(expected["ccs.direction"])
    #expect(abs(cosine(probe.direction, other)) > 0.99)
  }

  @Test func startsThatAreTriedOnSomePairsEndAsLow() throws {
    let pairs = try #require(examples.pairs[Self.site.site])
    let moments = try #require(
      PairMoments(ClassMoments(pairs, labels, order: .covariance).total))
    var search = ConsistentSearch()
    search.trialLimit = 100
    var random = SeededRandom(seed: 6)
    let fit = search.fit(pairs, moments, &random)
    #expect(fit.loss < (try #require(expected["ccs.loss"]?.first)) + 1e-3)
  }

  @Test func trainingTwiceGivesTheSameBits() throws {
    let methods = ProbeMethod.allCases
    let (first, second) = try (train(methods), train(methods))
    #expect(first.entries == second.entries && first.entries.count == methods.count)
    #expect(first.skipped.isEmpty)
    let other = try train([.random], seed: 1)
    #expect(other.entries[0].direction != first.entries.first { $0.method == "random" }?.direction)
  }

  @Test func oneLabelAloneIsRefused() throws {
    let refusal = #expect(throws: Refusal.self) {
      try ProbeTrainer([.logistic]).train(examples, labels: labels.map { _ in true })
    }
    #expect(refusal?.code == .dataEmpty)
  }

  @Test func separableScoresHaveAFiniteScale() {
    let (scale, bias) = PlattScaling.fit([-2, -1, 1, 2], [false, false, true, true])
    #expect(scale > 0 && scale.isFinite && abs(bias) < 1e-6)
    let flat = PlattScaling.fit([3, 3, 3], [true, false, false])
    #expect(flat.scale == 0 && abs(flat.bias - log(2.0 / 3)) < 1e-9)
    let turned = PlattScaling.fit([-2, -1, 1, 2], [true, true, false, false])
    #expect(abs(turned.scale + scale) < 1e-9)
  }
}
