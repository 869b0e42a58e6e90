import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTensor

/// A model's answers when a prompt's last token is moved through a probe's hyperplane. They show
/// whether the model uses the direction of the probe.
package struct ProbeIntervention {
  private let model: any LanguageModel
  private let entry: ProbeEntry
  private let interventions: Interventions
  private let batch: Int
  private let seed: UInt64

  /// Intervenes with a probe that reads one activation.
  ///
  /// - Parameter interventions: other edits of every run, before the value is moved.
  package init(
    _ model: any LanguageModel, _ entry: ProbeEntry, applying interventions: Interventions = [],
    batch: Int = 32, seed: UInt64 = 0
  ) {
    self.model = model
    self.entry = entry
    self.interventions = interventions
    self.batch = max(batch, 1)
    self.seed = seed
  }

  /// The log-odds of the true choice, by prompt.
  package struct Answers: Sendable {
    /// Without intervention.
    package var before: [Double]
    /// After the move through the hyperplane.
    package var after: [Double]
    /// After a move by the same distance in a random direction.
    package var control: [Double]

    /// The share of prompts in which the model's answer changes sides.
    package static func flips(_ a: [Double], _ b: [Double]) -> Double {
      Double(zip(a, b).count { ($0 >= 0) != ($1 >= 0) }) / Double(max(a.count, 1))
    }
  }

  /// Runs every prompt three times.
  ///
  /// - Parameters:
  ///   - prompts: token ids, at least one each.
  ///   - choices: the first id of the false and the true choice of each.
  ///   - tokenizer: the digest of the tokenizer that made the ids.
  /// - Throws: `artifact.*`, `usage.option`, `model.*`.
  package func run(
    _ prompts: [[Int]], choices: [[Int]], tokenizer: Digest? = nil, file: String? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Answers {
    try interventions.check(.edits, of: "probe intervene")
    let blank = [Double](repeating: 0, count: prompts.count)
    var answers = Answers(before: blank, after: blank, control: blank)
    var random = SeededRandom(seed: seed)
    var direction = (0..<entry.elementCount).map { _ in random.gaussian() }
    let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for index in direction.indices { direction[index] /= norm }
    var done = 0
    let groups = Dictionary(grouping: prompts.indices) { prompts[$0].count }
    for (length, group) in groups.sorted(by: { $0.key < $1.key }) {
      for start in stride(from: 0, to: group.count, by: batch) {
        let part = Array(group[start..<min(start + batch, group.count)])
        let tokens = TokenBatch(part.map { prompts[$0] })
        let moves: [[Intervention]] = [
          [],
          [.edit(try ReflectionTap(entry, at: length - 1, of: model.description, file: file))],
          [
            .edit(
              try ReflectionTap(
                entry, at: length - 1, of: model.description, control: direction, file: file))
          ],
        ]
        for (turn, move) in moves.enumerated() {
          var state = model.initialState(batch: part.count)
          let bound = try Interventions(interventions.items + move).bind(
            to: BoundRun(model, tokenizer: tokenizer, prompts: tokens.sequences, from: state))
          let logits = try model.run(tokens, from: &state, tap: bound.tap)  // [B, 1, V]
          let width = model.description.vocabularySize
          logits.withFloats { logits in
            for (row, prompt) in part.enumerated() {
              let odds = Double(
                logits[row * width + choices[prompt][1]] - logits[row * width + choices[prompt][0]])
              switch turn {
              case 0: answers.before[prompt] = odds
              case 1: answers.after[prompt] = odds
              default: answers.control[prompt] = odds
              }
            }
          }
        }
        done += part.count
        progress(done, prompts.count)
      }
    }
    return answers
  }
}
