import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantTensor
import SextantTokenizers

/// How well lenses read a model, measured on a text.
public struct LensEvaluation: Sendable {
  /// The measures of one lens.
  public struct Result: Sendable {
    /// The name of the lens.
    public let name: String
    /// Every site that the lens reads, in the model's order.
    public let layers: [LensEvaluation.Layer]
    /// Measures of each site (second index) read with the translator of each (first index), in nats;
    /// empty unless asked for.
    public let transfer: (crossEntropy: [[Double]], divergence: [[Double]])
  }

  /// Indexed by lens; the logit lens first.
  public let results: [Result]
  /// The model's own cross-entropy, in nats per token.
  public let crossEntropy: LensEvaluation.Mean
  /// The entropy of the model's own predictions, in nats per token.
  public let entropy: LensEvaluation.Mean
  /// Tokens that were read.
  public let tokenCount: Int
  /// The factor from nats per token to bits per byte.
  public let bitsPerByteFactor: Double

  /// Reads a text through lenses.
  ///
  /// - Parameters:
  ///   - lenses: the lenses in addition to the logit lens, which is always included.
  ///   - measuresTransfer: read every site with the translators of all others, too.
  ///   - ranks: the processes that divide the chunks of the text; no figure depends on them.
  ///   - progress: called with the number of tokens read, and of all tokens.
  /// - Throws: `artifact.*` for the lens of another model, `model.*`, `usage.ranks`.
  package init(
    of lenses: [NamedLens], _ model: any LanguageModel, tokenizer: Digest?, on corpus: TextCorpus,
    measuresTransfer: Bool = false, allowsModelMismatch: Bool = false,
    ranks: any Collective = Alone(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    for lens in lenses.compactMap(\.lens) {
      try lens.model.check(
        against: model.description.reference(tokenizer: tokenizer),
        allowingOther: allowsModelMismatch, file: lens.file)
    }
    let lenses = [.logit] + lenses
    let sites = model.description.lensSites.map(\.site)
    let readout = model.readout
    if ranks.size > 1 {
      let reference = model.description.reference(tokenizer: tokenizer)
      var facts = [
        ("model", reference.json.canonicalText),
        ("data", JSONValue.object(corpus.record).canonicalText),
        ("settings", "\(measuresTransfer) \(Precision.current)"),
      ]
      for lens in lenses.compactMap(\.lens) {
        facts.append(("lens", SHA256.digest(try lens.artifact.bytes()).description))
      }
      try ranks.requireSame(facts)
    }
    let batches = ResidualReader.batches(of: corpus.chunks)
    var done = 0
    let parts = try ranks.map(
      batches.count,
      { index throws(Refusal) -> LensSumSet in
        let batch = batches[index]
        var part = LensSumSet(
          lenses, sites, chunks: batch.count, measuresTransfer: measuresTransfer)
        let reader = ResidualReader(model, sites: sites)
        try reader.read(Array(corpus.chunks[batch])) { tile throws(Refusal) in
          part.add(tile, readout)
        }
        done += batch.count * corpus.chunkLength
        progress(min(done * ranks.size, corpus.tokenCount), corpus.tokenCount)
        return part
      },
      pack: { part, message in part.put(into: &message) },
      unpack: { reader throws(Refusal) in
        var part = LensSumSet(lenses, sites, chunks: 0, measuresTransfer: measuresTransfer)
        try part.fill(from: &reader)
        return part
      })
    var all = LensSumSet(lenses, sites, chunks: 0, measuresTransfer: measuresTransfer)
    for part in parts { all.append(part) }
    let (own, sums, transfers) = (all.own, all.sums, all.transfers)
    let bootstrap = Bootstrap(count: corpus.chunks.count)
    let length = corpus.chunkLength
    results = lenses.enumerated().map { place, lens in
      let figures = (lens.lens == nil ? [] : transfers[place]).map { row in
        row.enumerated().map { $1.layer(sites[$0], chunkLength: length, bootstrap) }
      }
      return Result(
        name: lens.name,
        layers: sites.enumerated().compactMap { index, site in
          sums[place][index]?.layer(site, chunkLength: length, bootstrap)
        },
        transfer: (
          figures.map { $0.map(\.crossEntropy.mean) }, figures.map { $0.map(\.divergence.mean) }
        ))
    }
    let model = own.layer(model.description.lastSite, chunkLength: length, bootstrap)
    crossEntropy = model.crossEntropy
    entropy = model.entropy
    tokenCount = corpus.tokenCount
    bitsPerByteFactor = corpus.bitsPerByteFactor
  }
}

// MARK: JSON

extension LensEvaluation {
  /// The whole, nats per token and bits per byte (`_bpb`), intervals as `_ci`.
  public var json: JSONObject {
    JSONObject([
      ("tokens", .integer(Int64(tokenCount))),
      ("nats_to_bits_per_byte", finite(bitsPerByteFactor)),
      ("model", .object(members([("ce", crossEntropy), ("entropy", entropy)]))),
      (
        "lenses",
        .array(
          results.map { result in
            var object = JSONObject([
              ("name", .string(result.name)), ("layers", .array(result.layers.map(layer))),
            ])
            if !result.transfer.crossEntropy.isEmpty {
              object["layer_transfer"] = [
                "ce": matrix(result.transfer.crossEntropy),
                "kl": matrix(result.transfer.divergence),
              ]
            }
            return .object(object)
          })
      ),
    ])
  }

  private func layer(_ layer: LensEvaluation.Layer) -> JSONValue {
    var object = JSONObject([
      ("site", .string(layer.site.name)),
      ("layer", layer.site.block.map { .integer(Int64($0)) } ?? .null),
    ])
    for (key, value) in members([
      ("ce", layer.crossEntropy), ("kl", layer.divergence), ("entropy", layer.entropy),
    ]).members { object[key] = value }
    object["agreement"] = finite(layer.agreement.mean)
    object["agreement_ci"] = interval(layer.agreement.interval, 1)
    return .object(object)
  }

  private func members(_ figures: [(String, LensEvaluation.Mean)]) -> JSONObject {
    JSONObject(
      figures.flatMap { name, figure in
        [
          (name, finite(figure.mean)), (name + "_ci", interval(figure.interval, 1)),
          (name + "_bpb", finite(figure.mean * bitsPerByteFactor)),
          (name + "_bpb_ci", interval(figure.interval, bitsPerByteFactor)),
        ]
      })
  }

  private func interval(_ interval: Interval, _ factor: Double) -> JSONValue {
    let ends = interval.scaled(by: factor)
    return ends.isKnown ? .array([finite(ends.low), finite(ends.high)]) : .null
  }

  private func matrix(_ rows: [[Double]]) -> JSONValue {
    .array(rows.map { .array($0.map { finite($0) }) })
  }

  private func finite(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }

  /// The layout of the tuned-lens package's `aggregate_metrics.json`: bits per byte, layers counted
  /// from the embedding, the model's own output left out.
  ///
  /// - Parameter result: the lens under the key `tuned`; the logit lens is under `logit`.
  package func aggregateMetrics(of result: Result) -> JSONObject {
    var object = JSONObject()
    for (key, lens) in [("logit", results[0]), ("tuned", result)] {
      let layers = lens.layers.dropLast()
      let counted = { (figure: (LensEvaluation.Layer) -> LensEvaluation.Mean) -> JSONValue in
        .object(
          JSONObject(
            layers.enumerated().map { index, layer in
              ("layer_\(index)", finite(figure(layer).mean * bitsPerByteFactor))
            }))
      }
      var measures = JSONObject([
        ("ce", counted { $0.crossEntropy }), ("entropy", counted { $0.entropy }),
        ("kl", counted { $0.divergence }),
      ])
      if !lens.transfer.crossEntropy.isEmpty {
        measures["layer_transfer"] = [
          "ce": transfer(lens.transfer.crossEntropy), "kl": transfer(lens.transfer.divergence),
        ]
      }
      object[key] = .object(measures)
    }
    object["baseline"] = [
      "ce": ["final": finite(crossEntropy.mean * bitsPerByteFactor)],
      "entropy": ["final": finite(entropy.mean * bitsPerByteFactor)],
    ]
    return object
  }

  private func transfer(_ rows: [[Double]]) -> JSONValue {
    .object(
      JSONObject(
        rows.dropLast().enumerated().map { first, row in
          (
            "layer_\(first)",
            .object(
              JSONObject(
                row.dropLast().enumerated().map { second, value in
                  ("layer_\(second)", finite(value * bitsPerByteFactor))
                }))
          )
        }))
  }
}
