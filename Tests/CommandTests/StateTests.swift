import SextantBytes
import SextantTestSupport
import Testing

/// Saved states, with the commands that a user types.
@Suite struct StateTests {
  private let work = Workspace()
  private var model: String { Workspace.model }

  private func save(_ text: String, to name: String, _ arguments: String...) -> String {
    let path = work.folder.path(name)
    let run = CommandRun.sextant(
      ["state", "save", "-m", model, "-p", text, "-o", path] + arguments)
    #expect(run.end == .exited(0), "\(run.errors)")
    return path
  }

  private func continued(_ state: String?, _ prompt: String) throws -> [Int] {
    let loading = state.map { ["--load-state", $0] } ?? []
    let run = CommandRun.sextant(
      ["generate", "-m", model, "-p", prompt, "-n", "8", "--temp", "0", "--json"] + loading)
    #expect(run.end == .exited(0), "\(run.errors)")
    return try run.json().member("tokens").integers()
  }

  @Test func aTextThatWasSavedNeedNotBeReadAgain() throws {
    let first = save("<|endoftext|>I thought this movie", to: "a")
    let whole = save("<|endoftext|>I thought this movie was", to: "b")
    let longer = save(" was", to: "c", "--load-state", first)
    let document = try sextant("state", "inspect", whole, "--json").json()
    let other = try sextant("state", "inspect", longer, "--json").json()
    #expect(try document.member("position").integer() == other.member("position").integer())
    #expect(
      try continued(first, " was") == continued(nil, "<|endoftext|>I thought this movie was"))
  }

  @Test func addingADifferenceGivesTheOtherState() throws {
    let (a, b) = (save("A great film.", to: "a"), save("A dull film.", to: "b"))
    let (difference, sum) = (work.folder.path("d"), work.folder.path("s"))
    sextant("state", "diff", a, b, "-o", difference)
    sextant("state", "add", b, difference, "-o", sum)
    #expect(try continued(sum, " It is") == continued(a, " It is"))
    let zero = work.folder.path("z")
    sextant("state", "add", a, "\(difference):0", "-o", zero)
    #expect(try bytes(of: zero) == bytes(of: a))
    let refused = sextant(
      "generate", "-m", model, "-p", "x", "--load-state", difference, status: 65)
    #expect(refused.errors.contains("a difference of states"))
    sextant("verify", difference)
  }

  @Test func loadChecksThatAModelCanContinue() throws {
    let state = save("A great film.", to: "a")
    let document = try sextant("state", "load", "-m", model, state, "--json").json()
    #expect(try document.member("position").integer() > 0)
    let other = work.folder.path("other.sxt")
    sextant("convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o", other)
    let refused = sextant("state", "load", "-m", other, state, status: 65)
    #expect(refused.errors.contains("[artifact.width]"))
  }

  @Test func inspectShowsTheNormOfEachComponent() throws {
    let a = save("A great film.", to: "a")
    let lines = sextant("state", "inspect", a).output.split(separator: "\n").map(String.init)
    #expect(lines.contains { $0.hasPrefix("  block") && $0.contains("conv") && $0.contains("ssm") })
    #expect(lines.count == 6 + 6)
    let document = try sextant("state", "inspect", a, "--json").json()
    let components = try document.member("components").elements()
    #expect(components.count == 12)
    #expect(try components[1].text("site") == "blocks.0.state.ssm")
    #expect(try components[1].member("shape").integers() == [384, 16])
    #expect(try components[1].member("norms").elements()[0].number() > 0)
  }

  /// The matrices of RWKV-7 are stored as they are published. Those of RWKV-6 are transposed.
  @Test(arguments: ["rwkv6", "rwkv7"])
  func tunedStatesGoOutAndComeIn(_ architecture: String) throws {
    let (model, state) = (work.folder.path("m.sxt"), work.folder.path("s"))
    sextant(
      "convert", PackageFiles.fixture("rwkv-tiny/\(architecture)/bf16.pth"), "-o", model)
    sextant("state", "save", "-m", model, "--tokens", "1,2,3,4", "-o", state)
    let (tuned, back) = (work.folder.path("t.pth"), work.folder.path("b"))
    sextant("state", "export", state, "-o", tuned)
    sextant("state", "import", "-m", model, tuned, "-o", back)
    let norms = { (path: String) in
      try sextant("state", "inspect", path, "--json").json().member("components").elements()
        .map { try $0.member("norms").elements()[0].number() }
    }
    let (before, after) = (try norms(state), try norms(back))
    for place in before.indices {
      // time_shift, wkv, channel_shift: only the middle one is exported.
      #expect(after[place] == (place % 3 == 1 ? before[place] : 0))
    }
  }

  @Test func wrongUsageIsSaid() {
    #expect(
      sextant("state", "save", "-m", "x", "-o", "y", status: 64).errors.contains("--prompt and"))
    #expect(sextant("state", "add", "-o", "y", status: 64).errors.contains("<file[:strength]>"))
  }
}
