import SextantGeneration
import SextantTestSupport
import Testing

/// How files of artifacts, their strengths and conditions on probes are written.
@Suite struct AppliedFileTests {
  @Test(
    arguments: [
      ("joy.safetensors", 1, .raw), ("joy.safetensors:2", 2, .raw),
      ("joy.safetensors:-0.5", -0.5, .raw), ("joy.safetensors:50%", 0.5, .share),
      ("joy.safetensors:0.25nats", 0.25, .nats),
    ] as [(String, Float, SteeringOptions.Unit)])
  func aStrengthFollowsTheLastColon(written: String, value: Float, unit: SteeringOptions.Unit)
    throws
  {
    let file = try #require(AppliedFile(argument: written))
    #expect(file.path == "joy.safetensors" && file.inputs == [file.path, file.path])
    #expect(file.strength.value == value && file.strength.unit == unit)
    #expect(file.hasStrength == written.contains(":"))
    #expect(file.strength.isPlain == (unit == .raw))
  }

  @Test func blocksHaveStrengthsOfTheirOwn() throws {
    let file = try #require(AppliedFile(argument: "a:b:3=1.5,5-7=0.5"))
    let layers = try #require(file.strength.layers)
    #expect(file.path == "a:b" && !file.strength.isPlain)
    #expect(layers.parts == [.init(3...3, 1.5), .init(5...7, 0.5)])
    #expect(file.strength.text == "1.5 in block 3, 0.5 in block 5-7")
  }

  @Test(arguments: ["a:b", "a:", "a:3=1,3=2", "a:3=1,4=10%", "a:3", "a:x3=1", "a:7-5=1"])
  func whatIsNoStrengthBelongsToThePath(written: String) throws {
    let file = try #require(AppliedFile(argument: written))
    #expect(file.hasStrength == (written == "a:3"))
    #expect(file.path == (written == "a:3" ? "a" : written))
  }

  @Test func aProbeIsNamedAfterTheLastMark() throws {
    #expect(AppliedFile(argument: ":2") == nil)
    let file = try #require(ProbeFile(argument: "p#q#a"))
    #expect(file.path == "p#q" && file.name == "a")
    #expect(ProbeFile(argument: "p#") == nil && ProbeFile(argument: "#a") == nil)
    let condition = try #require(ProbeCondition(argument: "p#a<-1.5"))
    #expect(condition.path == "p" && condition.name == "a")
    #expect(!condition.condition.isAbove && condition.condition.bound == -1.5)
    for written in ["p", "p>", "p>x", "p>inf", ">1"] {
      #expect(ProbeCondition(argument: written) == nil, "\(written)")
    }
  }

  @Test(arguments: [
    ("v.st:1e39", "1e39"), ("v.st:-1e39%", "-1e39"), ("v.st:1e-60nats", "1e-60"),
    ("v:3=1,4=1e99", "1e99"),
    (":2", "no path"),
  ])
  func aStrengthBeyondTheRangeIsTold(written: String, found: String) {
    #expect(AppliedFile(argument: written) == nil)
    #expect(expectRefusal(.usageOption) { try AppliedFile(written: written) }?.found == found)
  }

  @Test(arguments: [
    ("p", "no > and no <"), ("p>nan", "\"nan\" after >"), ("p<", "\"\" after <"),
    ("p>1e999", "1e999"),
    ("#a>1", "no file, or no name after #"),
  ])
  func theFaultOfAConditionIsTold(written: String, found: String) {
    #expect(expectRefusal(.usageOption) { try ProbeCondition(written: written) }?.found == found)
  }
}
