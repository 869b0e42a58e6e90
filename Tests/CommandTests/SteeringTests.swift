import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// Training, measuring and diagnosing steering vectors, with the commands that a user types.
@Suite struct SteeringTests {
  private let work = Workspace()
  private static let test = PackageFiles.fixture("demo-model/sentiment_test.jsonl")

  /// A steering vector of block 3, and the moments that it was learned from.
  private func trained(_ arguments: String...) throws -> (vector: String, moments: String) {
    let (vector, moments) = (
      work.folder.path("v.steer.safetensors"), work.folder.path("v.moments.safetensors")
    )
    let run = CommandRun.sextant(
      [
        "steer", "train", "-m", Workspace.model, "--pairs", Workspace.pairs, "--sites",
        "blocks.3.output,blocks.3.state.ssm", "-o", vector, "--moments", moments, "--force",
      ] + arguments)
    #expect(run.end == .exited(0), "\(run.errors)")
    return (vector, moments)
  }

  @Test func momentsAreMergedAndTrainedFrom() throws {
    let all = try bytes(of: Workspace.pairs).split(separator: UInt8(ascii: "\n"))
    let (halves, whole) = ([all[..<4], all[4...]], try trained())
    var parts: [String] = []
    for (index, half) in halves.enumerated() {
      let pairs = work.folder.write(
        Array(half.joined(separator: [UInt8(ascii: "\n")])), to: "\(index).jsonl")
      parts.append(work.folder.path("\(index).moments.safetensors"))
      sextant(
        "steer", "train", "-m", Workspace.model, "--pairs", pairs, "--sites",
        "blocks.3.output,blocks.3.state.ssm", "-o", work.folder.path("p.steer.safetensors"),
        "--moments", parts[index], "--force")
    }
    let merged = work.folder.path("all.moments.safetensors")
    let report = try sextant("moments", "merge", parts[0], parts[1], "-o", merged, "--json").json()
    #expect(try report.member("counts").member("positive").integer() == 8)
    let again = work.folder.path("again.steer.safetensors")
    sextant("steer", "train", "--from-moments", merged, "-o", again)
    let (a, b) = (try SteeringVector(reading: again), try SteeringVector(reading: whole.vector))
    for (x, y) in zip(a.vectors, b.vectors) {
      #expect(x.site == y.site)
      #expect(zip(x.value.values, y.value.values).allSatisfy { abs($0 - $1) < 1e-5 })
    }
    // Moments of other models, and of other sites, cannot be merged.
    let other = try trained("--layers", "3")
    #expect(other.moments != merged)
    let refused = sextant(
      "moments", "merge", merged, Workspace.vector, "-o", work.folder.path("x"), status: 65)
    #expect(refused.errors.contains("[artifact.kind]"))
  }

  @Test func everyMethodAndOperationReachesTheFile() throws {
    for (method, operation) in [
      ("lda", "project"), ("lda-diagonal", "clamp"), ("pca", "affine"),
      ("mean", "add-preserving-norm"),
    ] {
      let vector = work.folder.path("\(method).steer.safetensors")
      sextant(
        "steer", "train", "-m", Workspace.model, "--pairs", Workspace.pairs, "--layers", "3",
        "--method", method, "--scale", "mean", "--operation", operation, "--steer-at", "every-4",
        "-o", vector)
      let read = try SteeringVector(reading: vector)
      #expect(read.training.method == method && read.operation.rawValue == operation)
      #expect(read.positions == PositionSelection("every-4") && read.targets.count == 1)
      let verified = CommandRun.sextant([
        "verify", vector, "--retrain", "-m", Workspace.model, "--pairs", Workspace.pairs,
      ])
      #expect(verified.end == .exited(0), "\(verified.errors)")
      let text = sextant(
        "generate", "-m", Workspace.model, "-p", "The", "-n", "6", "--apply", vector, "--json")
      let steered = try #require(try text.json().member("steered").elements().first)
      #expect(try steered.member("positions").integers().count == 2)
      #expect(try steered.member("site_names").texts() == ["blocks.3.output"])
    }
    let refused = sextant(
      "steer", "train", "-m", Workspace.model, "--pairs", Workspace.pairs, "--method", "lda",
      "--sites", "blocks.0.state.ssm", "-o", work.folder.path("x"), status: 65)
    #expect(refused.errors.contains("lda-diagonal"))
  }

  @Test func aDivergenceIsSearchedForAndReported() throws {
    let vector = try trained().vector
    let run = sextant(
      "generate", "-m", Workspace.model, "-p", "The film was", "-n", "4", "--apply",
      "\(vector):0.05nats", "--json")
    let steered = try #require(try run.json().member("steered").elements().first)
    #expect(try steered.text("asked") == "0.05 nats")
    #expect(try steered.member("strength").number() > 0)
    sextant(
      "generate", "-m", Workspace.model, "-p", "The film was", "-n", "4", "--apply",
      "\(vector):-5%")
  }

  @Test func anEvaluationHasRowsFiguresAndAPage() throws {
    let vector = try trained().vector
    let (folder, figure) = (work.folder.path("eval"), work.folder.path("figure.svg"))
    let run = sextant(
      "steer", "eval", "-m", Workspace.model, "--apply", vector, "--pairs", Self.test,
      "--multipliers=-2,0,2", "--controls", "2", "--text", "A film that nobody saw.", "--accuracy",
      Self.test, "-o", folder, "--figure", figure, "--json")
    let document = try run.json()
    #expect(try document.member("prompts").integer() == 50)
    let rows = try document.member("rows").elements()
    #expect(rows.count == 6)  // one block, three sets of sites, two strengths
    for row in rows {
      let matching = try row.member("matching").number()
      let interval = try row.member("matching_ci").elements().map { try $0.number() }
      #expect(interval[0] <= matching && matching <= interval[1])
      #expect(try row.member("layer").integer() == 3)
    }
    let curves = try document.member("curves").elements()
    #expect(try curves.map { try $0.text("sites") } == ["residual", "state", "both"])
    #expect(try curves.allSatisfy { try $0.member("monotone").boolean() })
    #expect(try curves[0].member("control").member("contrasts").elements().count == 2)
    #expect(try document.member("side_effects").elements().count == 7)
    let page = String(decoding: try bytes(of: "\(folder)/index.html"), as: UTF8.self)
    #expect(page.contains("Nonsense by layer") && page.contains("<svg"))
    let csv = String(decoding: try bytes(of: "\(folder)/results.csv"), as: UTF8.self)
    #expect(csv.split(whereSeparator: \.isNewline).count == 7)
    #expect(String(decoding: try bytes(of: figure), as: UTF8.self).hasPrefix("<svg"))
    let refused = sextant(
      "steer", "eval", "-m", Workspace.model, "--apply", vector, "--pairs", Self.test, "-o", folder,
      status: 73)
    #expect(refused.errors.contains("[file.exists]"))
  }

  @Test func answersOfSeveralTokensAreEvaluated() throws {
    let vector = try trained().vector
    let test = work.folder.write(
      """
      {"prompt": "I think the film is", "matching": " good", "other": " bad"}
      {"prompt": "In the end, it is", "matching": " a wonderful film.", "other": " a waste of time."}
      """, to: "answers.jsonl")
    let document = try sextant(
      "steer", "eval", "-m", Workspace.model, "--apply", vector, "--pairs", test,
      "--multipliers=-2,2", "--controls", "1", "--accuracy", test, "--json"
    ).json()
    #expect(try document.member("prompts").integer() == 2)
    for row in try document.member("rows").elements() {
      let matching = try row.member("matching").number()
      #expect(matching > 0 && matching < 1)
    }
    let prefix = work.folder.write(
      #"{"prompt": "It is", "matching": " good fun", "other": " good fun for all"}"#,
      to: "prefix.jsonl")
    let refused = sextant(
      "steer", "eval", "-m", Workspace.model, "--apply", vector, "--pairs", prefix, status: 65)
    #expect(refused.errors.contains("[data.record]") && refused.errors.contains("same mark"))
  }

  @Test func halfLivesShadowsAndDiagnosesAreTold() throws {
    let vector = try trained().vector
    let text = "@" + PackageFiles.fixture("demo-model/reviews.txt")
    let lives = try sextant(
      "steer", "half-life", "-m", Workspace.model, "--apply", vector, "--text", text, "--horizon",
      "12", "--edits", "2", "--html", work.folder.path("h.html"), "--json"
    ).json().member("rows").elements()
    #expect(lives.count == 1)
    let (measured, predicted) = (
      try lives[0].member("measured").number(), try lives[0].member("predicted").number()
    )
    #expect(abs(measured - predicted) <= 0.1 * measured)
    let shadow = try sextant(
      "steer", "shadow", "-m", Workspace.model, "-p", "The", "-n", "12", "--steer-tokens", "4",
      "--apply", "\(vector):2", "--json"
    ).json()
    #expect(try shadow.member("contamination").elements().count == 8)
    #expect(try shadow.member("mean_contamination_8").number() > 0)
    let doctor = try sextant(
      "steer", "doctor", "-m", Workspace.model, "--apply", vector, "--pairs", Workspace.pairs,
      "--json"
    ).json()
    #expect(try doctor.text("verdict") == "fits" && !doctor.member("flipped").boolean())
  }
}
