import SextantArtifacts
import SextantBytes
import SextantReport
import SextantTensor

extension Report {
  /// The declarations and the content of an artifact.
  ///
  /// - Parameter rowLimit: rows of the table for people.
  package init(artifact: Artifact, rowLimit: Int) {
    let manifest = artifact.manifest
    var json = JSONObject([
      ("file", .string(artifact.file ?? "")), ("type", "artifact"),
      ("version", JSONValue(Manifest.version)), ("kind", .string(manifest.kind)),
      ("kind_version", JSONValue(manifest.kindVersion)), ("model", manifest.model.json),
      ("sites", .array(manifest.sites.map(\.json))),
      ("tool", .string(manifest.tool.name)), ("tool_version", .string(manifest.tool.version)),
    ])
    for (key, value) in manifest.details.members where json[key] == nil { json[key] = value }
    json["tensors"] = .array(
      artifact.tensors.map { name, value in
        [
          "name": .string(name), "dtype": .string(value.dataType.rawValue),
          "shape": JSONValue(shape: value.shape),
          "norm": value.norm.map { JSONValue(finite: $0) } ?? .null,
        ]
      })
    var facts = [
      (
        "model",
        "\(printable(manifest.model.architecture)), width \(manifest.model.width), "
          + "\(counted(manifest.model.layerCount, "block")), weights \(printable(manifest.model.weights))"
      ),
      ("identity", manifest.model.identity.description),
      ("tokenizer", manifest.model.tokenizer?.description ?? "none: made from token ids"),
      ("made by", "\(printable(manifest.tool.name)) \(printable(manifest.tool.version))"),
    ]
    let names = Set(artifact.tensors.map { ExactString($0.name) })
    let statistics = Self.statistics(manifest.details)
    // Of tensors, or of what consists of several tensors, such as a probe or the lens of a site.
    let areOfTensors = statistics.values.contains { names.contains(ExactString($0.name)) }
    var ofSites: [(name: String, values: JSONObject)] = []
    for (key, value) in manifest.details.members where key != "statistics" {
      if key == "probes", case .array(let probes) = value {
        // Their names are in the table.
        facts.append((key, Format.count(probes.count)))
      } else if case .object(let values) = value, !values.members.isEmpty,
        values.members.allSatisfy({ names.contains(ExactString($0.key)) })
      {
        ofSites.append((printable(key), values))
      } else if key == "dose", case .object(let dose) = value {
        facts.append((key, printable(Self.text(ofDose: dose))))
      } else {
        facts.append((printable(key), printable(Self.plain(value))))
      }
    }
    let axes = Dictionary(
      manifest.sites.map { (ExactString($0.name), $0.axes) },
      uniquingKeysWith: { first, _ in first })
    var table = Table(
      ["tensor", "type", "shape", "axes", "#norm"]
        + ofSites.map { "#\($0.name)" }
        + (areOfTensors ? statistics.names.map { "#\($0)" } : []))
    for name in Self.inSiteOrder(artifact) {
      guard let value = artifact.tensor(name) else { continue }
      table.add(
        [
          printable(name), value.dataType.rawValue, Format.shape(value.shape),
          printable(axes[ExactString(name)]?.joined(separator: ", ") ?? ""),
          Self.norm(of: value),
        ] + ofSites.map { $0.values[name].map(Self.figure) ?? "" }
          + (areOfTensors ? statistics.figures(of: name) : []))
    }
    var tables = [(counted(artifact.tensors.count, "tensor"), table.abbreviated(to: rowLimit))]
    if !areOfTensors, !statistics.values.isEmpty {
      var table = Table([""] + statistics.names.map { "#\($0)" })
      for (name, _) in statistics.values {
        table.add([printable(name)] + statistics.figures(of: name))
      }
      tables.append(("statistics", table.abbreviated(to: rowLimit)))
    }
    if case .object(let dose)? = manifest.details["dose"],
      case .object(let search)? = dose["search"], !search.members.isEmpty
    {
      var table = Table(["", "value"])
      for (key, value) in search.members {
        table.add([printable(key), printable(Self.text(ofFigure: value) ?? Self.plain(value))])
      }
      tables.append(("how the dose was found: figures of the half that was not chosen on", table))
    }
    self.init(
      title: "\(printable(artifact.file ?? "")): an artifact of kind \(manifest.kind)",
      facts: facts, tables: tables, json: json)
  }

  /// The norm of a tensor; of a single element, the element with its sign.
  private static func norm(of value: Tensor) -> String {
    guard let norm = value.norm else { return "-" }
    guard value.count == 1 else { return Format.figure(norm) }
    let element = value.dataType == .f32 ? Double(value.values[0]) : value.withDoubles { $0[0] }
    return "\(Format.figure(element)) (value)"
  }

  /// The tensors that are named by a site in the order of the manifest, then all others.
  private static func inSiteOrder(_ artifact: Artifact) -> [String] {
    let names = artifact.manifest.sites.map(\.name)
    let sites = Set(names.map { ExactString($0) })
    return names
      + artifact.tensors.map(\.name).filter { !sites.contains(ExactString($0)) }
  }

  /// The figures that the manifest gives for each site or probe; norms of tensors are measured, not
  /// believed.
  private static func statistics(_ details: JSONObject) -> Statistics {
    var statistics = Statistics()
    guard case .object(let byName) = details["statistics"] else { return statistics }
    for (name, value) in byName.members {
      guard case .object(let figures) = value else { continue }
      statistics.add(name, figures)
    }
    return statistics
  }

  /// Figures by the name of their tensor, site or probe.
  private struct Statistics {
    /// The names of the figures.
    private(set) var names: [String] = []
    /// The figures of each.
    private(set) var values: [(name: String, figures: JSONObject)] = []
    private var places: [ExactString: Int] = [:]

    mutating func add(_ name: String, _ figures: JSONObject) {
      places[ExactString(name)] = values.count
      values.append((name, figures))
      for (name, _) in figures.members where name != "norm" && !names.contains(name) {
        names.append(printable(name))
      }
    }

    /// The figures of one, in the order of `names`; empty where it has none.
    func figures(of name: String) -> [String] {
      let own = places[ExactString(name)].map { values[$0].figures }
      return names.map { own?[$0].map { Report.figure($0) } ?? "" }
    }
  }

  private static func figure(_ value: JSONValue) -> String {
    if case .integer(let count) = value { return Format.count(Int(count)) }
    return printable(plain(value))
  }

  /// The blocks, sites and strength of a dose.
  private static func text(ofDose dose: JSONObject) -> String {
    let word = { (key: String) in dose[key].map(plain) ?? "" }
    return
      "blocks \(word("layers")), \(word("sites")), strength \(word("strength")) of the trained vector: "
      + "strength 1 of this file"
  }

  /// A figure with its interval; nil for another value.
  private static func text(ofFigure value: JSONValue) -> String? {
    guard case .object(let figure) = value, let number = figure["value"],
      let interval = figure["interval"]
    else { return nil }
    guard case .array(let ends) = interval else { return "\(plain(number)) [unknown]" }
    return "\(plain(number)) [\(ends.map(plain).joined(separator: ", "))]"
  }

  /// The largest number of numbers that are listed.
  private static let listedCount = 4

  /// Numbers with fractions in one line: some of them, or how many they are and between which ends.
  private static func text(ofNumbers values: [JSONValue]) -> String? {
    let numbers = values.compactMap { value -> Double? in
      switch value {
      case .number(let number): number
      case .integer(let number): Double(number)
      default: nil
      }
    }
    let hasFraction = values.contains { if case .number = $0 { true } else { false } }
    guard hasFraction, numbers.count == values.count, let low = numbers.min(),
      let high = numbers.max()
    else { return nil }
    guard numbers.count > listedCount else {
      return numbers.map(Format.figure).joined(separator: ", ")
    }
    return "\(counted(numbers.count, "number")), \(Format.figure(low)) to \(Format.figure(high))"
  }

  /// A value in one line, objects as `key value` pairs.
  private static func plain(_ value: JSONValue) -> String {
    switch value {
    case .string(let text): text
    case .null: "none"
    case .number(let number): Format.figure(number)
    case .array(let values): text(ofNumbers: values) ?? value.canonicalText
    case .object(let object):
      object.members.map { "\($0.key) \(plain($0.value))" }.joined(separator: ", ")
    default: value.canonicalText
    }
  }
}

extension Tensor {
  /// The Euclidean norm of all elements; nil for integers.
  fileprivate var norm: Double? {
    switch dataType {
    case .f32: withFloats { $0.reduce(0.0) { $0 + Double($1) * Double($1) } }.squareRoot()
    case .f64: withDoubles { $0.reduce(0.0) { $0 + $1 * $1 } }.squareRoot()
    default: nil
    }
  }
}
