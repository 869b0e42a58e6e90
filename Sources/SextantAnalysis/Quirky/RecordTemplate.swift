import SextantBytes
import SextantTexts

/// A text in which `{name}` represents a member of a record.
///
/// A name contains no brace, quote or line feed, so that other text in braces, such as JSON, stays.
struct RecordTemplate {
  /// A part of the template.
  private enum Piece {
    case text(Substring)
    case member(String)
  }

  /// The template as it was written.
  let text: String
  private let pieces: [Piece]

  /// The names of members, in their order.
  var names: [String] {
    pieces.compactMap { if case .member(let name) = $0 { name } else { nil } }
  }

  /// Reads a template.
  ///
  /// - Throws: `usage.option` for one without a name, which gives every record the same text.
  init(_ text: String) throws(Refusal) {
    self.text = text
    var pieces: [Piece] = []
    var rest = text[...]
    while let open = rest.firstIndex(of: "{") {
      let inner = rest[rest.index(after: open)...]
      let end = inner.firstIndex { "{}\"\n".contains($0) }
      guard let end, inner[end] == "}", end > inner.startIndex else {
        // No name: the brace is text.
        pieces.append(.text(rest[...open]))
        rest = inner
        continue
      }
      pieces += [.text(rest[..<open]), .member(String(inner[..<end]))]
      rest = inner[inner.index(after: end)...]
    }
    self.pieces = pieces + [.text(rest)]
    guard !names.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("template"), found: "no name in braces",
        expected: "{name} for a member of the records: else all texts are the same")
    }
  }

  /// The template with the members of a record, or of its `template_args`, instead of their names.
  ///
  /// - Throws: `data.record` for a record without a member, or one that is not text, number or
  ///   boolean.
  func filled(with record: JSONNode) throws(Refusal) -> String {
    let arguments = try record.optionalMember("template_args") ?? record
    var text = ""
    for piece in pieces {
      switch piece {
      case .text(let own): text += own
      case .member(let name):
        do throws(Refusal) {
          text += try arguments.field(name).plainText()
        } catch {
          var refusal = error
          refusal.remedy = "Repair the record, or the name {\(name)} in `template`."
          throw refusal
        }
      }
    }
    return text
  }
}

extension JSONNode {
  /// A string as it is; a number or a boolean as JSON spells it.
  ///
  /// - Throws: a refusal of anything else.
  fileprivate func plainText() throws(Refusal) -> String {
    switch value {
    case .string(let text): return text
    case .boolean, .integer, .number: return value.canonicalText
    case .verbatim(let spelling) where Double(spelling)?.isFinite ?? false: return spelling
    default: throw refusal(expected: "a text, a number or a boolean")
    }
  }
}
