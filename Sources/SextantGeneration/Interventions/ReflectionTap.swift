import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Moves the values of one token through a probe's hyperplane: x becomes x - 2 (score / scale) d /
/// ‖d‖², after which the probe's score has the opposite sign.
///
/// As a control, the same distance in another direction. At a component of the state the value that
/// the token reads is moved.
package final class ReflectionTap: Tap {
  private let entry: ProbeEntry
  private let site: Site
  private let position: Int
  /// A unit vector to move along instead, [n]; nil for the probe's own direction.
  private let control: [Double]?
  private let isSelected: (_ sequence: Int) -> Bool

  /// Reflects at one position of the sequences that are selected.
  ///
  /// - Throws: `artifact.site`, `artifact.width` if the model has no such site; `usage.option` for
  ///   a probe that reads pairs or erases; `artifact.zero` for one without direction.
  package init(
    _ entry: ProbeEntry, at position: Int, of model: ModelDescription, control: [Double]? = nil,
    file: String? = nil, where isSelected: @escaping (_ sequence: Int) -> Bool = { _ in true }
  ) throws(Refusal) {
    site = try model.editableSite(entry.site, file: file)
    guard entry.input == .single, entry.eraser == nil else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("probe"), found: entry.name,
        expected: "a probe that reads one activation, and erases nothing")
    }
    let square = entry.direction.reduce(0) { $0 + $1 * $1 }
    guard entry.scale != 0, square > 0, square.isFinite else {
      throw Refusal(
        .artifactZero, file: file, at: .tensor("\(entry.name).direction"),
        found: "|direction|² = \(square), scale \(entry.scale)",
        expected: "a direction that a score can be moved along")
    }
    self.entry = entry
    self.position = position
    self.control = control
    self.isSelected = isSelected
  }

  /// Whether the site is the probe's.
  package func wants(_ site: Site) -> Bool { site == self.site }

  /// Before the token.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(before: site.isState && positions.contains(position) ? [position] : [])
  }

  /// Moves the rows.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard context.positions.contains(position) else { return }
    let width = value.count / (context.batch * context.positions.count)
    let range = ProbeEntry.elements(of: entry.site, head: entry.head)
    let square = entry.direction.reduce(0) { $0 + $1 * $1 }
    for sequence in 0..<context.batch where isSelected(sequence) {
      let start = context.row(sequence: sequence, position: position) * width + range.lowerBound
      value.withMutableFloats { values in
        let own = UnsafeMutableBufferPointer(rebasing: values[start..<start + range.count])
        let distance = 2 * entry.score(UnsafeBufferPointer(own)) / entry.scale
        for index in own.indices {
          let step =
            control.map { distance / square.squareRoot() * $0[index] }
            ?? distance / square * entry.direction[index]
          own[index] = Float(Double(own[index]) - step)
        }
      }
    }
  }
}
