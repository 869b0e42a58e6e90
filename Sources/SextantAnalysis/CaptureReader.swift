import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// Runs prompts and keeps the activations at some sites, for use by other programs.
public struct CaptureReader {
  private let model: any LanguageModel
  private let sites: [SiteDescription]

  /// Captures these sites of `model`.
  package init(_ model: any LanguageModel, sites: [SiteDescription]) {
    self.model = model
    self.sites = sites
  }

  /// The tokens after which states are kept.
  public enum StateMoments: Sendable {
    /// The last one.
    case last
    /// Each one.
    case each
  }

  /// Refuses prompts of which the sites show more than fits into memory: the pieces that are kept, and
  /// the tensors that they are joined to.
  private func checkMemory(
    _ prompts: [[Int]], _ moments: StateMoments = .last
  ) throws(Refusal) {
    let rows = prompts.reduce(0) { $0 + $1.count }
    let bytes = sites.map { site in
      let isOnce = site.site.isState && !site.grows && moments == .last
      let count = isOnce ? prompts.count : rows
      return MemoryBudget.product(2, count, site.elementCount, 4)
    }
    try MemoryBudget.check(
      MemoryBudget.sum(bytes), for: "\(counted(sites.count, "site")) of \(counted(rows, "token"))",
      remedy: "Name fewer sites with `sites` and `layers`, or capture fewer prompts at a time.")
  }

  /// Runs each prompt from an empty state and keeps the activations.
  ///
  /// Rows of several prompts are joined; `row.prompt` and `row.position` give the prompt and
  /// position of each row. States are those after each prompt's last token. Components that grow
  /// have all positions.
  ///
  /// - Parameters:
  ///   - prompts: token ids; none may be empty.
  ///   - tokenizer: the digest of the tokenizer that made the ids; nil if they came as ids.
  ///   - beginOfText: the ids that were put before each text, for the manifest.
  ///   - isEdited: whether `editing` edits. The manifest then records it, and values that overflow
  ///     by an edit are refused.
  ///   - editing: the tap that edits a prompt's run before it is recorded; nil if none.
  ///   - progress: receives prompts done and in all.
  /// - Throws: `data.record` for an empty prompt, `data.empty` for none, `model.token`,
  ///   `model.nonfinite`, `system.memory`.
  package func capture(
    _ prompts: [[Int]], tokenizer: Digest?, beginOfText: [Int] = [],
    isEdited: Bool = false,
    editing: (_ prompt: [Int]) throws(Refusal) -> (any Tap)? = { _ in nil },
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Artifact {
    let artifact = try captureTogether(
      prompts, tokenizer: tokenizer, beginOfText: beginOfText, isEdited: isEdited,
      ranks: Alone(), editing: editing, progress: progress)
    guard let artifact else { preconditionFailure("one of several ranks") }
    return artifact
  }

  /// Runs each prompt as `capture` does. The ranks divide the prompts.
  ///
  /// - Returns: the artifact on the first rank; nil on the others.
  /// - Throws: as `capture`; `usage.ranks` for ranks with other prompts or models.
  package func captureTogether(
    _ prompts: [[Int]], tokenizer: Digest?, beginOfText: [Int], isEdited: Bool,
    ranks: any Collective,
    editing: (_ prompt: [Int]) throws(Refusal) -> (any Tap)?,
    progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> Artifact? {
    guard !prompts.isEmpty else {
      throw Refusal(.dataEmpty, found: "no prompts", expected: "at least one")
    }
    try checkMemory(prompts)
    try ranks.requireSame([
      ("model", model.description.reference(tokenizer: tokenizer).json.canonicalText),
      ("data", ranks.size == 1 ? "" : SHA256.digest(Array("\(prompts)".utf8)).description),
      ("settings", "\(isEdited) \(Precision.current) \(sites.map(\.site.name))"),
    ])
    var done = 0
    let read = try ranks.mapToFirst(
      prompts.count,
      { index throws(Refusal) -> [Site: [Tensor]] in
        let prompt = prompts[index]
        guard !prompt.isEmpty else {
          throw Refusal(
            .dataRecord, found: "prompt \(index) without tokens", expected: "at least one token")
        }
        var state = model.initialState()
        let pieces = try pieces(of: prompt, from: &state, .last, editing: try editing(prompt))
        if isEdited {
          for (site, pieces) in pieces { try Self.checkFinite(pieces, at: site) }
        }
        done += 1
        progress(min(done * ranks.size, prompts.count), prompts.count)
        return pieces
      },
      pack: { pieces, message in
        for site in sites {
          let own = pieces[site.site] ?? []
          message.put(own.count)
          for piece in own { message.put(piece) }
        }
      },
      unpack: { reader throws(Refusal) in
        var pieces: [Site: [Tensor]] = [:]
        for site in sites {
          let count = try reader.integer(in: 0...Int(Int32.max))
          for _ in 0..<count { pieces[site.site, default: []].append(try reader.tensor()) }
        }
        return pieces
      })
    guard let read else { return nil }
    var values: [Site: [Tensor]] = [:]
    for pieces in read {
      for (site, own) in pieces { values[site, default: []] += own }
    }
    var tensors = [(name: "tokens", value: Tensor(integers: prompts.flatMap { $0 }))]  // [R]
    if prompts.count > 1 {
      let rows = prompts.enumerated().flatMap { prompt, tokens in
        tokens.indices.map { (prompt: prompt, position: $0) }
      }
      tensors.append(("row.prompt", Tensor(integers: rows.map(\.prompt))))  // [R]
      tensors.append(("row.position", Tensor(integers: rows.map(\.position))))  // [R]
    }
    let rowCount = prompts.reduce(0) { $0 + $1.count }  // R
    for site in sites {
      let joined = Self.joined(values[site.site] ?? [], of: site)  // [R, …] or, for a state, [P, …]
      let isSingleState = site.site.isState && !site.grows && prompts.count == 1
      tensors.append((site.site.name, isSingleState ? joined.reshaped(site.shape) : joined))
    }
    let manifest = Manifest(
      kind: Capture.name, kindVersion: Capture.version,
      model: model.description.reference(tokenizer: tokenizer),
      sites: sites.map { $0.reference(positions: rowCount) },
      details: BeginningRecord.adding(
        beginOfText,
        to: JSONObject(
          [("prompts", .integer(Int64(prompts.count)))]
            + (isEdited ? [("edited", .boolean(true))] : [])
            + (Precision.current == .fast ? [("precision", "fast")] : []))))
    return Artifact(manifest: manifest, tensors: tensors)
  }

  /// The activations at the sites while the model reads one prompt.
  ///
  /// - Parameters:
  ///   - prompt: token ids, T of them, at least one.
  ///   - state: the state to start from, of one sequence; it becomes the state after the prompt.
  ///   - moments: the tokens after which states are kept.
  ///   - tap: the tap that edits the run before it is recorded; values that are not finite are then
  ///     refused.
  /// - Returns: by site [T, …]; the component's shape for a state after the last token.
  /// - Throws: `data.record` for an empty prompt; `artifact.site` for a component that grows after each
  ///   token, which has a row for each anyway; `model.token`, `model.nonfinite`, `system.memory`.
  package func values(
    of prompt: [Int], from state: inout State, statesAfter moments: StateMoments = .last,
    editing tap: (any Tap)? = nil
  ) throws(Refusal) -> [Site: Tensor] {
    guard !prompt.isEmpty else {
      throw Refusal(
        .dataRecord, found: "a prompt without tokens", expected: "at least one token")
    }
    if moments == .each, let site = sites.first(where: \.grows) {
      throw Refusal(
        .artifactSite, at: .tensor(site.site.name),
        found: "\(site.site), which grows with each position",
        expected: "a state of constant size, to record it after each token",
        remedy: "Record it after the last token: it then has a row for each token.")
    }
    try checkMemory([prompt], moments)
    var values: [Site: Tensor] = [:]
    let all = try pieces(of: prompt, from: &state, moments, editing: tap)
    for site in sites {
      let pieces = all[site.site] ?? []
      if tap != nil { try Self.checkFinite(pieces, at: site.site) }
      let joined = Self.joined(pieces, of: site)
      let isOnce = site.site.isState && !site.grows && moments == .last
      values[site.site] = isOnce ? joined.reshaped(site.shape) : joined
    }
    return values
  }

  /// The activations at the sites while the model reads a prompt, in the order of its tokens.
  private func pieces(
    of prompt: [Int], from state: inout State, _ moments: StateMoments, editing tap: (any Tap)?
  ) throws(Refusal) -> [Site: [Tensor]] {
    let wanted = Set(sites.map(\.site))
    let read = state.position..<state.position + prompt.count
    let states = moments == .each ? Set(read) : [read.upperBound - 1]
    let recorder = Recorder(wanted, statesAfter: states)
    _ = try model.run(
      TokenBatch(prompt), from: &state, logits: wanted.contains(.logits) ? .all : .none,
      tap: TapChain([tap, recorder].compactMap { $0 }))
    return Dictionary(uniqueKeysWithValues: wanted.map { ($0, recorder.pieces(at: $0)) })
  }

  /// The pieces of a site joined: a row for each token, or for each state.
  private static func joined(_ pieces: [Tensor], of site: SiteDescription) -> Tensor {
    // [1, T, …] of a component that grows is a row for each token.
    Tensor.concatenated(
      pieces.map { site.grows ? $0.reshaped([$0.shape[1]] + site.shape) : $0 })
  }

  /// - Throws: `model.nonfinite`.
  private static func checkFinite(_ pieces: [Tensor], at site: Site) throws(Refusal) {
    guard pieces.allSatisfy({ $0.withFloats { $0.allSatisfy(\.isFinite) } }) else {
      throw Refusal.nonfinite("values", at: .tensor(site.name))
    }
  }
}
