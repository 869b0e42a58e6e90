import SextantBytes
import SextantModels
import SextantTensor

/// Continues several texts together: each step reads one token of each of them.
///
/// The texts are independent: each has a prompt, options and interventions of its own, and joins and
/// leaves the batch at any time. The tokens of a text have the same bits for any other texts beside
/// it. Not for use by several threads at once.
package final class GenerationBatch {
  /// What happened to a text in a step.
  package enum Event {
    /// A piece of its prompt was read.
    case prompt
    /// A token was read: its record.
    case token(TokenRecord)
    /// A token was read, of a text without records.
    case step
    /// It ended, for the reason that `GenerationRun.ending` gives.
    case end
    /// It was refused. The other texts continue.
    case failure(Refusal)
  }

  /// Tokens of a piece of a prompt.
  package static let pieceLength = 64
  /// Tokens that a piece may have more, so that it ends at a place where the state is to be seen.
  static let pieceSlack = 16

  private let model: any LanguageModel
  /// The texts whose prompts are not read yet, in the order in which they came.
  private var waiting: [GenerationRun] = []
  /// The texts that are continued, in the order of the sequences of `state`.
  private var rows: [GenerationRun] = []
  /// The state of all rows; nil if there are none.
  private var state: State?

  /// An empty batch of texts of one model.
  package init(_ model: any LanguageModel) { self.model = model }

  /// The number of texts that have not ended.
  package var count: Int { waiting.count + rows.count }

  /// The number of texts that are continued: their prompts were read.
  package var rowCount: Int { rows.count }

  /// Adds a text, of which nothing was read yet.
  package func add(_ run: GenerationRun) { waiting.append(run) }

  /// Adds a text that was taken out, before those that wait.
  package func addAgain(_ run: GenerationRun) { waiting.insert(run, at: 0) }

  /// Reads a waiting text before the others that wait.
  package func readNext(_ run: GenerationRun) {
    guard let place = waiting.firstIndex(where: { $0 === run }) else { return }
    waiting.insert(waiting.remove(at: place), at: 0)
  }

  /// The state of a text that is continued, as a copy of its own; nil for another one.
  package func state(of run: GenerationRun) -> State? {
    guard let row = rows.firstIndex(where: { $0 === run }) else { return nil }
    return state?.selecting([row])
  }

  /// Takes a text out of the batch, between two steps. Its state is then the one after the last
  /// token that was read; it can continue by itself.
  package func remove(_ run: GenerationRun) {
    waiting.removeAll { $0 === run }
    guard let row = rows.firstIndex(where: { $0 === run }) else { return }
    leave([row])
  }

  /// Reads one token of each row, after pieces of the prompts of the texts that wait longest.
  ///
  /// - Parameter promptTokens: the number of tokens of prompts after which no further piece is begun
  ///   in this step; a first one is always read. Pieces have 64 tokens, or what is left.
  /// - Returns: what happened to the texts, in the order of the rows. A text that ends or fails has
  ///   left the batch.
  package func step(promptTokens: Int = pieceLength) -> [(run: GenerationRun, event: Event)] {
    // Texts that were cancelled since the last step.
    let cancelled = rows.indices.filter { rows[$0].token == nil }
    var events = cancelled.map { (run: rows[$0], event: Event.end) }
    leave(cancelled)
    events += readPrompts(promptTokens)
    guard var joined = state else { return events }
    state = nil  // `joined` is then the only owner, and nothing is copied
    let results: [Result<Tensor, Refusal>]
    do throws(Refusal) {
      results = try model.step(
        rows.compactMap(\.token), from: &joined, taps: rows.map(\.tap))  // [V] each
    } catch {
      results = rows.map { _ in .failure(error) }
    }
    state = joined
    var leaving: [Int] = []
    for (row, run) in rows.enumerated() {
      do throws(Refusal) {
        if let record = try run.didRead(results[row], endingBefore: joined.positions[row]) {
          events.append((run, .token(record)))
        } else {
          events.append((run, .step))
        }
        if run.token == nil {
          events.append((run, .end))
          leaving.append(row)
        }
      } catch {
        events.append((run, .failure(error)))
        leaving.append(row)
      }
    }
    leave(leaving)
    return events
  }

  /// Reads pieces of prompts; texts whose prompts are complete become rows.
  private func readPrompts(_ limit: Int) -> [(run: GenerationRun, event: Event)] {
    var events: [(run: GenerationRun, event: Event)] = []
    var joining: [GenerationRun] = []
    var left = max(limit, 1)
    while left > 0, let first = waiting.first {
      // One that was taken out, and added again, may have read its prompt.
      let pack = first.hasReadPrompt ? [] : pack(with: first, within: left)
      left -= pack.reduce(0) { $0 + ($1.piece?.tokens.count ?? 0) }
      for (run, result) in read(pack) {
        if case .failure(let refusal) = result {
          events.append((run, .failure(refusal)))
          waiting.removeAll { $0 === run }
        } else {
          events.append((run, .prompt))
        }
      }
      for run in waiting where run.hasReadPrompt {
        if run.token == nil { events.append((run, .end)) } else { joining.append(run) }
      }
      waiting.removeAll(where: \.hasReadPrompt)
    }
    guard !joining.isEmpty else { return events }
    state = .joining([state].compactMap { $0 } + joining.map(\.state))
    rows += joining
    return events
  }

  /// A text with what it reads next; nil for nothing.
  private typealias Packed = (run: GenerationRun, piece: GenerationRun.Piece?)

  /// A waiting text, and others that can be read together with it: as many tokens from the same position, on
  /// which nothing acts.
  private func pack(with first: GenerationRun, within limit: Int) -> [Packed] {
    let own = first.nextPiece
    var pack: [Packed] = [(first, own)]
    guard let own, first.tap == nil else { return pack }
    for run in waiting where run !== first && run.tap == nil {
      guard (pack.count + 1) * own.tokens.count <= limit else { break }
      guard run.state.position == first.state.position, let piece = run.nextPiece,
        piece.tokens.count == own.tokens.count, piece.logits == own.logits
      else { continue }
      pack.append((run, piece))
    }
    return pack
  }

  /// Reads a piece of each of some texts.
  private func read(_ pack: [Packed]) -> [(run: GenerationRun, result: Result<Void, Refusal>)] {
    guard pack.count > 1 else {
      return pack.map { run, _ in
        (run, Self.result { () throws(Refusal) in try run.readPrompt() })
      }
    }
    let pieces = pack.compactMap(\.piece)
    var joined = State.joining(pack.map(\.run.state))
    let logits: Tensor
    do throws(Refusal) {
      logits = try model.run(
        TokenBatch(pieces.map(\.tokens)), from: &joined, logits: pieces[0].logits)  // [B, S, V]
    } catch {
      return pack.map { ($0.run, .failure(error)) }
    }
    let count = logits.shape[1]
    let all = logits.reshaped([pack.count * count, logits.shape[2]])
    return pack.indices.map { row in
      let run = pack[row].run
      let result = Self.result { () throws(Refusal) in
        try run.didRead(
          pieces[row], joined.selecting([row]), all.rows(row * count..<(row + 1) * count))
      }
      return (run, result)
    }
  }

  private static func result(_ body: () throws(Refusal) -> Void) -> Result<Void, Refusal> {
    do throws(Refusal) { return .success(try body()) } catch { return .failure(error) }
  }

  /// Takes rows out of the batch, and gives each of them its state.
  private func leave(_ places: [Int]) {
    guard !places.isEmpty, let joined = state else { return }
    for row in places { rows[row].state = joined.selecting([row]) }
    let kept = rows.indices.filter { !places.contains($0) }
    rows = kept.map { rows[$0] }
    state = kept.isEmpty ? nil : joined.selecting(kept)
  }
}
