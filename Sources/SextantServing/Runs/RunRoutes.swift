import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels

extension Service {
  /// The routes of the page: `/sextant/v1/runs`, `diff` and `page`.
  static let runRoute: Route = { service, request, grant in
    let parts = decoded(request.path).split(separator: "/", omittingEmptySubsequences: true)
      .map(String.init)
    guard parts.count >= 3, parts[0] == "sextant", parts[1] == "v1" else { return nil }
    switch (request.method, parts[2], parts.count) {
    case ("POST", "runs", 3): return try service.startRun(request)
    case ("GET", "runs", 4): return try service.toldRun(parts[3])
    case ("PATCH", "runs", 4): return try service.steerRun(parts[3], request)
    case ("DELETE", "runs", 4):
      try service.runs.remove(parts[3])
      return .json(["run": .string(parts[3]), "deleted": true])
    case ("GET", "runs", 5) where parts[4] == "state":
      return try service.runState(parts[3], request)
    case ("GET", "diff", 3): return try service.stateDifference(request)
    case ("GET", "page", 3): return service.pageFacts()
    case ("GET", "artifacts", 4): return try service.inspectedArtifact(parts[3])
    case ("GET", "half-life", 3): return try await service.halfLife(fields(of: request.query))
    case (_, "runs", 3): throw methodRefused("POST")
    case (_, "runs", 4): throw methodRefused("GET, PATCH, DELETE")
    case (_, "diff", 3), (_, "page", 3), (_, "artifacts", 4), (_, "half-life", 3):
      throw methodRefused("GET")
    case (_, "runs", 5) where parts[4] == "state": throw methodRefused("GET")
    default: return nil
    }
  }

  private static func methodRefused(_ allowed: String) -> ServingError {
    ServingError(
      405, "method_not_allowed", "This path takes \(allowed).", headers: [("Allow", allowed)])
  }

  // MARK: Runs

  /// `POST /sextant/v1/runs`: makes branches, and streams their events.
  private func startRun(_ request: ServingRequest) throws -> ServingResponse {
    let own = try RunRequest(request.body, self)
    let start = try branchStart(own)
    var branches: [Branch] = []
    var texts: [ServedText] = []
    for wish in own.branches {
      let text = try Generator(
        model, tokenizer, applying: Interventions(own.reports.items + wish.steering.items)
      ).row(start.prompt, from: start.state, own.options, isRecorded: true)
      let branch = Branch(
        wish.name, start, text, wish.steering, own.options, reports: own.reports.items,
        siblings: branches)
      let served = ServedText(
        index: texts.count, start.prompt, text, ScoreWish(ofTokens: true, top: 5),
        isRecorded: true, cacheUse: nil, source: nil)
      served.branch = branch
      branches.append(branch)
      texts.append(served)
    }
    let queue = engine.queue()
    let run = Run(runs.newName(), branches, queue)
    try runs.add(run)
    do {
      try engine.submit(Job(texts, .page, queue, isStream: true))
    } catch {
      try runs.remove(run.id)
      throw error
    }
    return .events(RunPieces(run, opening(run, own), own.reports, tokenizer))
  }

  /// The first event: what the run is made of.
  private func opening(_ run: Run, _ request: RunRequest) -> RunEvent {
    let steering = run.branches.map { branch in
      (branch.name, JSONValue.array(branch.steering.names.map { .string($0) }))
    }
    var data = JSONObject([
      ("run", .string(run.id)), ("model", .string(options.modelName)),
      ("identity", .string("\(loaded.store.identity)")),
      ("branches", .array(run.branches.map { .string($0.name) })),
      ("steering", .object(JSONObject(steering))),
    ])
    if let lens = request.lens {
      data["lens"] = ["artifact": .string(lens.name), "raw": .boolean(lens.isRaw)]
    }
    switch request.start {
    case .prompt(let ids, let state):
      data["start"] = .integer(Int64(state?.position ?? 0))
      data["prompt"] = .string(
        tokenizer.decode(Array(ids.drop { tokenizer.beginOfTextIDs.contains($0) })))
    case .fork(let id, let branch, let position, _):
      data["from"] = [
        "run": .string(id), "branch": .string(branch), "position": .integer(Int64(position)),
      ]
    }
    return RunEvent(name: "run", data: .object(data))
  }

  /// Where the branches of a run start.
  ///
  /// A fork reads its token again, with the steering of the new branch, so that this acts on the first new token.
  private func branchStart(_ request: RunRequest) throws -> BranchStart {
    switch request.start {
    case .prompt(let ids, let state):
      return BranchStart(state: state ?? model.initialState(), prompt: ids)
    case .fork(let id, let name, let position, let inserted):
      let branch = try runs.run(id).branch(name)
      let (ids, origin) = (branch.ids, branch.origin)
      let positions = branch.base.position..<origin + ids.count
      guard positions.contains(position) else {
        throw ServingError(
          .option,
          "found the position \(position), expected one of branch \(name): "
            + "\(positions.lowerBound) to \(positions.upperBound - 1)", parameter: "from.position")
      }
      return BranchStart(
        state: try branch.state(after: position, model, tokenizer: tokenizer.digest),
        history: Array(ids[..<(position - origin)]), prompt: [ids[position - origin]] + inserted,
        repeatedCount: 1)
    }
  }

  /// `GET /sextant/v1/runs/{id}`: the events so far.
  private func toldRun(_ id: String) throws -> ServingResponse {
    let run = try runs.run(id)
    return .json([
      "run": .string(id), "live": .boolean(run.isLive),
      "events": .array(run.told.map { [.string($0.name), $0.data] }),
    ])
  }

  /// `PATCH /sextant/v1/runs/{id}`: steers a branch from its next token on.
  private func steerRun(_ id: String, _ request: ServingRequest) throws -> ServingResponse {
    let value = try JSONValue(
      parsing: request.body, limits: RequestBody.limits, keepsVerbatim: true)
    let node = JSONNode(value, code: .usageOption, file: nil)
    try node.allowOnly(keys: ["branch", "steering"])
    let branch = try runs.run(id).branch(node.member("branch").string())
    let steering = try steeringReader.steering(node.member("steering"))
    guard try branch.steer(steering, model, tokenizer: tokenizer.digest) else {
      throw ServingError(
        400, "branch_ended", "Branch \(branch.name) has ended. Fork it to steer it.",
        parameter: "branch")
    }
    return .json([
      "run": .string(id), "branch": .string(branch.name),
      "steering": .array(steering.names.map { .string($0) }),
    ])
  }

  // MARK: States

  /// `GET /sextant/v1/runs/{id}/state?branch=A&position=16`: the state after a token, as a file.
  private func runState(_ id: String, _ request: ServingRequest) throws -> ServingResponse {
    let query = Self.fields(of: request.query)
    let branch = try runs.run(id).branch(query["branch"] ?? "A")
    let state = try state(of: branch, at: query["position"])
    let bytes = try state.saved(by: loaded.reference).artifact.bytes()
    return ServingResponse(
      status: 200,
      headers: [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", "attachment; filename=\"\(id)-\(branch.name).state.safetensors\""),
      ], body: .bytes(bytes))
  }

  /// The state after the token at a position; after the last one if there is none.
  private func state(of branch: Branch, at text: String?) throws -> State {
    let count = branch.origin + branch.ids.count
    let position = text == nil ? count - 1 : text.flatMap { Int($0) }
    guard let position, position >= branch.base.position, position < count else {
      throw ServingError(
        400, "usage.option",
        "found the position \(printable(text ?? "", limit: 40)), expected \(branch.base.position) to \(count - 1)",
        parameter: "position")
    }
    return try branch.state(after: position + 1, model, tokenizer: tokenizer.digest)
  }

  /// `GET /sextant/v1/diff?a=r7/A/12&b=r7/B/12`: the distance of two states, by component.
  private func stateDifference(_ request: ServingRequest) throws -> ServingResponse {
    let query = Self.fields(of: request.query)
    var states: [State] = []
    for name in ["a", "b"] {
      let parts = (query[name] ?? "").split(separator: "/").map(String.init)
      guard parts.count == 3 else {
        throw ServingError(
          400, "usage.option",
          "found `\(name)` of \(parts.count) parts, expected RUN/BRANCH/POSITION",
          parameter: name)
      }
      states.append(try state(of: runs.run(parts[0]).branch(parts[1]), at: parts[2]))
    }
    return .json([
      "a": .string(query["a"] ?? ""), "b": .string(query["b"] ?? ""),
      "norms": StateDistance.norms(states[0]),
      "distances": StateDistance.distances(states[0], states[1]),
    ])
  }

  /// A state of the folder, by its name.
  func savedState(_ node: JSONNode) throws -> State {
    let (artifact, _) = try shelf.artifact(node.string(), parameter: "state")
    return try refusing("state") { () throws(Refusal) in
      try State(SavedState(artifact), for: loaded.description, tokenizer: tokenizer.digest)
    }
  }

  /// The fields of a query.
  static func fields(of query: String) -> [String: String] {
    var fields: [String: String] = [:]
    for part in query.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      fields[decoded(String(pair[0]))] = pair.count > 1 ? decoded(String(pair[1])) : ""
    }
    return fields
  }

  // MARK: The page

  /// `GET /sextant/v1/page`: what the page shows before a run.
  private func pageFacts() -> ServingResponse {
    let facts = loaded.description
    return .json([
      "model": [
        "name": .string(options.modelName), "architecture": .string(facts.architecture),
        "identity": .string(String("\(loaded.store.identity)".prefix(8))),
        "blocks": .integer(Int64(facts.layerCount)), "vocabulary": .integer(Int64(vocabularySize)),
      ], "default": .array(options.steering.map { .string($0) }),
      "cache": [
        "bytes": .integer(Int64(engine.metrics.current.cacheBytes)),
        "limit": .integer(Int64(options.cacheBytes)), "run_bytes": .integer(Int64(runs.byteCount)),
      ],
    ])
  }
}

extension Service {
  /// Facts about an artifact, for the page's list.
  static func facts(of artifact: Artifact) -> JSONObject {
    var row = JSONObject()
    guard let vector = try? SteeringVector(artifact) else { return row }
    // How long the vector is beside the activations that it was trained on: the dose of strength 1.
    let shares = vector.statistics.members.compactMap { _, figures -> Double? in
      guard case .object(let figures) = figures, case .number(let norm)? = figures["norm"],
        case .number(let mean)? = figures["mean_norm"], mean > 0
      else { return nil }
      return norm / mean
    }
    if let largest = shares.max() { row["share"] = .number(largest.rounded(to: 3)) }
    row["operation"] = .string(vector.operation.rawValue)
    row["method"] = .string(vector.training.method)
    row["positions"] = .string("\(vector.positions)")
    return row
  }
}
