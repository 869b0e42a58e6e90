import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore

/// How tokens and sites are written in grids.
package enum LensText {
  /// A token's text in which spaces and ends of lines are visible, without control characters.
  package static func shown(_ text: String) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case " ": shown.append("\u{B7}")
      case "\n": shown.append("\u{23CE}")
      case "\t": shown.append("\u{21E5}")
      default:
        let isControl = [.control, .format, .privateUse, .unassigned]
          .contains(scalar.properties.generalCategory)
        shown.append(isControl ? "\u{FFFD}" : scalar)
      }
    }
    return String(shown)
  }

  /// The tokens of a text that are shown.
  ///
  /// - Parameter shown: their places, both ends included; nil for all.
  /// - Throws: `usage.option` if the text has no such tokens.
  package static func range(
    _ shown: ClosedRange<Int>?, of ids: [Int]
  ) throws(Refusal) -> Range<Int> {
    guard let shown, !ids.isEmpty else { return ids.indices }
    guard shown.upperBound < ids.count else {
      throw Refusal(
        .usageOption, at: .parameter("tokens"), found: LayerSelection.text(shown),
        expected: "tokens of the text, which are 0 to \(ids.count - 1)")
    }
    return shown.lowerBound..<shown.upperBound + 1
  }

  /// A site in a row's head: `embedding`, or the block's number.
  package static func label(_ site: Site) -> String {
    site.block.map { "block \($0)" } ?? site.name
  }
}

/// The measure that the colours of a grid show.
package enum LensMeasure: String, Sendable, CaseIterable {
  case probability, entropy, ce, kl

  /// The measure of a cell; nil if there is none.
  package func value(_ cell: LensCell) -> Double? {
    switch self {
    case .probability: cell.guesses.first?.probability
    case .entropy: cell.entropy
    case .ce: cell.crossEntropy
    case .kl: cell.divergence
    }
  }

  /// The colours over the cells of a grid.
  package func scale(_ cells: [[LensCell]]) -> ColourScale {
    let largest = cells.joined().compactMap(value).filter(\.isFinite).max() ?? 1
    return .sequential(0...(self == .probability ? 1 : max(largest, 1e-6)))
  }

  /// The measure in words.
  package var title: String {
    switch self {
    case .probability: "probability of the most probable token"
    case .entropy: "entropy, nats"
    case .ce: "cross-entropy of the next token, nats"
    case .kl: "divergence from the model, nats"
    }
  }
}
