import Glibc
import SextantBytes

/// A cell that a search measured, and what it found there.
package struct TriedCell: Sendable {
  /// The place.
  package let place: SteeringPlace
  /// The strength.
  package let strength: Float
  /// The round of the search, from 0; the last round measures on the whole half.
  package let round: Int
  /// The figures on the items that choices are made on, as far as the round reads them.
  package let figures: CellFigures
  /// The share of the budget that it uses up.
  package let harm: Double
  /// Whether it was measured on all that choices are made on.
  package let isWhole: Bool
}

/// Searches the dose of one vector: the place and the strength with the largest effect within a budget of
/// harm.
///
/// Every place first gets the strength that uses up the budget, found by bracketing the divergence on a
/// few tokens: places are then compared at equal harm. Rounds of successive halving (Jamieson and
/// Talwalkar, arXiv 1502.07943) measure the places on more and more of the data, keep the better third,
/// and correct their strengths. The last places are measured on the whole half, at strengths that close in
/// on the budget, and at smaller ones.
struct DoseSearch {
  let data: SearchData
  let budget: HarmBudget
  let bench: SearchBench
  /// Receives the best cell so far.
  var improved: (TriedCell) -> Void = { _ in }

  /// The places that the last round measures.
  private static let finalCount = 4
  /// The share of the places that a round keeps, as a divisor.
  private static let factor = 3
  /// Strengths of a place in the last round, at most, before the smaller ones.
  private static let closingCount = 4
  /// The smaller strengths of the last round, as shares of the largest one within the budget: about an
  /// eighth and a half of its harm.
  private static let smallerShares: [Float] = [0.35, 0.7]
  /// The share of the budget that strengths aim at.
  private static let aim = 0.95

  /// A place during the search.
  private struct Arm {
    let place: SteeringPlace
    var strength: Float
    var score = -Double.infinity
    /// Strengths of the last round, and their harm.
    var measured: [(strength: Float, harm: Double)] = []

    var cell: SearchCell { SearchCell(place: place, strength: strength) }
    /// The largest strength within the budget.
    var inside: (strength: Float, harm: Double)? {
      measured.filter { $0.harm <= 1 }.max { $0.strength < $1.strength }
    }
    /// The smallest strength beyond it.
    var outside: (strength: Float, harm: Double)? {
      measured.filter { $0.harm > 1 }.min { $0.strength < $1.strength }
    }
  }

  /// Rounds before the last one.
  static func roundCount(_ count: Int) -> Int {
    var (rounds, left) = (0, count)
    while left > finalCount { (rounds, left) = (rounds + 1, max(finalCount, left / factor)) }
    return rounds
  }

  /// Cells that a search of places measures at most, for its progress.
  static func cellCount(_ count: Int, fixed: Int) -> Int {
    var (cells, left) = (fixed > 0 ? 0 : 3 * count, count * max(fixed, 1))
    while left > finalCount { (cells, left) = (cells + left, max(finalCount, left / factor)) }
    return cells + left * (fixed > 0 ? 1 : closingCount + smallerShares.count)
  }

  /// Runs the search.
  ///
  /// - Parameter strengths: measured at every place, instead of searching for them; nil to search.
  /// - Returns: all cells that were tried, in the order of the measurements.
  /// - Throws: `model.*`; `artifact.scale` if no strength moves the predictions.
  func run(_ places: [SteeringPlace], strengths: [Float]?) throws(Refusal) -> [TriedCell] {
    let isFixed = strengths != nil
    var arms =
      if let strengths {
        places.flatMap { place in strengths.map { Arm(place: place, strength: $0) } }
      } else {
        try bracketed(places)
      }
    var tried: [TriedCell] = []
    let rounds = Self.roundCount(arms.count)
    for round in 0..<rounds {
      let part = data.choosing(
        1 / Double(1 << min(rounds - round, 30)), leastItems: 6, leastPassages: 2)
      let cells = try measure(arms, on: part, round, isWhole: false)
      tried += cells
      for (index, cell) in cells.enumerated() {
        arms[index].score = score(cell, isFixed: isFixed)
        if !isFixed { arms[index].strength *= Self.step(from: cell.harm) }
      }
      let kept = max(Self.finalCount, arms.count / Self.factor)
      let order = arms.indices.sorted { (arms[$1].score, $0) < (arms[$0].score, $1) }
      arms = order.prefix(kept).sorted().map { arms[$0] }
    }
    return try tried
      + (isFixed
        ? measure(arms, on: data.choosing, rounds, isWhole: true)
        : closed(arms, rounds))
  }

  /// The cell with the largest effect within the budget, among those that were measured on the whole
  /// half; nil if none has an effect.
  static func best(of tried: [TriedCell]) -> TriedCell? {
    let good = tried.filter { $0.isWhole && $0.harm <= 1 && $0.figures.effect > 0 }
    return good.enumerated().min {
      (-$0.element.figures.effect, $0.element.figures.divergence, $0.offset)
        < (-$1.element.figures.effect, $1.element.figures.divergence, $1.offset)
    }?.element
  }

  /// The cells within the budget that no other one surpasses in both effect and divergence, by
  /// divergence.
  static func front(of tried: [TriedCell]) -> [TriedCell] {
    let good = tried.filter { $0.isWhole && $0.harm <= 1 && $0.figures.effect > 0 }
    let byHarm = good.enumerated().sorted {
      ($0.element.figures.divergence, -$0.element.figures.effect, $0.offset)
        < ($1.element.figures.divergence, -$1.element.figures.effect, $1.offset)
    }.map(\.element)
    var front: [TriedCell] = []
    for cell in byHarm where cell.figures.effect > front.last?.figures.effect ?? 0 {
      front.append(cell)
    }
    return front
  }

  /// Measures the arms at their strengths.
  private func measure(
    _ arms: [Arm], on part: SearchData.Part, _ round: Int, isWhole: Bool
  ) throws(Refusal) -> [TriedCell] {
    let cells = arms.map(\.cell)
    let found = try bench.figures(of: cells, on: part)
    return zip(cells, found).map { cell, figures in
      let tried = TriedCell(
        place: cell.place, strength: cell.strength, round: round, figures: figures,
        harm: budget.share(of: figures), isWhole: isWhole)
      improved(tried)
      return tried
    }
  }

  /// The effect of a cell; of one whose strength can still change, at the strength that uses up the
  /// budget. For small strengths, the divergence grows with the square of the strength.
  private func score(_ cell: TriedCell, isFixed: Bool) -> Double {
    if isFixed, cell.harm <= 1 { return cell.figures.effect }
    let score = cell.figures.effect / min(max(cell.harm, 1.0 / 16), 16).squareRoot()
    return isFixed ? score - 1 : score
  }

  /// The factor from a strength to one that uses up the budget.
  private static func step(from harm: Double, limit: Double = 4) -> Float {
    guard harm > 0 else { return Float(limit) }
    return Float(min(max((aim / harm).squareRoot(), 1 / limit), limit))
  }

  /// The places with strengths of about the budget's divergence.
  private func bracketed(_ places: [SteeringPlace]) throws(Refusal) -> [Arm] {
    var arms = places.map { Arm(place: $0, strength: 1) }
    var open = Array(arms.indices)
    var moved: Set<Int> = []
    for _ in 0..<16 where !open.isEmpty {
      let found = try bench.figures(of: open.map { arms[$0].cell }, on: data.glance)
      var next: [Int] = []
      for (index, figures) in zip(open, found) {
        let harm = figures.divergence / budget.divergence
        if harm > 1e-6 { moved.insert(index) }
        let strength = arms[index].strength * Self.step(from: harm, limit: 16)
        if strength.isFinite, strength > 0 { arms[index].strength = strength }
        // The next step starts from here; nearer places are corrected by the rounds.
        if !(0.3...3).contains(harm) { next.append(index) }
      }
      open = next
    }
    let kept = arms.indices.filter(moved.contains).map { arms[$0] }
    guard !kept.isEmpty else {
      throw Refusal(
        .artifactScale, found: "no strength that moves the predictions of the text",
        expected: "a vector with an effect")
    }
    return kept
  }

  /// The last round: strengths that close in on the budget, and smaller ones.
  private func closed(_ survivors: [Arm], _ round: Int) throws(Refusal) -> [TriedCell] {
    var arms = survivors
    var tried: [TriedCell] = []
    var open = Array(arms.indices)
    for _ in 0..<Self.closingCount where !open.isEmpty {
      let cells = try measure(open.map { arms[$0] }, on: data.choosing, round, isWhole: true)
      tried += cells
      for (index, cell) in zip(open, cells) {
        arms[index].measured.append((cell.strength, cell.harm))
        arms[index].strength = Self.next(arms[index])
      }
      open = open.filter { (arms[$0].inside?.harm ?? 0) < 0.9 }
    }
    var smaller: [Arm] = []
    for arm in arms {
      guard let inside = arm.inside else { continue }
      smaller += Self.smallerShares.map { Arm(place: arm.place, strength: inside.strength * $0) }
    }
    return try tried + measure(smaller, on: data.choosing, round, isWhole: true)
  }

  /// The next strength of a place: between the two ends of the budget, if both are known.
  private static func next(_ arm: Arm) -> Float {
    guard let last = arm.measured.last else { return arm.strength }
    guard let inside = arm.inside, let outside = arm.outside else {
      return last.strength * step(from: last.harm)
    }
    // Along a line in logarithms, but not at the ends: the harm may jump, or stay.
    let (low, high) = (max(inside.harm, 1e-9), min(outside.harm, 1e9))
    let share = log(aim / low) / log(high / low)
    let ratio = Double(outside.strength / inside.strength)
    return inside.strength * Float(pow(ratio, min(max(share, 0.1), 0.9)))
  }
}
