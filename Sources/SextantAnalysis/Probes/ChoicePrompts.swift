import SextantBytes
import SextantTokenizers

/// Records as token ids: the prompts, and the first tokens of the two choices after them.
package struct ChoicePrompts: Sendable {
  /// The ids of each record's text.
  package let prompts: [[Int]]
  /// The first id of the false and of the true choice of each record; nil if a record has none.
  package let choices: [[Int]]?

  /// Prompts with their choices.
  package init(prompts: [[Int]], choices: [[Int]]?) {
    self.prompts = prompts
    self.choices = choices
  }

  /// Some of the prompts, with their choices.
  func selecting(_ records: [Int]) -> ChoicePrompts {
    ChoicePrompts(
      prompts: records.map { prompts[$0] }, choices: choices.map { all in records.map { all[$0] } })
  }

  /// The ids of records.
  ///
  /// - Parameter needsChoices: whether the choices are used. If not, those that the tokenizer cannot tell
  ///   apart are left out, and so are all others.
  /// - Throws: `data.record` for a text without tokens; `data.tokenization` for choices that begin
  ///   with the same token, or that change the tokens of the text before them.
  package init(
    _ records: [LabelledRecord], _ tokenizer: any Tokenizer, needsChoices: Bool = true
  ) throws(Refusal) {
    var prompts: [[Int]] = []
    for (index, record) in records.enumerated() {
      let prompt = try tokenizer.encodeText(record.text)
      guard !prompt.isEmpty else {
        throw Refusal(
          .dataRecord, at: .pointer("/\(index)"), found: "a text without tokens",
          expected: "at least one token")
      }
      prompts.append(prompt)
    }
    do throws(Refusal) {
      let choices = try Self.choices(of: records, after: prompts, tokenizer)
      self.init(prompts: prompts, choices: choices)
    } catch {
      if needsChoices { throw error }
      self.init(prompts: prompts, choices: nil)
    }
  }

  /// The first ids of the choices; nil if a record has none.
  private static func choices(
    of records: [LabelledRecord], after prompts: [[Int]], _ tokenizer: any Tokenizer
  ) throws(Refusal) -> [[Int]]? {
    var choices: [[Int]] = []
    for (index, record) in records.enumerated() {
      guard let texts = record.choices else { continue }
      let prompt = prompts[index]
      var first: [Int] = []
      for text in texts {
        let joined = try tokenizer.encodeText(record.text + text)
        guard joined.count > prompt.count, joined.starts(with: prompt) else {
          throw Refusal(
            .dataTokenization, at: .pointer("/\(index)/choices"),
            found: "\"\(text)\", which merges with the end of the text",
            expected: "a choice that begins with a token of its own")
        }
        first.append(joined[prompt.count])
      }
      guard first[0] != first[1] else {
        throw Refusal(
          .dataTokenization, at: .pointer("/\(index)/choices"),
          found: "\"\(texts[0])\" and \"\(texts[1])\", which begin with the same token",
          expected: "choices that differ in their first token")
      }
      choices.append(first)
    }
    return choices.count == records.count ? choices : nil
  }
}
