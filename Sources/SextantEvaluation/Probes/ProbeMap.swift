import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTokenizers

/// The predictions of probes and of the model's output after each token of a text.
///
/// The output is the log-odds of two choices if the answer came after the token.
package struct ProbeMap: Sendable {
  /// The probes, which read one activation each.
  package let entries: [ProbeEntry]
  /// The tokens of the text.
  package let tokens: [Int]
  /// Their texts.
  package let texts: [String]
  /// The score of each probe at each token: [probe][token], log-odds.
  package let scores: [[Double]]
  /// The log-odds of the second choice at each token.
  package let output: [Double]

  /// Reads a text.
  ///
  /// - Parameters:
  ///   - name: the one probe to use; nil for all that read one activation.
  ///   - choices: the false and the true choice, which begin with different tokens.
  ///   - layers: the blocks to read; nil for all.
  /// - Throws: `usage.option` for a text without tokens, or for choices that begin with the same
  ///   token; `artifact.*`, `model.*`.
  package init(
    _ probe: Probe, name: String? = nil, of text: String, choices: [String],
    layers: LayerSelection? = nil, _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    let tap = try ProbeTap(
      probe, name: name, layers: layers, model: model.description, tokenizer: tokenizer.digest,
      allowsModelMismatch: allowsModelMismatch)
    let tokens = try tokenizer.encodeText(text)
    guard !tokens.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("prompt"), found: "no tokens", expected: "at least one")
    }
    let ids = choices.compactMap { tokenizer.encode($0).first }
    guard ids.count == 2, ids[0] != ids[1] else {
      throw Refusal(
        .usageOption, at: .parameter("choices"), found: choices.joined(separator: "|"),
        expected: "two texts that begin with different tokens, with | between")
    }
    var state = model.initialState()
    let logits = try model.run(TokenBatch(tokens), from: &state, logits: .all, tap: tap)
    let width = model.description.vocabularySize
    output = logits.withFloats { logits in
      tokens.indices.map { Double(logits[$0 * width + ids[1]] - logits[$0 * width + ids[0]]) }
    }
    entries = tap.entries
    scores = tap.entries.indices.map { entry in
      tokens.indices.map { tap.scores(at: $0)?[entry] ?? .nan }
    }
    texts = tokens.map { tokenizer.decode([$0]) }
    self.tokens = tokens
  }

  /// A probe of the state and the output that are on different sides at a token.
  package struct Disagreement: Sendable {
    /// The index of the token.
    package let position: Int
    /// The index of the probe.
    package let entry: Int
  }

  /// The tokens at which the signs of the state's probes and of the output differ.
  package var disagreements: [Disagreement] {
    tokens.indices.flatMap { position in
      entries.indices.filter { entry in
        entries[entry].site.isState
          && (scores[entry][position] >= 0) != (output[position] >= 0)
      }.map { Disagreement(position: position, entry: $0) }
    }
  }

  /// Probes by tokens, the output in the last row.
  package var figure: HeatMap {
    let rows = entries.map(\.name) + ["output"]
    let cells = (scores + [output]).enumerated().map { row, values in
      values.enumerated().map { column, value in
        HeatMap.Cell(
          value.isFinite ? value : nil,
          hover: "\(rows[row]) at \(texts[column]): \(Format.fixed(value, 2))")
      }
    }
    return HeatMap(
      title: "Log-odds of the label, token by token", rowTitle: "probe", columnTitle: "token",
      rows: rows, columns: texts, cells: cells, scale: .diverging(limit: 4))
  }

  /// The scores as a report; the table shows the last probes.
  package var report: Report {
    let shown = entries.indices.suffix(6)
    var table = Table(
      ["token"] + shown.map { "#\(entries[$0].name)" } + ["#output"])
    for (position, text) in texts.enumerated() {
      table.add(
        [printable(text)] + shown.map { Format.fixed(scores[$0][position], 2) }
          + [Format.fixed(output[position], 2)])
    }
    let states = entries.count { $0.site.isState }
    return Report(
      title:
        "\(counted(texts.count, "token")), \(counted(entries.count, "probe"))",
      tables: [("log-odds; the last probes", table)],
      notes: states == 0
        ? []
        : [
          "the signs of state and output differ at \(disagreements.count) of "
            + "\(states * texts.count) places"
        ],
      json: json)
  }

  private var json: JSONObject {
    JSONObject([
      (
        "tokens",
        .array(
          tokens.indices.map { position in
            var own = JSONObject()
            for (entry, values) in zip(entries, scores) {
              own[entry.name] = JSONValue(finite: values[position])
            }
            return [
              "position": JSONValue(position), "token": JSONValue(tokens[position]),
              "text": .string(texts[position]), "scores": .object(own),
              "output": JSONValue(finite: output[position]),
            ]
          })
      ),
      (
        "disagreements",
        .array(
          disagreements.map { place in
            [
              "position": JSONValue(place.position), "text": .string(texts[place.position]),
              "probe": .string(entries[place.entry].name),
              "score": JSONValue(finite: scores[place.entry][place.position]),
              "output": JSONValue(finite: output[place.position]),
            ]
          })
      ),
    ])
  }
}

extension ProbeMap {
  /// The map as a page, below the text.
  package func page(of text: String, label: String, probes: String) -> HTMLPage {
    var page = HTMLPage(title: "Probes and output", subtitle: "\(probes), label \(label)")
    page.add(paragraph: text)
    page.add(figure: figure.svg(width: 1100, standsAlone: false))
    return page
  }
}
