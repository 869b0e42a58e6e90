import Glibc
import SextantBytes
import SextantCollective
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// How far models with fewer bits are from a reference, on one text.
package struct DriftComparison {
  /// One model.
  private struct Row {
    let path: String
    let store: ModelStore
    let drift: LogitDrift
  }

  private let reference: ModelStore
  private let model: any LanguageModel
  private let tokens: [Int]
  /// Bytes of the text that is predicted.
  private let byteCount: Int
  private var rows: [Row] = []

  /// A comparison with a reference.
  ///
  /// - Parameters:
  ///   - store: the file of the reference.
  ///   - tokenizer: the reference's; the tokens that it asks for are put before the text, so that the
  ///     first token is predicted too.
  package init(
    with model: any LanguageModel, in store: ModelStore, _ tokenizer: any Tokenizer, on text: String
  ) {
    (self.model, reference) = (model, store)
    tokens = tokenizer.encodeDocument(text)
    byteCount = tokens.dropFirst().reduce(0) { $0 + (tokenizer.bytes(of: $1)?.count ?? 0) }
  }

  /// Measures models, and adds them in their order.
  ///
  /// - Parameters:
  ///   - paths: their files.
  ///   - ranks: the processes that divide the models; no figure depends on them.
  ///   - open: opens a model. Every rank opens those that it measures, and the first rank opens all.
  ///   - progress: receives tokens done and in all.
  /// - Throws: the errors of `open` and `LogitDrift`; `usage.ranks`.
  package mutating func add(
    _ paths: [String], ranks: any Collective = Alone(),
    open: (_ path: String) throws(Refusal) -> (model: any LanguageModel, store: ModelStore),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    try ranks.requireSame([
      ("reference", "\(reference.identity) \(reference.variant)"),
      ("data", ranks.size == 1 ? "" : SHA256.digest(Array("\(tokens)".utf8)).description),
      ("models", "\(paths)"),
    ])
    var stores: [Int: ModelStore] = [:]
    let drifts = try ranks.map(
      paths.count,
      { index throws(Refusal) -> LogitDrift in
        let opened = try open(paths[index])
        stores[index] = opened.store
        do throws(Refusal) {
          return try LogitDrift(of: opened.model, from: model, on: tokens) { done, total in
            progress(index * total + done, paths.count * total)
          }
        } catch {
          throw error.inFile(paths[index])
        }
      },
      pack: { $0.put(into: &$1) },
      unpack: { reader throws(Refusal) in try LogitDrift(&reader) })
    guard ranks.isFirst else { return }
    for (index, drift) in drifts.enumerated() {
      let store = if let store = stores[index] { store } else { try open(paths[index]).store }
      rows.append(Row(path: paths[index], store: store, drift: drift))
    }
  }

  /// The reference, then each model.
  ///
  /// - Parameter path: how the reference was named.
  package func report(reference path: String) -> Report {
    var table = Table([
      "weights", "#size", "#bits/byte", "#perplexity", "#change", "#KL", "#same best",
      "#logit error", "#largest",
    ])
    var entries: [JSONValue] = []
    if let first = rows.first {
      add(reference, first.drift.referenceLoss, first.drift, isReference: true, &table, &entries)
    }
    for row in rows {
      add(row.store, row.drift.loss, row.drift, isReference: false, &table, &entries)
    }
    let strangers = rows.filter { $0.store.identity != reference.identity }
    let count = rows.first?.drift.tokenCount ?? 0
    return Report(
      title: "\(counted(count, "token")), \(Format.bytes(byteCount)) of text",
      tables: [("against \(printable(path))", table)],
      notes: strangers.map {
        "\(printable($0.path)) is another model than the reference, not the same in other bits"
      },
      json: JSONObject([
        ("tokens", JSONValue(count)), ("bytes", JSONValue(byteCount)),
        ("reference", entries.first ?? .null), ("rows", .array(Array(entries.dropFirst()))),
      ]))
  }

  private func add(
    _ store: ModelStore, _ loss: Double, _ drift: LogitDrift, isReference: Bool,
    _ table: inout Table, _ entries: inout [JSONValue]
  ) {
    let bits = loss * Double(drift.tokenCount) / (log(2) * Double(max(byteCount, 1)))
    let change = (exp(loss - drift.referenceLoss) - 1) * 100
    let figures =
      isReference
      ? ["", "", "", "", ""]
      : [
        "\(Format.fixed(change, 3))%", Format.figure(drift.divergence),
        "\(Format.fixed(drift.agreement * 100, 2))%", Format.figure(drift.rootMeanSquare),
        Format.figure(drift.maximum),
      ]
    table.add(
      [
        store.variant, Format.bytes(store.fileByteCount), Format.fixed(bits, 5),
        Format.fixed(exp(loss), 4),
      ] + figures)
    entries.append([
      "file": .string(store.path), "weights": .string(store.variant),
      "bytes": JSONValue(store.fileByteCount), "loss": JSONValue(finite: loss),
      "bits_per_byte": JSONValue(finite: bits), "perplexity": JSONValue(finite: exp(loss)),
      "kl": JSONValue(finite: isReference ? 0 : drift.divergence),
      "same_best": JSONValue(finite: isReference ? 1 : drift.agreement),
      "logit_rms": JSONValue(finite: isReference ? 0 : drift.rootMeanSquare),
      "logit_max": JSONValue(finite: isReference ? 0 : drift.maximum),
    ])
  }
}
