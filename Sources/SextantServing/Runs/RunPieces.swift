import SextantBytes
import SextantGeneration
import SextantStore
import SextantTokenizers

/// The stream of a run: its events, as lines of `event:` and `data:`.
final class RunPieces: ServingPieces, @unchecked Sendable {
  private let run: Run
  private let reports: Reports
  private let tokenizer: any Tokenizer
  private var opening: RunEvent?
  private var isOver = false
  /// Of each branch, by its place.
  private var rows: [Row]
  /// The ids whose texts were told.
  private var toldWords: Set<Int> = []

  private struct Row {
    /// What the lens predicted for the next token.
    var lens: JSONValue?
    var count = 0
    var began: ContinuousClock.Instant?
  }

  init(_ run: Run, _ opening: RunEvent, _ reports: Reports, _ tokenizer: any Tokenizer) {
    (self.run, self.opening, self.reports, self.tokenizer) = (run, opening, reports, tokenizer)
    rows = Array(repeating: Row(), count: run.branches.count)
  }

  func cancel() { run.stop() }

  func next() async -> [UInt8]? {
    if let opening {
      self.opening = nil
      return told([opening])
    }
    guard !isOver else { return nil }
    do throws(ServingError) {
      guard let events = try await run.queue.next() else {
        isOver = true
        let rest = run.branches.flatMap { $0.takeNews() }
        return rest.isEmpty ? nil : told(rest)
      }
      let isSilent = events.allSatisfy { if case .silence = $0 { true } else { false } }
      if isSilent { return EventLines.ping }
      // What the engine noted came before the events that are read now, or with them.
      let news = run.branches.flatMap { $0.takeNews() }
      return told(events.flatMap(self.events) + news)
    } catch {
      isOver = true
      run.stop()
      return told(
        run.branches.map { branch in
          RunEvent(
            name: "error",
            data: [
              "branch": .string(branch.name), "message": .string(error.message),
              "code": error.code.map { .string($0) } ?? .null,
            ])
        })
    }
  }

  private func told(_ events: [RunEvent]) -> [UInt8] {
    run.note(events)
    return events.flatMap(\.lines)
  }

  // MARK: Events

  private func events(_ event: TextEvent) -> [RunEvent] {
    switch event {
    case .silence: return []
    case .waiting(let place):
      return [RunEvent(name: "queue", data: ["place": .integer(Int64(place))])]
    case .reading(let place, let read): return [reading(place, read)]
    case .prompt(let place, _, let records, let cached):
      rows[place].lens = records.last.flatMap(lens)
      return [prompt(place, records, cached)]
    case .token(let place, let token): return [self.token(place, token)]
    case .end(let place, let ended): return [end(place, ended)]
    }
  }

  private func prompt(_ place: Int, _ records: [TokenRecord], _ cached: Int) -> RunEvent {
    let branch = run.branches[place]
    let tokens = records.dropFirst(branch.repeatedCount).map { record -> JSONValue in
      [.integer(Int64(record.token)), .string(record.text)]
    }
    return RunEvent(
      name: "prompt",
      data: [
        "branch": .string(branch.name), "tokens": .array(tokens), "cached": .integer(Int64(cached)),
        "read": .integer(Int64(branch.prompt.count)), "of": .integer(Int64(branch.prompt.count)),
      ])
  }

  private func reading(_ place: Int, _ read: Int) -> RunEvent {
    let branch = run.branches[place]
    return RunEvent(
      name: "prompt",
      data: [
        "branch": .string(branch.name), "tokens": [], "cached": 0, "read": .integer(Int64(read)),
        "of": .integer(Int64(branch.prompt.count)),
      ])
  }

  private func token(_ place: Int, _ token: GeneratedToken) -> RunEvent {
    let branch = run.branches[place]
    let number = rows[place].count
    rows[place].count += 1
    if rows[place].began == nil { rows[place].began = .now }
    var data = JSONObject([
      ("branch", .string(branch.name)), ("position", .integer(Int64(branch.end + number))),
      ("id", .integer(Int64(token.id))), ("text", .string(token.text)),
    ])
    var named: [Int] = []
    if let score = token.score {
      data["logprob"] = (score.logProbability?.rounded(to: 5)).map { .number($0) }
      data["top"] = .array(
        score.top.map { [.integer(Int64($0.id)), .number($0.logProbability.rounded(to: 4))] })
      named += score.top.map(\.id)
    }
    let (entropy, divergence) = branch.uncertainty(of: number)
    data["entropy"] = entropy.map { .number($0.rounded(to: 4)) }
    if let divergence, let reference = branch.reference {
      data["divergence_from"] = [reference.name: .number(divergence.rounded(to: 3))]
    }
    if let lens = rows[place].lens {
      data["lens"] = lens
      named += Self.ids(of: lens)
    }
    if let record = token.record {
      rows[place].lens = lens(record)
      let scores = probes(record)
      if !scores.isEmpty { data["probes"] = .array(scores) }
      let sites = record.edits.filter(\.isEdited).map { JSONValue.string($0.site.name) }
      if !sites.isEmpty { data["steered"] = .array(sites) }
    }
    let words = named.filter { toldWords.insert($0).inserted }
    if !words.isEmpty {
      data["words"] = .array(
        words.map { [.integer(Int64($0)), .string(tokenizer.decode([$0]))] })
    }
    return RunEvent(name: "token", data: .object(data))
  }

  private func end(_ place: Int, _ ended: EndedText) -> RunEvent {
    let branch = run.branches[place]
    let seconds = rows[place].began.map { (ContinuousClock.now - $0) / .seconds(1) } ?? 0
    var data = JSONObject([
      ("branch", .string(branch.name)),
      ("reason", .string(ended.ending == .cancelled ? "cancelled" : ended.ending.finishReason)),
      ("prompt_tokens", .integer(Int64(branch.end))),
      ("completion_tokens", .integer(Int64(ended.count))), ("text", .string(ended.rest)),
    ])
    if seconds > 0, ended.count > 1 {
      data["tokens_per_second"] = .number((Double(ended.count - 1) / seconds).rounded(to: 4))
    }
    return RunEvent(name: "done", data: .object(data))
  }

  // MARK: Reports

  /// The predictions of the blocks: `[[block, [[id, probability], …]], …]`; -1 is the embedding.
  private func lens(_ record: TokenRecord) -> JSONValue? {
    for (item, report) in record.reports where item < reports.items.count {
      guard case .array(let layers)? = report["layers"] else { continue }
      return .array(
        layers.compactMap { layer -> JSONValue? in
          guard case .object(let layer) = layer, case .array(let top)? = layer["top"] else {
            return nil
          }
          var block: Int64 = -1
          if case .string(let name)? = layer["site"], let own = Site(name: name)?.block {
            block = Int64(own)
          }
          return [.integer(block), .array(top.compactMap(Self.guess))]
        })
    }
    return nil
  }

  private static func guess(_ value: JSONValue) -> JSONValue? {
    guard case .object(let guess) = value, let token = guess["token"],
      case .number(let probability)? = guess["p"]
    else { return nil }
    return [token, .number(probability.rounded(to: 3))]
  }

  private static func ids(of lens: JSONValue) -> [Int] {
    guard case .array(let layers) = lens else { return [] }
    return layers.flatMap { layer -> [Int] in
      guard case .array(let parts) = layer, case .array(let top)? = parts.last else { return [] }
      return top.compactMap { guess in
        guard case .array(let pair) = guess, case .integer(let id)? = pair.first else { return nil }
        return Int(id)
      }
    }
  }

  /// The scores: `[[name, score], …]`.
  private func probes(_ record: TokenRecord) -> [JSONValue] {
    record.reports.flatMap { item, report -> [JSONValue] in
      guard item < reports.items.count, case .object(let scores)? = report["scores"] else {
        return []
      }
      return scores.members.map { entry, score in
        var value = score
        if case .number(let number) = score { value = .number(number.rounded(to: 4)) }
        return [.string("\(reports.names[item])#\(entry)"), value]
      }
    }
  }
}
