import SextantBytes

/// One statement with labels, for training and measuring probes.
///
/// The fields are those of the quirky data sets of elk-generalization: `statement` (or `template_args`
/// and a template), `choices`, `character`, `label`, `alice_label`, `bob_label`, `difficulty`,
/// `difficulty_quantile`. Any other field can serve as a label or a condition, too.
public struct LabelledRecord: Sendable, Equatable {
  /// The text that the model reads.
  public let text: String
  /// The two continuations that the model chooses from, the false one first; nil if there are none.
  public let choices: [String]?
  /// All fields of the record.
  public internal(set) var fields: JSONObject

  /// A record of these fields.
  public init(text: String, choices: [String]?, fields: JSONObject) {
    self.text = text
    self.choices = choices
    self.fields = fields
  }

  /// A field as text: strings as they are, numbers and booleans as JSON spells them; nil if the
  /// record has no such field.
  public func text(of field: String) -> String? {
    switch fields[field] {
    case .string(let text): text
    case .null, .array, .object, nil: nil
    case .verbatim(let spelling): Double(spelling).flatMap { $0.isFinite ? spelling : nil }
    case .some(let value): value.canonicalText
    }
  }

  /// A field as a number; nil if it is none.
  public func number(of field: String) -> Double? {
    switch fields[field] {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .string(let text), .verbatim(let text): Double(text).flatMap { $0.isFinite ? $0 : nil }
    default: nil
    }
  }

  /// A field as a label: 1, true or yes; or 0, -1, false or no, in any case; nil for anything else.
  public func label(of field: String) -> Bool? { LabelColumn.label(of: self, field) }
}
