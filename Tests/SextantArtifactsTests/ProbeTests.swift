import SextantArtifacts
import SextantBytes
import SextantStore
import Testing

extension BadManifest {
  static let probes = [
    BadManifest(in: "probes", "/probes", nil, .artifactSchema, at: root),
    BadManifest(in: "probes", "/probes", [], .artifactEmpty),
    BadManifest(
      in: "probes", "/probes/0/site", "blocks.2.output", .artifactSchema, inSchema: false),
    BadManifest(in: "probes", "/probes/0/input", "triple", .artifactSchema),
    BadManifest(in: "probes", "/probes/0/method", "l.r", .artifactSchema),
    BadManifest(in: "probes", "/probes/0/method", "", .artifactSchema),
    BadManifest(in: "probes", "/probes/0/head", 2, .artifactSchema, inSchema: false),
    BadManifest(in: "probes", "/probes/1/head", 0, .artifactSchema, inSchema: false),
    BadManifest(in: "probes", "/probes/0/erases", nil, .artifactSchema, at: .pointer("/probes/0")),
    BadManifest(
      in: "probes", "/probes/0/erases", true, .artifactTensorMissing,
      at: .tensor("blocks.0.state.wkv.head1.lr.eraser.mean"), inSchema: false),
    BadManifest(
      in: "probes", "/probes/1/erases", false, .artifactTensorExtra,
      at: .tensor("blocks.1.output.ccs.eraser.left"), inSchema: false),
    BadManifest(
      in: "probes", "/probes/2/input", "single", .artifactSchema,
      at: .tensor("blocks.1.output.lda-on-pair.direction"), inSchema: false),
    BadManifest(
      in: "probes", "/probes/0/colour", "red", .artifactSchema, at: .pointer("/probes/0")),
    BadManifest(in: "probes", "/label", nil, .artifactSchema, at: root),
    BadManifest(in: "probes", "/pooling", "sum", .artifactSchema),
    BadManifest(in: "probes", "/seed", nil, .artifactSchema, at: root),
    BadManifest(in: "eraser", "/method/name", "mean", .artifactSchema),
    BadManifest(in: "eraser", "/method/pooling", 1, .artifactSchema),
    BadManifest(in: "eraser", "/positions", "sometimes", .artifactSchema),
    BadManifest(in: "eraser", "/label", nil, .artifactSchema, at: root),
  ]
}

@Suite struct ProbeTests {
  private let site = SiteReference(name: "blocks.1.output", shape: [2], axes: ["channel"])

  private func score(_ probe: ProbeEntry, _ x: [Float]) -> Double {
    x.withUnsafeBufferPointer { probe.score($0) }
  }

  private func score(_ probe: ProbeEntry, _ x: [Float], _ y: [Float]) -> Double {
    x.withUnsafeBufferPointer { x in y.withUnsafeBufferPointer { probe.score(false: x, true: $0) } }
  }

  @Test func scoresAreWhatTheFormatSays() {
    let single = ProbeEntry(
      site: site, method: "lr", input: .single, direction: [2, -1], scale: 3, bias: 0.5)
    #expect(score(single, [1, 4]) == 3 * (2 - 4) + 0.5)
    let eraser = ProbeEntry.Eraser(mean: [1, 1], left: [1, 0], right: [0.5, 0.25])
    let erased = ProbeEntry(
      site: site, method: "ccs", input: .difference, direction: [2, -1], eraser: eraser, scale: 2,
      bias: 1)
    // e(x) = x - left (right · (x - mean)): [3, 5] becomes [1, 5], [1, 1] stays.
    #expect(score(erased, [1, 1], [3, 5]) == 2 * ((2 - 5) - (2 - 1)) + 1)
    let joined = ProbeEntry(
      site: site, method: "lr-on-pair", input: .joined, direction: [1, 2, 3, 4], bias: -1)
    #expect(score(joined, [1, 1], [10, 100]) == 3 + 430 - 1)
  }

  @Test func aHeadHasItsOwnElements() {
    let heads = SiteReference(
      name: "blocks.0.state.wkv", shape: [3, 2, 2], axes: ["head", "key", "value"])
    let probe = ProbeEntry(site: heads, head: 2, method: "lr", input: .single, direction: [])
    #expect(probe.name == "blocks.0.state.wkv.head2.lr" && probe.layer == 0)
    #expect(ProbeEntry.elements(of: heads, head: 2) == 8..<12 && probe.elementCount == 4)
    #expect(ProbeEntry.elements(of: heads, head: nil) == 0..<12)
  }

  @Test func probesAreReadAsTheyWereWritten() throws {
    let probes = try Probe(Samples.probes)
    let again = try Probe(probes.artifact)
    #expect(again.entries == probes.entries && probes.entries.count == 3)
    #expect(again.training == probes.training)
    let eraser = try ConceptEraser(Samples.eraser)
    let erasers = try ConceptEraser(eraser.artifact).erasers
    #expect(erasers.map(\.eraser) == eraser.erasers.map(\.eraser))
  }
}
