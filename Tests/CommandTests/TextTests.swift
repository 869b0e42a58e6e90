import SextantBytes
import SextantTestSupport
import Testing

/// Text from standard input, and texts that do not fit together.
@Suite struct TextTests {
  private let work = Workspace()

  @Test func pairsFromStandardInputTrainTheSameVector() throws {
    let text = String(decoding: try bytes(of: Workspace.pairs), as: UTF8.self)
    let train = ["steer", "train", "-m", Workspace.model, "--layers", "2", "--pairs"]
    let (file, piped) = (work.folder.path("a.st"), work.folder.path("b.st"))
    #expect(CommandRun.sextant(train + [Workspace.pairs, "-o", file]).end == .exited(0))
    let run = CommandRun.sextant(train + ["-", "-o", piped], input: text)
    #expect(run.end == .exited(0), "\(run.errors)")
    #expect(try bytes(of: file) == bytes(of: piped))
    sextant("verify", piped, "--retrain", "-m", Workspace.model, "--pairs", Workspace.pairs)
    let twice = CommandRun.sextant(
      [
        "steer", "train", "-m", Workspace.model, "--positive", "-", "--negative", "/dev/stdin",
        "-o",
        work.folder.path("c.st"),
      ], input: "a\n")
    #expect(twice.end == .exited(64))
    #expect(twice.errors.contains("[usage.option]") && twice.errors.contains("standard input"))
  }

  /// The standard library would put a replacement character into the prompt.
  @Test func anArgumentThatIsNotUTF8IsRefused() {
    let shell = ["/bin/sh", "-c", #"exec "$0" "$@" -p "$(printf 'caf\351')""#]
    let run = CommandRun.sextant(
      ["generate", "-m", Workspace.model, "-n", "1"], through: shell)
    #expect(run.end == .exited(64))
    #expect(run.errors.contains("[usage.option]") && run.errors.contains("text in UTF-8"))
  }

  @Test func aTextThatIsTheNameOfAFileIsNoted() throws {
    let file = work.folder.write("The film was long and sad.", to: "text.txt")
    let drift = ["drift", "-m", Workspace.model, "--reference", Workspace.model, "--text"]
    let named = CommandRun.sextant(drift + [file])
    #expect(named.end == .exited(0) && named.errors.contains("@\(file) would read the file"))
    #expect(CommandRun.sextant(drift + ["@\(file)"]).errors.isEmpty)
  }

  @Test func escapesOfTwoFilesAreThoseOfRecords() throws {
    let positive = work.folder.write("Act warm.\\nI feel\nBe kind.\\nI am\n", to: "pos.txt")
    let negative = work.folder.write("Act cold.\\nI feel\nBe rude.\\nI am\n", to: "neg.txt")
    let same = work.folder.write(
      """
      {"positive": "Act warm.\\nI feel", "negative": "Act cold.\\nI feel"}
      {"positive": "Be kind.\\nI am", "negative": "Be rude.\\nI am"}
      """, to: "same.jsonl")
    let train = ["steer", "train", "-m", Workspace.model, "--layers", "2"]
    let texts = ["--positive", positive, "--negative", negative]
    let (first, second) = (work.folder.path("a.st"), work.folder.path("b.st"))
    #expect(CommandRun.sextant(train + texts + ["-o", first]).end == .exited(0))
    #expect(CommandRun.sextant(train + ["--pairs", same, "-o", second]).end == .exited(0))
    for (vector, name) in [(first, "a.npz"), (second, "b.npz")] {
      sextant("export", vector, "-o", work.folder.path(name))
    }
    #expect(
      try bytes(of: work.folder.path("a.npz")) == bytes(of: work.folder.path("b.npz")))
    let run = CommandRun.sextant(["verify", first, "--retrain", "-m", Workspace.model] + texts)
    #expect(run.end == .exited(0), "\(run.errors)")
  }

  @Test func aCaptureOfOtherTextsIsRefused() throws {
    let texts = ["3 + 4 = 7. Alice:", "12 + 7 = 20. Alice:", "25 + 8 = 33. Alice:"]
    let records = texts.enumerated().map { index, text in
      "{\"statement\": \"\(text)\", \"label\": \(index % 2)}\n"
    }
    let data = work.folder.write(records.joined(), to: "records.jsonl")
    let common = [
      "probe", "train", "-m", Workspace.model, "--data", data, "--label", "label", "--layers", "3",
      "--methods", "mean-diff", "--force", "-o",
    ]
    for (prompts, status) in [
      (records, Int32(0)), (records.reversed(), 65), (records + records, 65),
    ] {
      let file = work.folder.write(prompts.joined(), to: "prompts.jsonl")
      let capture = work.folder.path("c.st")
      sextant(
        "capture", "-m", Workspace.model, "--prompts", file, "--sites", "blocks.3.output", "-o",
        capture, "--force")
      let run = CommandRun.sextant(common + [work.folder.path("p.st"), "--capture", capture])
      #expect(run.end == .exited(status), "\(run.errors)")
      #expect(run.errors.contains("[data.record]") == (status == 65))
    }
  }
}
