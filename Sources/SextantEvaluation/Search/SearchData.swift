import SextantBytes
import SextantGeneration
import SextantTensor

/// Items in two halves, by a seed: choices are made on one, and their results are reported of the other.
package struct Halves: Sendable {
  /// The items that choices are made on, in random order.
  package let choosing: [Int]
  /// The items that are reported, in random order.
  package let reporting: [Int]

  /// Cuts items in half. One item cannot be in both: a lone one is reported.
  init(of count: Int, seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let shuffled = Array(0..<count).shuffled(using: &random)
    choosing = Array(shuffled.prefix(count / 2))
    reporting = Array(shuffled.dropFirst(count / 2))
  }
}

/// What a search measures with.
package struct SearchData: Sendable {
  /// The prompts with their two kinds of answers.
  let items: [ChoiceTest.Tokens]
  /// Neutral texts.
  let passages: [[Int]]
  /// Other questions, whose answers should stay right.
  let others: [ChoiceTest.Tokens]

  /// Tokens of a passage that count as the prompt.
  static let promptCount = 16
  /// Tokens of a passage.
  package static let passageLength = 48
  /// Passages that are read, at most.
  package static let passageLimit = 32

  /// Some of the data.
  struct Part: Sendable {
    /// A name that is different for different data.
    let name: String
    var items: [ChoiceTest.Tokens]
    var passages: [[Int]]
    var others: [ChoiceTest.Tokens]
  }

  /// The data of the two halves.
  let choosing: Part
  let reporting: Part

  /// Cuts the data in half.
  ///
  /// - Throws: `data.empty` for fewer than 4 items, or 2 of the others.
  init(
    _ items: [ChoiceTest.Tokens], passages: [[Int]], others: [ChoiceTest.Tokens], seed: UInt64
  ) throws(Refusal) {
    let needs: [(parameter: String, count: Int, least: Int, unit: String)] = [
      ("pairs", items.count, 4, "prompt"),
      ("text", passages.count, 2, "passage of \(Self.passageLength) tokens"),
      ("keep", others.isEmpty ? 2 : others.count, 2, "question"),
    ]
    for need in needs where need.count < need.least {
      throw Refusal(
        .dataEmpty, at: .parameter(need.parameter), found: counted(need.count, need.unit),
        expected: "at least \(need.least): one half is for choosing, the other is reported")
    }
    (self.items, self.passages, self.others) = (items, passages, others)
    func part(_ name: String, _ half: KeyPath<Halves, [Int]>) -> Part {
      let chosen = { (count: Int) in Halves(of: count, seed: seed)[keyPath: half] }
      return Part(
        name: name, items: chosen(items.count).map { items[$0] },
        passages: chosen(passages.count).map { passages[$0] },
        others: chosen(others.count).map { others[$0] })
    }
    choosing = part("choosing", \.choosing)
    reporting = part("reporting", \.reporting)
  }

  /// A share of the half that choices are made on, without the other questions.
  func choosing(_ share: Double, leastItems: Int, leastPassages: Int) -> Part {
    func prefix<Element>(_ all: [Element], _ least: Int) -> [Element] {
      Array(all.prefix(max(Int(clamping: (Double(all.count) * share).rounded(.up)), least)))
    }
    let items = prefix(choosing.items, leastItems)
    let passages = prefix(choosing.passages, leastPassages)
    return Part(
      name: "choosing \(items.count) \(passages.count)", items: items, passages: passages,
      others: [])
  }

  /// One passage, as far as its first tokens after the prompt, to find the order of a strength.
  var glance: Part {
    let passage = choosing.passages.prefix(1).map { Array($0.prefix(Self.promptCount + 8)) }
    return Part(name: "glance", items: [], passages: passage, others: [])
  }
}

/// What steering in a cell does, measured on a part of the data.
package struct CellFigures: Sendable, Equatable {
  /// Matching minus unsteered matching, by item.
  package var effects: [Double] = []
  /// Nonsense minus unsteered nonsense, by item.
  package var nonsense: [Double] = []
  /// The divergence from the unsteered predictions of each passage, in nats per token.
  package var divergences: [Double] = []
  /// By item of the other questions: 1 if steering makes a right answer wrong, −1 if it makes a wrong
  /// answer right, else 0.
  package var losses: [Double] = []

  /// The mean; 0 of no values.
  package static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// The mean effect.
  package var effect: Double { Self.mean(effects) }
  /// The mean divergence, in nats per token.
  package var divergence: Double { Self.mean(divergences) }
}

/// The harm that a dose may do, each number a mean.
package struct HarmBudget: Sendable, Equatable {
  /// The divergence from the unsteered model on neutral text, in nats per token.
  package var divergence = 0.1
  /// The increase of the probability of answers that neither match nor do not.
  package var nonsense = 0.05
  /// The share of the other questions that are no longer answered rightly.
  package var loss = 0.02

  /// The usual budget.
  package init() {}

  /// The share of the budget that a cell uses up: 1 uses up all of it, more is too much.
  func share(of figures: CellFigures) -> Double {
    max(
      figures.divergence / divergence, CellFigures.mean(figures.nonsense) / nonsense,
      CellFigures.mean(figures.losses) / loss)
  }
}
