import ArgumentParser
import SextantBytes
import SextantReport
import SextantTestSupport
import Testing

@testable import sextant

/// An option that has no effect beside the other options of its command is refused before the work.
@Suite struct UnusedOptionTests {
  private static let fromMoments = "steer train --from-moments f -o o"
  private static let probes = "probe train -m m --data d --label l -o o"
  private static let transfer = "probe transfer -m m --data d --test t"
  private static let eraser = "probe erase -m m --data d --label l -o o"

  private static let patch = "patch -m m --clean c --corrupted d --answer a"
  private static let noised = "patch -m m --clean c --answer a --noise 3 --subject s"
  private static let greedy = "generate -m m -p t --temp 0"
  private static let ridge = "lens train -m m --text t -o o --method ridge"

  static let cases: [(command: String, options: String, words: String)] = [
    (fromMoments, "--batch 3", "--batch has no effect with --from-moments"),
    (fromMoments, "--positions all", "--positions has no effect with --from-moments"),
    (fromMoments, "--positions last", "--positions has no effect with --from-moments"),
    (fromMoments, "--precision fast", "--precision has no effect with --from-moments"),
    (fromMoments, "--template plain", "--template has no effect with --from-moments"),
    (probes, "--pooling mean", "--pooling mean has no effect"),
    (probes, "--pooling mean --positions=-3", "--pooling mean has no effect"),
    (eraser, "--pooling mean", "--pooling mean has no effect"),
    (transfer, "--pooling mean --positions last-1", "--pooling mean has no effect"),
    (probes, "-s 3", "--seed is for the methods random and ccs"),
    (transfer, "-s 3 --methods lr,crc", "--seed is for the methods random and ccs"),
    (probes, "--capture c --preload", "--preload has no effect with --capture"),
    ("verify f", "--precision fast", "--precision has no effect without --retrain"),
    ("verify f", "--start s", "--field and --start go with --text"),
    ("lens show -m m -p t --json", "--width 3", "--width has no effect with --json"),
    ("lens show -m m -p t --json", "--color never", "--color has no effect with --json"),
    ("lens show -m m -p t --json", "--measure kl", "--measure has no effect with --json"),
    ("lens show -m m -p t --json", "--tokens 1-2", "--tokens has no effect with --json"),
    ("lens show -m m -p t --json", "--layer-stride 2", "--layer-stride has no effect with --json"),
    ("lens state -m m -p t --json", "--width 3", "--width has no effect with --json"),
    ("steer eval -m m --apply a --pairs p --continue c", "--continuations 0", "1 or more"),
    (patch, "--seeds 3", "--seeds needs --noise"),
    (patch, "--subject s", "--subject needs --noise"),
    (patch, "--seed 3", "--seed needs --pairs or --noise"),
    (patch, "--span x", "two texts joined by ="),
    ("\(patch) --json", "--width 3", "--width has no effect with --json"),
    ("\(patch) --json", "--color never", "--color has no effect with --json"),
    (noised, "--corrupted d", "--corrupted has no effect with --noise"),
    (noised, "--span x=y", "--span has no effect with --noise"),
    ("patch -m m --pairs p", "--clean c", "--clean has no effect with --pairs"),
    ("patch -m m --pairs p", "--span x=y", "--span has no effect with --pairs"),
    ("patch -m m --pairs p --noise 3", "--subject s", "--subject has no effect with --pairs"),
    (greedy, "--top-k 3", "--top-k has no effect with --temp 0"),
    (greedy, "--top-p 1", "--top-p has no effect with --temp 0"),
    (greedy, "--min-p 0.1", "--min-p has no effect with --temp 0"),
    (greedy, "-s 0", "--seed has no effect with --temp 0"),
    (ridge, "--start identity", "--start is for --method tuned"),
    (ridge, "--loss kl", "--loss is for --method tuned"),
    (ridge, "--seed 42", "--seed is for --method tuned"),
    ("lens train -m m --text t -o o", "--calibration-tokens 8192", "is for ridge lenses"),
    (
      "steer search -m m --apply a --pairs p -o o", "--keep-budget 0.1",
      "--keep-budget needs --keep"
    ),
    ("steer search -m m --apply a --pairs p -o o", "--controls=-1", "0 or more"),
    ("generate -m m -p t --compare", "--samples 2", "--samples has no effect with --compare"),
    ("generate -m m -p t --compare", "--save-state s", "--save-state has no effect with --compare"),
    ("generate -m m -p t --compare", "--trace s", "--trace has no effect with --compare"),
    ("generate -m m -p t --compare", "--explain", "--explain has no effect with --compare"),
    ("generate -m m --prompts p", "--compare", "--prompts has no effect with --compare"),
    ("demo --transfer", "--samples 3", "--samples is for the demo without --transfer"),
  ]

  @Test(arguments: cases)
  func isRefused(command: String, options: String, words: String) throws {
    func parse(_ text: String) throws {
      _ = try Sextant.parseAsRoot(text.split(separator: " ").map(String.init))
    }
    try parse(command)
    let error = #expect(throws: (any Error).self) { try parse("\(command) \(options)") }
    #expect(error.map { Sextant.message(for: $0) }?.contains(words) == true)
  }

  /// The same options are accepted where they have an effect.
  @Test(arguments: [
    "\(probes) --pooling mean --positions last-3", "\(probes) -s 3 --methods lr,random",
    "\(transfer) -s 3 --methods ccs",
    "lens show -m m -p t --json --svg s --measure kl --tokens 1-2",
    "lens show -m m -p t --width 3 --color never",
    "verify f --retrain -m m --data d --precision fast",
    "\(patch) --against b --span x=y --reverse --heads -o o --force",
    "\(noised) --seeds 3 --seed 4", "patch -m m --pairs p --seed 3 --noise 1.5",
    "generate -m m -p t --temp 0 --repetition-penalty 1.2", "generate -m m -p t --top-k 3 -s 1",
    "lens train -m m --text t -o o --start identity --loss kl",
  ])
  func isAccepted(command: String) throws {
    _ = try Sextant.parseAsRoot(command.split(separator: " ").map(String.init))
  }

  @Test(arguments: [
    "generate -m m -p t", "lens show -m m -p t", "lens eval -m m --text t",
    "probe show -m m -p t --probe p",
    "probe eval -m m --probe p --data d --label l", transfer, "steer eval -m m --apply a --pairs p",
    "steer half-life -m m --apply a --text t", patch,
  ])
  func replacingNothingIsRefused(command: String) throws {
    let words = "\(command) --force".split(separator: " ").map(String.init)
    let parsed = try #require(try Sextant.parseAsRoot(words) as? any WritingCommand)
    let refusal = expectRefusal(.usageOption) { try parsed.fileUse.prepare() }
    #expect(refusal?.place == .parameter("replacing"))
  }

  @Test func aFolderOfThatNameIsNotStandardOutput() throws {
    let parsed = try Sextant.parseAsRoot(["export", "model.sxt", "-o", "-"])
    let command = try #require(parsed as? any WritingCommand)
    let refusal = expectRefusal(.usageOption) { try command.fileUse.prepare() }
    #expect(refusal?.file == "-" && refusal?.remedy.contains("folder") == true)
  }
}
