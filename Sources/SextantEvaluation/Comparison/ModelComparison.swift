import Glibc
import SextantAnalysis
import SextantBytes
import SextantReport

/// The results of several models in the three experiments of arXiv 2404.05971.
package struct ModelComparison {
  /// The results by model.
  package let members: [ComparisonMember]
  /// The settings.
  let experiment: ComparisonExperiment

  init(_ members: [ComparisonMember], experiment: ComparisonExperiment) {
    (self.members, self.experiment) = (members, experiment)
  }

  /// The tables of all experiments, each with its title.
  package var tables: [(title: String, table: Table)] {
    [
      (
        "Steering: matching at strengths -3 and +3, at the block chosen on the other half of the prompts",
        steeringTable
      ),
      ("The models themselves, on reviews that no model was trained on", modelTable),
      ("Lenses by relative depth, bits per byte, ± half of a 95% interval", lensTable),
      (
        "Probes: the area against the truth on Bob's statements, after training on Alice's",
        probeTable
      ),
      ("The paper's claims, each as a difference that must be above zero", claimTable),
    ]
  }

  /// The tables and the answer.
  package var report: Report {
    Report(
      title: "Does interpretability transfer? \(members.map(\.name).joined(separator: ", "))",
      tables: tables,
      notes: [
        "a claim holds if the whole 95% interval of its difference is above zero, and does not hold if "
          + "it is below", answer,
      ], json: json)
  }

  // MARK: Tables

  /// Matching by sites, with random directions.
  var steeringTable: Table {
    var table = Table([
      "model", "sites", "#block", "#-3 [95%]", "#+3 [95%]", "#difference [95%]",
      "#\(counted(experiment.controlCount, "random direction")) [95% of them]",
    ])
    for member in members {
      for curve in member.steering.summary.curves {
        guard let low = curve.points.first, let high = curve.points.last else { continue }
        let control = member.steering.control(of: curve)?.contrast
        table.add(
          [member.name, curve.sites.description, String(curve.layer)]
            + [low.matching, high.matching, curve.contrast, control].map { figure in
              figure.map { SteeringEvaluation.text($0, digits: 2) } ?? ""
            })
      }
    }
    return table
  }

  /// The size of each model, and how well it predicts text.
  var modelTable: Table {
    var table = Table(["model", "#parameters", "#bits per byte [95%]", "#perplexity of a token"])
    for member in members {
      let loss = member.reviews.crossEntropy
      let factor = member.reviews.bitsPerByteFactor
      let bits = Figure(loss.mean * factor, loss.interval.scaled(by: factor))
      table.add([
        member.name, Format.count(member.parameterCount), SteeringEvaluation.text(bits),
        Format.fixed(exp(loss.mean), 1),
      ])
    }
    return table
  }

  /// The depths of the table of lenses.
  private static let depths: [(name: String, share: Double)] = [
    ("0", 0), ("1/3", 1.0 / 3), ("2/3", 2.0 / 3), ("1", 1),
  ]

  /// Cross-entropy and divergence of the lenses at some depths.
  var lensTable: Table {
    var table = Table(["model", "measure", "lens"] + Self.depths.map { "#depth \($0.name)" })
    for member in members {
      for measure in LensQuantity.allCases {
        for result in member.lenses.results {
          let cells = Self.depths.map { depth -> String in
            let distance = { (layer: LensEvaluation.Layer) in abs(member.depth(layer) - depth.share)
            }
            let nearest = result.layers.min { distance($0) < distance($1) }
            return nearest.map { Self.text(measure.value($0), member.lenses) } ?? ""
          }
          table.add([member.name, measure.rawValue, result.name] + cells)
        }
      }
    }
    return table
  }

  private static func text(_ mean: LensEvaluation.Mean, _ evaluation: LensEvaluation) -> String {
    let factor = evaluation.bitsPerByteFactor
    let half = (mean.interval.high - mean.interval.low) / 2
    return "\(Format.fixed(mean.mean * factor, 3)) ± \(Format.fixed(half * factor, 3))"
  }

  /// The area on Bob's statements by block, at the earliest informative block, and the gap recovered.
  var probeTable: Table {
    var table = Table([
      "model", "site", "by block", "#block", "#AUROC [95%]", "#95% of random below",
      "#PGR, hardest [95%]",
    ])
    for member in members {
      for family in member.families {
        guard let own = member.transfer(to: "B", family) else { continue }
        let curve = member.probes.curve(own.source, own.target, family, own.method)
        // A block whose values do not vary has no probe.
        let areas = (0..<member.description.layerCount).map { block in
          curve.first { $0.probe.layer == block }.map { Format.fixed($0.area, 2) } ?? "-"
        }
        let hard = member.transfer(to: "BH", family)
        table.add([
          member.name, Self.siteName(family), areas.joined(separator: " "), String(own.layer),
          SteeringEvaluation.text(own.roc.figure, digits: 2),
          member.chance(own).map { Format.fixed($0, 2) } ?? "",
          hard.flatMap { summary in
            summary.recovered.map {
              SteeringEvaluation.text(
                Figure($0, summary.recoveredInterval ?? .unknown), digits: 2)
            }
          } ?? "",
        ])
      }
      if let output = member.output(on: "B") {
        table.add([
          member.name, "the model's output", "", "",
          SteeringEvaluation.text(output.figure, digits: 2), "", "",
        ])
      }
    }
    return table
  }

  /// A kind of site for people.
  static func siteName(_ family: String) -> String {
    family == "output" ? "stream" : family.split(separator: ".").joined(separator: ": ")
  }

  /// Every claim with its result for every model.
  var claimTable: Table {
    var table = Table(["", "claim"] + members.map(\.name))
    for claim in Claim.all {
      table.add(
        [String(claim.number), claim.text]
          + members.map { claim.result(of: $0)?.text ?? "no recurrent state" })
    }
    return table
  }

  /// The answer to the paper's question, in a sentence for each kind of model.
  var answer: String {
    members.map { member in
      let results = Claim.all.compactMap { $0.result(of: member)?.verdict }
      let count = { (verdict: Verdict) in results.count { $0 == verdict } }
      return "\(member.name): \(count(.holds)) of \(counted(results.count, "claim")) hold"
        + " (\(Verdict.fails.rawValue): \(count(.fails)), \(Verdict.unclear.rawValue): \(count(.unclear)))."
    }.joined(separator: " ")
  }

  // MARK: For programs

  /// Everything, without times.
  package var json: JSONObject {
    JSONObject([
      (
        "models",
        .array(
          members.map { member in
            [
              "name": .string(member.name),
              "architecture": .string(member.description.architecture),
              "identity": .string(member.description.identity.description),
              "parameters": JSONValue(member.parameterCount),
              "steering": .object(Self.untimed(member.steering.json)),
              "lenses": .object(member.lenses.json), "reviews": .object(member.reviews.json),
              "probes": .object(member.probes.json),
            ]
          })
      ),
      (
        "claims",
        .array(
          Claim.all.map { claim in
            [
              "number": JSONValue(claim.number), "claim": .string(claim.text),
              "difference": .string(claim.measure),
              "results": .array(
                members.map { member in
                  let result = claim.result(of: member)
                  return [
                    "model": .string(member.name),
                    "verdict": result.map { .string($0.verdict.rawValue) } ?? .null,
                    "differences": .array(
                      (result?.differences ?? []).map {
                        ["value": JSONValue(finite: $0.value), "ci": $0.interval.json]
                      }),
                  ]
                }),
            ]
          })
      ),
    ])
  }

  /// The same results are the same bytes.
  private static func untimed(_ object: JSONObject) -> JSONObject {
    JSONObject(
      object.members.filter { !$0.key.hasSuffix("seconds") }.map { ($0.key, $0.value) })
  }
}

/// What a lens is measured by.
enum LensQuantity: String, CaseIterable {
  case crossEntropy = "cross-entropy"
  case divergence = "KL"

  /// The measure at a site.
  func value(_ layer: LensEvaluation.Layer) -> LensEvaluation.Mean {
    switch self {
    case .crossEntropy: layer.crossEntropy
    case .divergence: layer.divergence
    }
  }
}

extension ComparisonMember {
  /// How well the model's own answers agree with the truth on a part.
  func output(on target: String) -> ROC? {
    probes.outputs.first { $0.target.description == target }?.measured.roc
  }
}
