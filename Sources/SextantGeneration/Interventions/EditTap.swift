import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// The edit of one value of a site, at every selected token.
enum ValueEdit: Sendable {
  /// A steering vector's operation.
  case steer(SteeringEdit, strength: Float, unit: SteeringEdit.Unit)
  /// x becomes x - strength · left (right · (x - mean)).
  case erase(ProbeEntry.Eraser, strength: Float)

  /// Whether it leaves every value as it is, bit for bit.
  var changesNothing: Bool {
    switch self {
    case .steer(let edit, let strength, _): edit.changesNothing(strength: strength)
    case .erase(_, let strength): strength == 0
    }
  }

  /// The norm of what is added, as a share of a value's norm; nil for an edit that does not add.
  func share(of norm: Double) -> Double? {
    guard case .steer(let edit, let strength, let unit) = self, edit.operation.isAddition else {
      return nil
    }
    let factor = Double(abs(strength))
    return unit == .share ? factor : factor * edit.norm / norm
  }

  /// Elements of the value.
  var width: Int {
    switch self {
    case .steer(let edit, _, _): edit.vector.count
    case .erase(let eraser, _): eraser.mean.count
    }
  }

  /// Edits a value, [width].
  ///
  /// - Returns: whether anything was done.
  func apply(to value: UnsafeMutableBufferPointer<Float>) -> Bool {
    switch self {
    case .steer(let edit, let strength, let unit):
      return edit.apply(strength: strength, unit: unit, to: value)
    case .erase(let eraser, let strength):
      var amount = 0.0
      for index in value.indices {
        amount += eraser.right[index] * (Double(value[index]) - eraser.mean[index])
      }
      amount *= Double(strength)
      for index in value.indices {
        value[index] = Float(Double(value[index]) - eraser.left[index] * amount)
      }
      return true
    }
  }
}

/// Edits the values of the selected tokens while a model runs, as one artifact declares.
///
/// At a residual site the selected tokens' values are edited. A component of the state is edited
/// once before each selected token, so that the token reads the edited state.
package final class EditTap: Tap {
  private var edits: [Site: ValueEdit]
  /// The sites that were asked for, those of strength or norm 0 included.
  let namedSites: Set<Site>
  /// The tokens at which the edits act.
  let tokens: EditedTokens
  /// Decides at which of the selected tokens the edits act; nil for all.
  let gate: Gate?
  /// The effects of the edits.
  private(set) var log = EditLog()

  /// Prepares a steering vector for a model and a prompt.
  ///
  /// - Parameters:
  ///   - applied: in units other than nats, which `Interventions` resolves; its gate is not read.
  ///   - model: the model that will run.
  ///   - tokenizer: the digest of the tokenizer that made the prompt's ids.
  ///   - prompt: the positions of the prompt in its sequence.
  /// - Throws: the errors of `AppliedVector.edits`.
  package convenience init(
    _ applied: AppliedVector, model: ModelDescription, tokenizer: Digest?, prompt: Range<Int>
  ) throws(Refusal) {
    try self.init(applied, model: model, tokenizer: tokenizer, prompt: prompt, gate: nil)
  }

  /// Prepares an eraser for a model and a prompt.
  ///
  /// - Throws: the errors of `AppliedEraser.edits`.
  package convenience init(
    _ applied: AppliedEraser, model: ModelDescription, tokenizer: Digest?, prompt: Range<Int>
  ) throws(Refusal) {
    try self.init(applied, model: model, tokenizer: tokenizer, prompt: prompt, gate: nil)
  }

  convenience init(
    _ applied: AppliedVector, model: ModelDescription, tokenizer: Digest?, prompt: Range<Int>,
    gate: Gate?
  ) throws(Refusal) {
    let edits = try applied.edits(for: model, tokenizer: tokenizer)
    let unit: SteeringEdit.Unit = applied.options.unit == .share ? .share : .raw
    self.init(
      edits.mapValues { .steer($0.edit, strength: $0.strength, unit: unit) },
      applied.options.tokens(orElse: applied.vector.positions, prompt: prompt), gate)
  }

  convenience init(
    _ applied: AppliedEraser, model: ModelDescription, tokenizer: Digest?, prompt: Range<Int>,
    gate: Gate?
  ) throws(Refusal) {
    let edits = try applied.edits(for: model, tokenizer: tokenizer)
    self.init(
      edits.mapValues { .erase($0.eraser, strength: $0.strength) },
      applied.options.tokens(orElse: applied.eraser.positions, prompt: prompt), gate)
  }

  /// Prepares a direction for a model and a prompt.
  ///
  /// - Throws: the errors of `AppliedDirection.edit`.
  convenience init(
    _ applied: AppliedDirection, model: ModelDescription, prompt: Range<Int>
  ) throws(Refusal) {
    self.init(
      [applied.site: try applied.edit(for: model)],
      applied.options.tokens(orElse: .fromLast, prompt: prompt), nil)
  }

  private init(_ edits: [Site: ValueEdit], _ tokens: EditedTokens, _ gate: Gate?) {
    namedSites = Set(edits.keys)
    // An edit that changes nothing is not run, so that not even a zero is added.
    self.edits = edits.filter { !$0.value.changesNothing }
    self.tokens = tokens
    self.gate = gate
  }

  /// The sites that it edits.
  var sites: Set<Site> { Set(edits.keys) }

  /// The positions at which it edits something.
  var selections: [PositionSelection] {
    let hasStates = edits.keys.contains(where: \.isState)
    let hasTokens = edits.keys.contains { !$0.isState }
    return (hasTokens ? [tokens.tokens] : []) + (hasStates ? [tokens.state] : [])
  }

  /// The sites at which a value was edited.
  package var editedSites: Set<Site> { Set(log.positions.keys) }

  /// The positions of the tokens at which a value was edited.
  package var editedPositions: Set<Int> {
    log.positions.values.reduce(into: []) { $0.formUnion($1) }
  }

  /// The sites at which it sets a value rather than adding to it, by the positions of each.
  var exclusiveSites: [(sites: Set<Site>, positions: PositionSelection)] {
    let own = edits.filter { _, edit in
      switch edit {
      case .steer(let edit, _, _): edit.operation == .affine
      case .erase: true
      }
    }
    let states = Set(own.keys.filter(\.isState))
    return [(states, tokens.state), (Set(own.keys).subtracting(states), tokens.tokens)]
  }

  /// Whether it edits the site.
  package func wants(_ site: Site) -> Bool { edits[site] != nil }

  /// Before each selected token; before every token if the selection depends on the token itself.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    tokens.stateVisits(
      in: positions, editsState: edits.keys.contains(where: \.isState), isGated: gate != nil)
  }

  /// Edits the selected values.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let edit = edits[site] else { return }
    let width = edit.width
    for position in context.positions {
      for sequence in 0..<context.batch {
        let token = context.token(sequence: sequence, position: position)
        guard tokens.contains(position, token: token, at: site) else { continue }
        let reading = gate?.reading(at: position)
        let row = context.row(sequence: sequence, position: position)
        value.withMutableFloats { values in
          let own = UnsafeMutableBufferPointer(rebasing: values[row * width..<(row + 1) * width])
          log.note(site, position, sequence, reading, own) {
            reading?.isOpen ?? true ? edit.apply(to: own) : false
          }
        }
      }
    }
  }

  /// Keeps a record of every edit from now on.
  func keepRecords() { log.keepsRecords = true }

  /// Hands over the records since the last time.
  func takeRecords() -> [EditRecord] { log.takeRecords() }

  /// The largest addition among some sites, compared with the values of a log; nil if nothing was added.
  func largestAddition(at sites: Set<Site>?, _ log: EditLog) -> EditSummary.Addition? {
    let additions = edits.compactMap { site, edit -> EditSummary.Addition? in
      guard sites?.contains(site) ?? true, let norm = log.firstNorms[site],
        let share = edit.share(of: norm)
      else { return nil }
      return EditSummary.Addition(site: site.name, share: share)
    }
    // Sites of equal shares in one order.
    return additions.max { ($0.share, $1.site) < ($1.share, $0.site) }
  }

  /// Adds the addition of another tap, so that vectors that cancel change nothing, bit for bit.
  ///
  /// - Returns: whether it could be done: both add, in raw units, at the same positions.
  func absorb(_ other: EditTap) -> Bool {
    guard gate == nil, other.gate == nil, tokens == other.tokens, let own = additions,
      let others = other.additions
    else { return false }
    var sums = own.mapValues { $0.edit.combined(times: $0.strength, $0.edit, times: 0) }
    for (site, added) in others {
      sums[site] =
        own[site].map {
          $0.edit.combined(times: $0.strength, added.edit, times: added.strength)
        } ?? added.edit.combined(times: added.strength, added.edit, times: 0)
    }
    edits = sums.filter { !$0.value.changesNothing(strength: 1) }
      .mapValues { .steer($0, strength: 1, unit: .raw) }
    return true
  }

  /// The edits, if all of them add multiples of a vector.
  private var additions: [Site: (edit: SteeringEdit, strength: Float)]? {
    var additions: [Site: (edit: SteeringEdit, strength: Float)] = [:]
    for (site, edit) in edits {
      guard case .steer(let edit, let strength, .raw) = edit, edit.operation == .add else {
        return nil
      }
      additions[site] = (edit, strength)
    }
    return additions
  }
}

extension SteeringOptions {
  /// The tokens of a run that the options select, or else the artifact.
  func tokens(orElse own: PositionSelection, prompt: Range<Int>) -> EditedTokens {
    let tokens = positions ?? own
    return EditedTokens(tokens: tokens, state: statePositions ?? tokens, prompt: prompt)
  }
}
