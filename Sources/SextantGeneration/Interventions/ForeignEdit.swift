import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A custom tap that may edit values: its effect is found by comparing them.
final class ForeignEdit: Tap {
  private let tap: any Tap
  /// The effect of the tap.
  private(set) var log = EditLog()

  init(_ tap: any Tap) {
    self.tap = tap
  }

  func wants(_ site: Site) -> Bool { tap.wants(site) }

  func stateVisits(in positions: Range<Int>) -> StateVisits { tap.stateVisits(in: positions) }

  func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(Refusal) {
    let before = value.values
    try tap.visit(site, &value, context)
    guard value.count == before.count, !before.isEmpty, context.stateMoment != .after else {
      return
    }
    let width = before.count / (context.batch * context.positions.count)
    value.withMutableFloats { after in
      for sequence in 0..<context.batch {
        for position in context.positions {
          let start = context.row(sequence: sequence, position: position) * width
          let (old, new) = (before[start..<start + width], after[start..<start + width])
          guard zip(old, new).contains(where: { $0.bitPattern != $1.bitPattern }) else { continue }
          log.note(site, position, sequence, before: old, after: new)
        }
      }
    }
  }

  func keepRecords() { log.keepsRecords = true }

  func takeRecords() -> [EditRecord] { log.takeRecords() }
}
