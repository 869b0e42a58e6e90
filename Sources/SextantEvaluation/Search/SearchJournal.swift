import SextantBytes
import SextantTexts

/// The measurements of a search, so that an interrupted search can go on: a search takes every
/// measurement from the journal that is in it, and so comes to the same result.
package struct SearchJournal {
  /// The settings of the search, which must be the same to go on.
  private let settings: JSONObject
  /// The file that it was read from.
  private var path: String?
  private var figures: [String: CellFigures] = [:]
  /// The keys in the order of the measurements.
  private var order: [String] = []

  private static let format = "sextant-search"

  /// An empty journal.
  init(_ settings: JSONObject) { self.settings = settings }

  /// Reads a journal.
  ///
  /// - Throws: `file.*`, `text.*`, `json.*`, `data.record` for a file that is none; `usage.option` for
  ///   the journal of a search with other settings.
  init(reading path: String, for settings: JSONObject) throws(Refusal) {
    self.init(settings)
    self.path = path
    let records = try TextRecords(TextFile(reading: path), fields: ["format", "cell"])
    var isFirst = true
    var read: [(key: String, figures: CellFigures)] = []
    _ = try records.map { record, _ throws(Refusal) in
      if isFirst {
        isFirst = false
        return try Self.check(record, settings, path)
      }
      read.append((try record.member("cell").string(), try CellFigures(record)))
    }
    guard !isFirst else {
      throw Refusal(
        .dataEmpty, file: path, found: "no records", expected: "the checkpoint of a search")
    }
    for (key, figures) in read { add(key, figures) }
  }

  private static func check(
    _ record: JSONNode, _ settings: JSONObject, _ path: String
  ) throws(Refusal) {
    let name = try record.member("format")
    guard try name.string() == format else { throw name.refusal(expected: "\"\(format)\"") }
    let version = try record.member("version")
    guard try version.integer() == 1 else { throw version.refusal(expected: "1") }
    let recorded = try record.member("settings").object()
    guard recorded != settings else { return }
    let other = settings.members.first { recorded[$0.key] != $0.value }?.key ?? "another member"
    throw Refusal(
      .usageOption, file: path, at: .parameter("checkpoint"),
      found: "the checkpoint of a search with other settings (\(other))",
      expected: "the settings of this search",
      remedy: "Name another file, or repeat the command that made this one.")
  }

  /// The figures of a measurement on a part of the data; nil if it was not made.
  ///
  /// - Throws: `data.record` for figures of other data.
  func figures(_ key: String, on part: SearchData.Part) throws(Refusal) -> CellFigures? {
    guard let found = figures[key] else { return nil }
    let counts = [found.effects, found.nonsense, found.divergences, found.losses].map(\.count)
    let expected = [part.items, part.items, part.others].map(\.count)
    guard counts == [expected[0], expected[1], part.passages.count, expected[2]] else {
      throw Refusal(
        .dataRecord, file: path, found: "\(counts) numbers for the cell \"\(key)\"",
        expected: "a number for each item of the data")
    }
    return found
  }

  /// Adds a measurement.
  mutating func add(_ key: String, _ found: CellFigures) {
    if figures.updateValue(found, forKey: key) == nil { order.append(key) }
  }

  /// The bytes of the file: a line with the settings, and a line for each measurement.
  var bytes: [UInt8] {
    let head = JSONObject([
      ("format", .string(Self.format)), ("version", 1), ("settings", .object(settings)),
    ])
    return TextFile.jsonLines(
      [head] + order.map { JSONObject([("cell", .string($0))]).with(figures[$0]?.json ?? [:]) })
  }
}

extension CellFigures {
  private static var members: [(key: String, path: WritableKeyPath<CellFigures, [Double]>)] {
    [("effect", \.effects), ("nonsense", \.nonsense), ("kl", \.divergences), ("loss", \.losses)]
  }

  fileprivate init(_ record: JSONNode) throws(Refusal) {
    for (key, path) in Self.members {
      let isDivergence = path == \.divergences
      for element in try record.member(key).elements() {
        // A divergence that is not finite is null.
        let value = isDivergence && element.value == .null ? .infinity : try element.number()
        guard isDivergence ? value >= 0 : abs(value) <= 1 else {
          throw element.refusal(expected: isDivergence ? "0 or more" : "a number from -1 to 1")
        }
        self[keyPath: path].append(value)
      }
    }
  }

  /// The numbers by item.
  fileprivate var json: JSONObject {
    JSONObject(
      Self.members.map { key, path in
        (key, .array(self[keyPath: path].map { JSONValue(finite: $0) }))
      })
  }
}
