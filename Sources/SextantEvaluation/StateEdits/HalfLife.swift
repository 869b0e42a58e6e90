import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// How long an edit of the recurrent state survives, by layer and component.
///
/// A component is edited before one token of a text; then the edited and the unedited model read
/// the same following tokens. The measured values are the norm of the difference in the edited
/// component, as a share of the initial one, and the divergence of the predictions. The predicted
/// value is the same share from the decays alone, without an edit: for Mamba and Mamba-2 exp(delta A), for
/// RWKV-5 its decay, and for shift registers their length.
public struct HalfLife: Sendable {
  /// The result for one component of one block.
  public struct Entry: Sendable {
    /// The layer.
    public let layer: Int
    /// The component.
    public let component: String
    /// The remaining share in the component, the mean over edits.
    public let measured: HalfLife.Curve
    /// The same from the decays; nil if they are not known.
    public let predicted: HalfLife.Curve?
    /// The divergence of the prediction after 1, 2, … tokens from the unedited one, in nats.
    public let divergence: [Double]

    /// The site of the component.
    package var site: Site { .state(block: layer, component: component) }

    /// The remaining share of the divergence after the first token.
    public var divergenceCurve: HalfLife.Curve? {
      guard let first = divergence.first, first > 0 else { return nil }
      return HalfLife.Curve(divergence.map { $0 / first })
    }
  }

  /// Indexed by block, then by component.
  public let entries: [Entry]
  /// Edits that each figure is the mean of.
  public let editCount: Int
  /// Tokens that are read after each edit.
  public let horizon: Int

  /// Measures half-lives.
  ///
  /// - Parameters:
  ///   - vector: the vector that edits the state; components without a vector are left out.
  ///   - strength: multiples of the vector.
  ///   - tokens: a text; edits are made at equal distances in it.
  ///   - horizon: tokens that are read after each edit.
  ///   - edits: edits to take the mean of.
  ///   - rowLimit: components that are measured together.
  /// - Throws: `artifact.empty` for a vector without a state's component or a strength of 0, `artifact.scale`
  ///   for one that changes nothing, `model.nonfinite` for one that makes values overflow, `data.empty` for a
  ///   text that is too short, `usage.option` for more edits than the text has places for, and for a vector
  ///   that is not added; `artifact.*`, `model.*`.
  public init(
    of model: any LanguageModel, tokenizer: Digest?, vector: SteeringVector, strength: Float = 1,
    on tokens: [Int], horizon: Int = 64, edits editCount: Int = 4, rowLimit: Int = 64,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    let edits = try Self.edits(of: vector, model, tokenizer, strength)
    try Self.check(tokens.count, horizon: horizon, edits: editCount)
    let step = (tokens.count - horizon - 1) / editCount
    let starts = (1...editCount).map { $0 * step }
    var curves: [[(measured: HalfLife.Curve, predicted: HalfLife.Curve?, divergence: [Double])]] =
      Array(repeating: [], count: edits.count)
    var state = model.initialState()
    for (place, start) in starts.enumerated() {
      _ = try model.run(
        TokenBatch(Array(tokens[state.position..<start])), from: &state, logits: .none)
      let after = Array(tokens[start..<start + horizon])
      let predicted = try Self.predicted(edits, model, state, after, strength)
      for first in stride(from: 0, to: edits.count, by: rowLimit) {
        let part = Array(edits[first..<min(first + rowLimit, edits.count)])
        for (index, found) in try Self.measured(part, model, state, after, strength).enumerated() {
          curves[first + index].append((found.curve, predicted[first + index], found.divergence))
        }
      }
      progress(place + 1, starts.count)
    }
    (self.editCount, self.horizon) = (editCount, horizon)
    entries = zip(edits, curves).map { edit, curves in
      let predicted = curves.compactMap(\.predicted)
      return Entry(
        layer: edit.block, component: edit.component,
        measured: HalfLife.Curve(meanOf: curves.map(\.measured)),
        predicted: predicted.count == curves.count ? HalfLife.Curve(meanOf: predicted) : nil,
        divergence: (0..<horizon).map { place in
          curves.reduce(0) { $0 + $1.divergence[place] } / Double(curves.count)
        })
    }
  }

  /// Refuses a text that is too short for the edits, each of which is made before a token of its own.
  private static func check(
    _ tokenCount: Int, horizon: Int, edits editCount: Int
  ) throws(Refusal) {
    let places = tokenCount - horizon - 1
    guard places > 0 else {
      throw Refusal(
        .dataEmpty, found: counted(tokenCount, "token"),
        expected: "more than \(grouped(MemoryBudget.sum([horizon, 1]))) tokens",
        remedy: "Take a longer text, or lower `horizon`.")
    }
    guard (1...places).contains(editCount) else {
      throw Refusal(
        .usageOption, at: .parameter("edits"), found: grouped(editCount),
        expected: "1 to \(grouped(places)): the text has \(counted(tokenCount, "token")), "
          + "\(grouped(horizon)) of which are read after the last edit",
        remedy: "Lower `edits`, take a longer text, or lower `horizon`.")
    }
  }

  /// An edit of one component.
  private struct Edit {
    let site: Site
    let block: Int
    let component: String
    let edit: SteeringEdit
    let norm: Double

    var vector: [Float] { edit.vector }
  }

  private static func edits(
    of vector: SteeringVector, _ model: any LanguageModel, _ tokenizer: Digest?, _ strength: Float
  ) throws(Refusal) -> [Edit] {
    guard vector.operation == .add else {
      throw Refusal(
        .usageOption, file: vector.file, at: .parameter("apply"),
        found: "a vector for the operation \(vector.operation.rawValue)",
        expected: "a vector of the operation add, for which decays predict the share")
    }
    let applied = AppliedVector(vector, SteeringOptions(strength: strength))
    let found = try applied.edits(for: model.description, tokenizer: tokenizer)
    let edits = model.description.sites.compactMap { description -> Edit? in
      guard case .state(let block, let component) = description.site,
        let edit = found[description.site]?.edit, !edit.changesNothing(strength: 1)
      else { return nil }
      return Edit(
        site: description.site, block: block, component: component, edit: edit,
        norm: edit.vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
    }
    guard !edits.isEmpty, strength != 0 else {
      throw Refusal(
        .artifactEmpty, file: vector.file, found: "no edit of the state",
        expected: "a vector of a component, and a strength other than 0",
        remedy: "Train with `sites` state.")
    }
    return edits
  }

  /// Reads the rest with one row for each edit, and one unedited row.
  private static func measured(
    _ edits: [Edit], _ model: any LanguageModel, _ state: State, _ tokens: [Int],
    _ strength: Float
  ) throws(Refusal) -> [(curve: HalfLife.Curve, divergence: [Double])] {
    let rows = edits.count + 1
    var state = state.selecting(Array(repeating: 0, count: rows))
    var starts: [Double] = []
    for (index, edit) in edits.enumerated() {
      guard var value = state.component(edit.site) else { continue }
      _ = value.withMutableFloats { values in
        edit.edit.apply(
          strength: strength,
          to: .init(
            rebasing: values[(index + 1) * edit.vector.count..<(index + 2) * edit.vector.count]))
      }
      try state.setComponent(edit.site, to: value)
      let start = try Self.difference(state, edit, row: index + 1)
      guard start > 0 else {
        throw Refusal(
          .artifactScale, at: .tensor(edit.site.name),
          found: "\(strength), which changes no element of the state", expected: "a larger strength"
        )
      }
      starts.append(start)
    }
    var shares = starts.map { _ in [1.0] }
    var divergences: [[Double]] = starts.map { _ in [] }
    for token in tokens {
      let logits = try model.run(
        TokenBatch(Array(repeating: [token], count: rows)), from: &state)
      guard logits.withFloats({ $0.allSatisfy(\.isFinite) }) else {
        throw Refusal.nonfinite("logits")
      }
      let predictions = LogProbabilities.rows(logits)
      for (index, edit) in edits.enumerated() {
        let left = try Self.difference(state, edit, row: index + 1)
        shares[index].append(left / starts[index])
        divergences[index].append(predictions[0].divergence(of: predictions[index + 1]))
      }
    }
    return zip(shares, divergences).map { (HalfLife.Curve($0), $1) }
  }

  /// The norm of the difference between a row and the unedited one.
  ///
  /// - Throws: `model.nonfinite`.
  private static func difference(
    _ state: State, _ edit: Edit, row: Int
  ) throws(Refusal) -> Double {
    guard let value = state.component(edit.site) else { return 0 }
    let width = edit.vector.count
    let difference = value.withFloats { values in
      (0..<width).reduce(0.0) {
        let difference = Double(values[row * width + $1]) - Double(values[$1])
        return $0 + difference * difference
      }.squareRoot()
    }
    guard difference.isFinite else {
      throw Refusal.nonfinite("values", at: .tensor(edit.site.name))
    }
    return difference
  }

  /// The remaining share by the decays of the tokens.
  private static func predicted(
    _ edits: [Edit], _ model: any LanguageModel, _ state: State, _ tokens: [Int],
    _ strength: Float
  ) throws(Refusal) -> [HalfLife.Curve?] {
    guard let model = model as? any RetainingModel else { return edits.map { _ in nil } }
    var curves: [HalfLife.Curve?] = edits.map { _ in nil }
    var (stream, running) = (try model.begin(TokenBatch(tokens), at: state.position), state)
    for block in 0..<model.description.layerCount {
      for (index, edit) in edits.enumerated() where edit.block == block {
        let retention = model.retention(
          of: edit.component, block: block, reading: stream, state)
        curves[index] = retention.map { curve(edit, $0, tokens.count) }
      }
      try model.run(&stream, through: block..<block + 1, &running)
    }
    return curves
  }

  private static func curve(_ edit: Edit, _ retention: Retention, _ length: Int) -> HalfLife.Curve {
    var left = edit.vector.map(Double.init)
    var shares = [1.0]
    let share = { left.reduce(0) { $0 + $1 * $1 }.squareRoot() / edit.norm }
    switch retention {
    case .overwritten: return HalfLife.Curve([1.0] + Array(repeating: 0, count: length))
    case .factors(let factors):
      factors.withFloats { factors in
        for token in 0..<length {
          for index in left.indices { left[index] *= Double(factors[token * left.count + index]) }
          shares.append(share())
        }
      }
    case .shifts(let width):
      for _ in 0..<length {
        for row in stride(from: 0, to: left.count, by: width) {
          for place in 0..<width - 1 { left[row + place] = left[row + place + 1] }
          left[row + width - 1] = 0
        }
        shares.append(share())
      }
    }
    return HalfLife.Curve(shares)
  }
}
