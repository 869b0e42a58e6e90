/// The task of both sides.
struct Task {
  var name: String
  let kind: String
  let tokens: Int
  let batch: Int
  /// Tokens before those that are generated.
  var prompt = 16

  /// Reading a prompt and finding the most probable next token.
  static func prefill(_ tokens: Int) -> Task {
    Task(name: "prefill \(tokens)", kind: "prefill", tokens: tokens, batch: 1)
  }

  /// Greedy generation after a prompt.
  static func decode(_ tokens: Int, batch: Int = 1, after prompt: Int = 16) -> Task {
    Task(
      name: batch == 1 ? "decode \(tokens)" : "decode \(tokens), batch \(batch)", kind: "decode",
      tokens: tokens, batch: batch, prompt: prompt)
  }

  /// Tokens per second in one turn.
  struct Rate {
    /// By the clock.
    let perSecond: Double
    /// By the time that all threads spent on processors.
    let perProcessorSecond: Double
    /// The most probable next token of each sequence, at the end.
    let last: [Int]
  }

  /// Runs the task once. Tokens of all sequences count.
  func run(_ process: ChildProcess) throws -> Rate {
    let answer = try process.ask([
      "task": .string(kind), "tokens": .integer(Int64(tokens)), "batch": .integer(Int64(batch)),
      "prompt": .integer(Int64(prompt)),
    ])
    let count = Double(tokens * batch)
    return Rate(
      perSecond: count / (try answer.member("seconds").number()),
      perProcessorSecond: count / (try answer.member("processor_seconds").number()),
      last: try answer.member("last").elements().map { try $0.integer(in: 0...Int.max) })
  }
}
