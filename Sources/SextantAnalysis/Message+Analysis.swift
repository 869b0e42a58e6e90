import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

extension Message {
  /// Appends a translator.
  mutating func put(_ translator: Translator) {
    put(translator.weight)
    put(translator.bias)
  }

  /// Appends a probe, without its site.
  mutating func put(_ entry: ProbeEntry) {
    put(entry.head ?? -1)
    put(entry.method)
    put(entry.input.rawValue)
    put(entry.direction)
    put(entry.eraser == nil ? 0 : 1)
    if let eraser = entry.eraser {
      for values in [eraser.mean, eraser.left, eraser.right] { put(values) }
    }
    for value in [entry.scale, entry.bias, entry.threshold] { put(value) }
  }

  /// Appends an object as JSON, which keeps each number bit for bit.
  mutating func put(_ object: JSONObject) { put(JSONValue.object(object).canonicalText) }
}

extension MessageReader {
  /// The next translator.
  mutating func translator() throws(Refusal) -> Translator {
    let (weight, bias) = (try tensor(), try tensor())
    guard weight.shape == [bias.count, bias.count] else {
      throw Refusal(
        .systemRanks, found: "a translator of the shape \(weight.shape)",
        expected: "\([bias.count, bias.count])")
    }
    return Translator(weight: weight, bias: bias)
  }

  /// The next probe, of this site.
  mutating func probeEntry(_ site: SiteDescription) throws(Refusal) -> ProbeEntry {
    let head = try integer(in: -1...Int(Int32.max))
    let (method, input) = (try text(), ProbeEntry.Input(rawValue: try text()))
    let direction = try doubles()
    guard let input else {
      throw Refusal(.systemRanks, found: "a probe of unknown input", expected: "a probe")
    }
    var eraser: ProbeEntry.Eraser?
    if try integer(in: 0...1) == 1 {
      eraser = .init(mean: try doubles(), left: try doubles(), right: try doubles())
    }
    return ProbeEntry(
      site: site.reference, head: head < 0 ? nil : head, method: method, input: input,
      direction: direction, eraser: eraser, scale: try double(), bias: try double(),
      threshold: try double())
  }

  /// The next object.
  mutating func object() throws(Refusal) -> JSONObject {
    let text = try bytes()
    return try JSONNode(parsing: text, code: .systemRanks, file: nil).object()
  }
}
