import SextantBytes
import SextantReport

extension PatchingResult {
  /// The document for programs (`formats/patching.md`).
  public var json: JSONObject {
    JSONObject([
      ("model", model.json), ("direction", .string(isReverse ? "noising" : "denoising")),
      (
        "measure",
        .string(pairs.contains { $0.against == nil } ? "log_probability" : "logit_difference")
      ),
      (
        "noise",
        noise.map {
          ["deviation": JSONValue(finite: $0.deviation), "count": JSONValue($0.count)]
        } ?? .null
      ),
      ("clean", json(clean)), ("corrupted", json(corrupted)), ("pairs", .array(pairs.map(json))),
      ("columns", .array(columns.map { .string($0) })), ("cells", .array(cells.map(json))),
      ("seconds", JSONValue(finite: seconds)),
    ])
  }

  private func json(_ prediction: Prediction) -> JSONValue {
    [
      "difference": JSONValue(finite: prediction.difference),
      "probability": JSONValue(finite: prediction.probability),
    ]
  }

  private func json(_ pair: Pair) -> JSONValue {
    let tokens = { (ids: [Int]) -> JSONValue in
      .array(
        ids.map { id in ["id": JSONValue(id), "text": text(id).map { .string($0) } ?? .null] })
    }
    return [
      "clean_tokens": tokens(pair.clean), "corrupted_tokens": tokens(pair.corrupted),
      "alignment": .array(
        pair.alignment.map { [JSONValue($0.clean), JSONValue($0.corrupted)] }),
      "answer": tokens([pair.answer]), "against": pair.against.map { tokens([$0]) } ?? .null,
      "clean": json(pair.cleanPrediction), "corrupted": json(pair.corruptedPrediction),
    ]
  }

  private func json(_ cell: Cell) -> JSONValue {
    let place = places[cell.place]
    return [
      "site": .string(place.site.name), "layer": place.site.block.map { JSONValue($0) } ?? .null,
      "head": place.head.map { JSONValue($0) } ?? .null, "column": JSONValue(cell.column),
      "share": JSONValue(finite: cell.share.value), "share_ci": cell.share.interval.json,
      "probability_share": JSONValue(finite: cell.probabilityShare.value),
      "probability_share_ci": cell.probabilityShare.interval.json,
      "difference": JSONValue(finite: cell.patched.difference),
      "probability": JSONValue(finite: cell.patched.probability),
      "pairs": JSONValue(cell.pairCount),
    ]
  }

  /// The text of a token; nil if tokens have none.
  func text(_ id: Int) -> String? { tokenizer?.decode([id]) }
}
