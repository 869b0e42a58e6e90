import Glibc
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantTokenizers

extension Report {
  /// The content of a trained steering vector, site by site.
  ///
  /// - Parameters:
  ///   - output: the path of the artifact.
  ///   - moments: the path of its moments; nil for none.
  ///   - seconds: that training took.
  package init(trained vector: SteeringVector, output: String, moments: String?, seconds: Double) {
    var table = Table(["site", "#norm", "#mean norm", "#separation"])
    var rows: [JSONValue] = []
    for (site, _) in vector.vectors {
      let figures = ["norm", "mean_norm", "separation"].map { name in
        vector.figure(name, at: site.name)
      }
      table.add([site.name] + figures.map { Format.figure($0) })
      rows.append([
        "site": .string(site.name),
        "layer": site.site?.block.map { JSONValue($0) } ?? .null,
        "norm": JSONValue(finite: figures[0]), "mean_norm": JSONValue(finite: figures[1]),
        "separation": JSONValue(finite: figures[2]),
      ])
    }
    let pairs: JSONValue = vector.training.data["pairs"] ?? .null
    let source =
      if case .integer(let count) = pairs { counted(Int(count), "pair") } else {
        "moments"
      }
    let start = vector.startingDose
    self.init(
      title: "\(printable(output)): a vector for \(counted(rows.count, "site")), "
        + "learned from \(source) in \(Format.fixed(seconds, 2)) s",
      tables: [
        (
          "norm of each vector, norm of the mean activation, and distance of the classes",
          table
        )
      ],
      notes: start.map { ["a dose to start with: \($0.text(file: output))"] } ?? [],
      json: JSONObject([
        ("output", .string(output)), ("starting_dose", start.map(\.json) ?? .null),
        ("moments", moments.map { .string($0) } ?? .null),
        ("model", vector.model.json), ("method", .string(vector.training.method)),
        ("positions", .string(vector.training.positions.description)), ("pairs", pairs),
        ("operation", .string(vector.operation.rawValue)),
        ("sites", .array(rows)), ("seconds", JSONValue(finite: seconds)),
      ]))
  }

  /// The content of a file of trained probes.
  ///
  /// - Parameters:
  ///   - output: the path of the artifact.
  ///   - skipped: the probes that were left out, in words.
  ///   - examples: activations that were learned from.
  ///   - seconds: that reading the activations and training took.
  package init(
    trained probe: Probe, output: String, skipped: [String], records: SelectedRecords,
    examples: Int, seconds: (reading: Double, training: Double)
  ) {
    var table = Table(["probe", "#elements", "#loss", "#scale", "#bias"])
    var rows: [JSONValue] = []
    for entry in probe.entries {
      let figures =
        if case .object(let own)? = probe.statistics[entry.name] { own } else { JSONObject() }
      let loss: Double = if case .number(let value)? = figures["loss"] { value } else { .nan }
      table.add([
        entry.name, Format.count(entry.direction.count),
        loss.isFinite ? Format.figure(loss) : "", Format.figure(entry.scale),
        Format.figure(entry.bias),
      ])
      rows.append([
        "name": .string(entry.name), "site": .string(entry.site.name),
        "layer": entry.layer.map { JSONValue($0) } ?? .null,
        "head": entry.head.map { JSONValue($0) } ?? .null, "method": .string(entry.method),
        "figures": .object(figures),
      ])
    }
    self.init(
      title: "\(printable(output)): \(counted(probe.entries.count, "probe")) of "
        + "\(records.label), from \(counted(examples, "example"))",
      facts: [
        ("reading", "\(Format.fixed(seconds.reading, 2)) s"),
        ("training", "\(Format.fixed(seconds.training, 2)) s"),
      ],
      tables: [("probes", table.abbreviated(to: 40))],
      notes: [records.classes] + [SmallSample.note(examples, "example")].compactMap { $0 }
        + Self.unlearned(probe, records) + skipped.map { "left out: \($0)" },
      json: JSONObject([
        ("output", .string(output)), ("model", probe.model.json),
        ("label", .string(records.label)), ("examples", JSONValue(examples)),
        ("probes", .array(rows)), ("skipped", .array(skipped.map { .string($0) })),
        ("reading_seconds", JSONValue(finite: seconds.reading)),
        ("training_seconds", JSONValue(finite: seconds.training)),
      ]))
  }

  /// A note on probes of logistic regression that learned next to nothing: their loss is that of the
  /// frequency of the labels.
  private static func unlearned(_ probe: Probe, _ records: SelectedRecords) -> [String] {
    let share = Double(records.labels.count { $0 }) / Double(max(records.labels.count, 1))
    let names = probe.entries.filter { entry in
      guard entry.method == ProbeMethod.logistic.rawValue,
        case .object(let own)? = probe.statistics[entry.name],
        case .number(let loss)? = own["loss"]
      else { return false }
      return loss > 0.99 * entropy(share)
    }.map(\.name)
    guard !names.isEmpty else { return [] }
    let shown = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
    return [
      "the loss is that of the frequency of the labels, because the values are small against the penalty "
        + "of the regression, or because nothing tells the labels apart: \(shown)"
    ]
  }

  /// The entropy of a label of this frequency, in nats.
  private static func entropy(_ share: Double) -> Double {
    [share, 1 - share].reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
  }

  /// The data from which a trained lens was learned.
  ///
  /// - Parameters:
  ///   - output: the path of the artifact.
  ///   - passes: how often the texts were read.
  ///   - seconds: that training took.
  ///   - peakMemory: bytes; nil for unknown.
  package init(
    trained lens: Lens, output: String, on corpus: TextCorpus, passes: Double, seconds: Double,
    peakMemory: Int?
  ) {
    let worse = lens.sitesMadeWorse
    self.init(
      title: "\(printable(output)): a \(lens.training.method) lens for "
        + "\(counted(lens.translators.count, "site")), learned from "
        + "\(counted(corpus.tokenCount, "token")) in \(Format.fixed(seconds, 1)) s",
      facts: [
        ("documents", Format.count(corpus.documentCount)),
        ("passes over the texts", Format.fixed(passes, 2)),
        (
          "chunks",
          "\(Format.count(corpus.chunks.count)) of \(counted(corpus.chunkLength, "token"))"
        ),
        ("peak memory", peakMemory.map { Format.bytes($0) } ?? "unknown"),
      ],
      notes: corpus.notes
        + (corpus.tokenCount < lens.model.width
          ? [
            "\(counted(corpus.tokenCount, "token")) for \(counted(lens.model.width, "channel")): the lens "
              + "fits these tokens, and may be worse for others; give more text"
          ] : [])
        + (worse.isEmpty
          ? []
          : [
            "the last loss is above the first at \(worse.joined(separator: ", ")): the lens is "
              + "worse there than at the start; lower `rateScale`, or give more text"
          ]),
      json: JSONObject([
        ("output", .string(output)), ("model", lens.model.json), ("passes", .number(passes)),
        ("worse_than_at_the_start", .array(worse.map { .string($0) })),
        ("method", .string(lens.training.method)), ("options", .object(lens.training.options)),
        ("data", .object(lens.training.data)), ("statistics", .object(lens.statistics)),
        ("seconds", JSONValue(finite: seconds)),
        ("peak_memory_bytes", peakMemory.map { JSONValue($0) } ?? .null),
      ]))
  }
}

extension TextCorpus {
  /// Notes for people on how the texts were read.
  package var notes: [String] {
    askedChunkLength.map {
      [
        "the texts have fewer than the \(counted($0, "token")) of a chunk: they were read as one of \(chunkLength)"
      ]
    } ?? []
  }
}

/// A dose that a user can start with, without harm.
private struct StartingDose {
  /// The block.
  let layer: Int
  /// Whether the residual stream is steered; else the state.
  let isStream: Bool
  /// The strength that adds the share of the norm there.
  let strength: Double

  /// The share of the value's norm.
  static let share = 0.1

  /// How to apply it.
  func text(file: String) -> String {
    let percent = Format.plain(Float(Self.share * 100))
    return
      "\(percent)% of the norm of the \(isStream ? "stream" : "state") in one block, such as `layers` "
      + "\(layer) with `apply` \(printable(file)):\(percent)%. There it is strength "
      + "\(Format.figure(strength)); `sextant steer search` finds a better place and strength"
  }

  var json: JSONValue {
    [
      "layer": JSONValue(layer), "share": .number(Self.share),
      "strength": JSONValue(finite: strength),
    ]
  }
}

extension SteeringVector {
  /// A share of the norm in a block in the middle; nil if the operation has a scale of its own, or norms are
  /// not known.
  fileprivate var startingDose: StartingDose? {
    guard operation.isAddition else { return nil }
    let doses = vectors.compactMap { site, _ -> StartingDose? in
      guard let own = site.site, let layer = own.block else { return nil }
      let strength =
        StartingDose.share * figure("mean_norm", at: site.name) / figure("norm", at: site.name)
      guard strength.isFinite, strength > 0 else { return nil }
      return StartingDose(layer: layer, isStream: !own.isState, strength: strength)
    }
    let stream = doses.filter(\.isStream)
    let usable = stream.isEmpty ? doses : stream
    return usable.isEmpty ? nil : usable[usable.count / 2]
  }

  /// A figure of training; NaN if there is none.
  fileprivate func figure(_ name: String, at site: String) -> Double {
    guard case .object(let figures) = statistics[site], case .number(let value) = figures[name]
    else { return .nan }
    return value
  }
}

// MARK: Moments and captures

extension Report {
  /// Moments of several files that were added up.
  package init(merged: MomentShards, from files: [String], to output: String) {
    let counts = merged.moments.classes.map { name in
      (name, merged.moments.sites.first.flatMap { merged.moments[$0.site, name]?.count } ?? 0)
    }
    self.init(
      title: "\(printable(output)): \(counted(files.count, "file")) merged",
      facts: counts.map { ("\(printable($0.0))", counted($0.1, "vector") + " per site") },
      json: JSONObject([
        ("output", .string(output)), ("files", .array(files.map { .string($0) })),
        ("sites", JSONValue(merged.moments.sites.count)),
        ("counts", .object(JSONObject(counts.map { ($0.0, JSONValue($0.1)) }))),
      ]))
  }

  /// The moments of one shard of the data.
  package init(shard: Int, of count: Int, moments: String, seconds: Double) {
    self.init(
      title: "\(printable(moments)): the moments of shard \(shard) of \(count), in "
        + "\(Format.fixed(seconds, 2)) s",
      notes: ["`sextant moments merge` adds the shards 0 to \(count - 1)"],
      json: JSONObject([
        ("moments", .string(moments)), ("shard", JSONValue(shard)), ("shards", JSONValue(count)),
        ("seconds", JSONValue(finite: seconds)),
      ]))
  }

  /// A capture that was written to a file.
  ///
  /// - Parameters:
  ///   - sites: the sites that were recorded.
  ///   - sequences: the token ids of each prompt.
  package init(
    captured artifact: Artifact, sites: [SiteDescription], of sequences: [[Int]], to output: String,
    seconds: Double
  ) {
    let rowCount = sequences.reduce(0) { $0 + $1.count }
    self.init(
      title: "\(printable(output)): \(counted(sites.count, "site")), "
        + "\(counted(rowCount, "token")) of \(counted(sequences.count, "prompt")) in "
        + "\(Format.fixed(seconds, 2)) s",
      json: JSONObject([
        ("output", .string(output)), ("prompts", JSONValue(sequences.count)),
        ("tokens", JSONValue(rowCount)), ("sites", .array(sites.map { .string($0.site.name) })),
        ("tensors", JSONValue(artifact.tensors.count)), ("seconds", JSONValue(finite: seconds)),
      ]))
  }
}

extension Report {
  /// The files of quirky statements that were made.
  package init(
    quirky set: QuirkyArithmetic.Operation, digits: Int, seed: UInt64,
    files: [(path: String, count: Int)]
  ) {
    var table = Table(["file", "#records"])
    for file in files { table.add([printable(file.path), Format.count(file.count)]) }
    self.init(
      title: "quirky \(set.rawValue), seed \(seed)", tables: [("files", table)],
      json: JSONObject([
        ("set", .string(set.rawValue)), ("digits", JSONValue(digits)),
        ("seed", JSONValue(Int(clamping: seed))),
        (
          "files",
          .array(files.map { ["file": .string($0.path), "records": JSONValue($0.count)] })
        ),
      ]))
  }
}
