import Glibc
import SextantBytes
import SextantTestSupport
import Testing

@testable import sextant

/// One command: each way to name an input, and each way to name an output.
///
/// IN means the input. OUT means the output, or the folder that gets a file with the name after the
/// arrow.
private struct FileUse: Sendable, CustomTestStringConvertible {
  let command: String
  let inputs: [String]
  let outputs: [String]

  init(_ command: String, _ inputs: [String], _ outputs: [String]) {
    (self.command, self.inputs, self.outputs) = (command, inputs, outputs)
  }

  var testDescription: String { command }

  /// Arguments in which an input and an output are one file, and the file's name in the folder: each
  /// input with the first output, and each output with the first input.
  var collisions: [(arguments: [String], name: String?)] {
    guard let first = inputs.first else { return [] }
    let pairs = inputs.map { ($0, outputs[0]) } + outputs.dropFirst().map { (first, $0) }
    return pairs.map { input, output in
      let parts = output.split(separator: "→", omittingEmptySubsequences: false).map(String.init)
      let words = "\(command) \(input) \(parts[0])".split(separator: " ").map(String.init)
      return (words, parts.count > 1 ? parts[1] : nil)
    }
  }
}

private let steering = [
  "-m m -p t --apply IN:2", "-m m -p t --apply IN#probe", "-m m -p t --when IN>0",
]
private let records = ["-m IN --data d --label l", "-m m --data IN --label l"]
private let measurement = ["results.json", "results.csv", "index.html"].map { "-o OUT →\($0)" }
private let contrast = [
  "-m IN --pairs p", "-m m --pairs IN", "-m m --positive IN --negative n",
  "-m m --positive p --negative IN", "-m m --personas IN", "-m m --pairs p --template IN",
  "-m m --pairs p --chat --chat-template IN",
]
private let exports =
  ["-o OUT.gguf", "-o OUT.npz"]
  + ["config.json", "params.pt", "model.safetensors", "tokenizer.json"].map { "-o OUT →\($0)" }

/// Every command that writes files.
private let commands = [
  FileUse(
    "convert",
    ["IN", "s --config IN", "s --tokenizer IN", "s --model IN", "IN --model m --layer 1"],
    ["-o OUT"]),
  FileUse("export", ["IN"], exports),
  FileUse(
    "generate",
    [
      "-m IN -p t", "-m m -p @IN", "-m m -p t --load-state IN",
      "-m m -p t --chat --chat-template IN", "-m m -p t --stop-when IN#probe<1",
    ] + steering,
    ["--save-state OUT", "--trace OUT", "--save-state s --trace OUT"]),
  FileUse(
    "capture",
    [
      "-m IN -p t", "-m m -p @IN", "-m m --prompts IN", "-m m -p t --apply IN",
      "-m m -p t --apply IN:0.5", "-m m -p t --chat --chat-template IN",
    ],
    ["-o OUT"]),
  FileUse("steer train", contrast + ["--from-moments IN"], ["-o OUT"]),
  FileUse("steer train", contrast, ["-o o --moments OUT"]),
  FileUse(
    "steer eval",
    [
      "-m IN --apply a --pairs p", "-m m --apply IN --pairs p", "-m m --apply a --pairs IN",
      "-m m --apply a --pairs p --template IN", "-m m --apply a --pairs p --accuracy IN",
      "-m m --apply a --pairs p --text @IN", "-m m --apply a --pairs p --continue IN",
    ], measurement + ["--figure OUT", "-o o --figure OUT"]),
  FileUse(
    "steer search",
    [
      "-m IN --apply a --pairs p", "-m m --apply IN --pairs p", "-m m --apply a --pairs IN",
      "-m m --apply a --pairs p --template IN", "-m m --apply a --pairs p --text IN",
      "-m m --apply a --pairs p --keep IN",
    ],
    ["-o OUT", "-o o --checkpoint OUT"]
      + ["results.json", "results.csv", "index.html"].map { "-o o --report OUT →\($0)" }),
  FileUse(
    "steer half-life",
    ["-m IN --apply a --text t", "-m m --apply IN:2 --text t", "-m m --apply a --text @IN"],
    ["--html OUT"]),
  FileUse(
    "lens train",
    [
      "-m IN --text t", "-m m --text t IN", "-m m --text t --start IN", "-m m --text t --resume IN",
    ],
    ["-o OUT"]),
  FileUse(
    "lens train", ["-m IN --text t", "-m m --text t IN", "-m m --text t --start IN"],
    ["-o o --checkpoint OUT", "-o o --resume OUT --checkpoint OUT"]),
  FileUse(
    "lens eval", ["-m IN --text t", "-m m --text IN", "-m m --text t --lens IN"],
    ["-o OUT →metrics.json", "-o OUT →depth.svg"]),
  FileUse(
    "lens eval", ["-m IN --text t --lens a.lens.safetensors"],
    ["-o OUT →a/aggregate_metrics.json"]),
  FileUse(
    "lens show", ["-m IN -p t", "-m m -p @IN", "-m m -p t --lens IN"] + steering,
    ["--html OUT", "--svg OUT"]),
  FileUse(
    "patch",
    [
      "-m IN --clean c --corrupted d --answer a", "-m m --clean @IN --corrupted d --answer a",
      "-m m --clean c --corrupted @IN --answer a", "-m m --pairs IN",
    ], measurement + ["-o OUT →maps.svg"]),
  FileUse("probe data", [], ["-o OUT →train.jsonl"]),
  FileUse("probe train", records + ["-m m --data d --label l --capture IN"], ["-o OUT"]),
  FileUse(
    "probe eval", records.map { "\($0) --probe p" } + ["-m m --data d --label l --probe IN#a"],
    measurement),
  FileUse(
    "probe transfer",
    ["-m IN --data d --test t", "-m m --data IN --test t", "-m m --data d --test IN"], measurement),
  FileUse(
    "probe show", ["-m IN --probe p -p t", "-m m --probe IN#a -p t", "-m m --probe p -p @IN"],
    ["--html OUT"]),
  FileUse("probe erase", records, ["-o OUT"]),
  FileUse("state save", ["-m IN -p t", "-m m -p @IN", "-m m -p t --load-state IN"], ["-o OUT"]),
  FileUse("state diff", ["IN b", "a IN"], ["-o OUT"]),
  FileUse("state add", ["-o OUT IN:2", "-o OUT a:1 IN"], [""]),
  FileUse("state import", ["-m IN f", "-m m IN"], ["-o OUT"]),
  FileUse("state export", ["IN"], ["-o OUT"]),
  FileUse("moments merge", ["a IN"], ["-o OUT"]),
  FileUse("demo", ["--source FOLDER"], ["-o OUT →demo.sxt", "-o OUT →steering/results.json"]),
  FileUse(
    "demo --transfer", ["--source FOLDER"], ["-o OUT →demo.sxt", "-o OUT →transfer.html"]),
]

/// The refusal of a command's files; nil if they are accepted.
private func refusal(_ arguments: [String]) throws -> Refusal? {
  let command = try #require(Sextant.parseAsRoot(arguments) as? any WritingCommand)
  do throws(Refusal) {
    try command.fileUse.check()
    return nil
  } catch {
    return error
  }
}

/// No output of any command may be an input of it, under any name of the file.
@Suite struct FileUseTests {
  @Test(arguments: commands)
  fileprivate func noOutputIsAnInput(_ use: FileUse) throws {
    for (index, (words, name)) in use.collisions.enumerated() {
      let folder = TemporaryFolder()
      let isExport = words.contains { $0.hasPrefix("OUT.") }
      let ending = isExport ? String((words.last { $0.hasPrefix("OUT.") } ?? "").dropFirst(3)) : ""
      let output = folder.path("out\(ending)")
      let file = name.map { "\(output)/\($0)" } ?? output
      makeFolders(of: file, under: folder.path)
      folder.write(Array("precious".utf8), to: String(file.dropFirst(folder.path.count + 1)))
      #expect(symlink(file, folder.path("soft")) == 0)
      #expect(link(file, folder.path("hard")) == 0)
      // Every spelling for the first pair, since parsing takes most of the time.
      let others = [folder.path("soft"), folder.path("hard"), "\(folder.path)/./soft"]
      let isFirst = index == 0 && !use.command.hasPrefix("demo")
      for input in [file] + (isFirst ? others : []) {
        let parent = String(input[..<(input.lastIndex(of: "/") ?? input.endIndex)])
        // A word is one of them, with a mark before it or more text after it. A path may have any
        // letters.
        let places = [("OUT\(ending)", output), ("IN", input), ("FOLDER", parent)]
        let arguments = words.map { word in
          places.first { word.contains($0.0) }.map { word.replacing($0.0, with: $0.1) } ?? word
        }
        let force = use.command.hasPrefix("demo") ? [] : ["--force"]
        let refused = try refusal(
          use.command == "state add" ? insert(force, into: arguments) : arguments + force)
        #expect(refused?.code == .fileSame, "\(arguments)")
      }
    }
  }

  /// Options come before the terms of `state add`, which takes all that remain.
  private func insert(_ force: [String], into arguments: [String]) -> [String] {
    Array(arguments[..<2]) + force + Array(arguments[2...])
  }

  private func makeFolders(of file: String, under root: String) {
    var parts = file.dropFirst(root.count).split(separator: "/").dropLast()
    var path = root
    while !parts.isEmpty {
      path += "/\(parts.removeFirst())"
      mkdir(path, 0o777)
    }
  }

  /// The table names every option of every command that writes, where its value may be a file.
  @Test func tableNamesEveryFileOption() throws {
    let words = ["file", "model", "folder", "out", "probe", "capture", "config", "text", "safe"]
    let run = CommandRun.sextant(["--experimental-dump-help"])
    let root = try run.json().member("command")
    for (path, command) in try leaves(root, []) {
      let arguments = try command.member("arguments").elements()
      let writes = try arguments.contains { argument in
        let value = (try? argument.text("valueName")) ?? ""
        return try names(argument).contains("force") || value.hasPrefix("out")
      }
      guard writes || path == "demo" else { continue }
      let rows = commands.filter { $0.command == path }
      #expect(!rows.isEmpty, "\(path) is not in the table")
      var tested: Set<String> = []
      for text in rows.flatMap({ $0.inputs + $0.outputs }) {
        tested.formUnion(text.split(separator: " ").map { String($0.drop { $0 == "-" }) })
      }
      for argument in arguments {
        guard try argument.text("kind") == "option" else { continue }
        let value = try argument.text("valueName")
        let names = try names(argument)
        guard words.contains(where: value.contains) else { continue }
        // Texts that begin with @ are files, except these.
        if value == "text", names == ["template"] || names == ["stop"] { continue }
        // With several prompts `generate` writes no file.
        if path == "generate", names == ["prompts"] { continue }
        let isNamed = names.contains { tested.contains($0) }
        #expect(isNamed, "\(path) has --\(names) <\(value)>: is it a file?")
      }
    }
  }

  private func names(_ argument: JSONNode) throws -> [String] {
    guard let names = try? argument.member("names").elements() else { return [] }
    return try names.map { try $0.text("name") }
  }

  private func leaves(
    _ command: JSONNode, _ path: [String]
  ) throws -> [(path: String, command: JSONNode)] {
    guard let inner = try? command.member("subcommands").elements() else {
      return [(path.joined(separator: " "), command)]
    }
    return try inner.flatMap { try leaves($0, path + [$0.text("commandName")]) }
  }

  /// Outputs are files that appear only when they are complete, so that none can be standard
  /// output.
  @Test(arguments: commands)
  fileprivate func noOutputIsTheStandardOutput(_ use: FileUse) throws {
    for output in use.outputs {
      let option = output.split(separator: "→").first.map(String.init) ?? ""
      // `state add` has its output before its terms. A name with an ending is not a dash.
      let line =
        use.command == "state add"
        ? "state add -o - a:1 b" : "\(use.command) \(use.inputs.first ?? "") \(option)"
      guard !line.contains("OUT.") else { continue }
      let words = line.split(separator: " ").map { word in
        word == "OUT" ? "-" : word.replacing("IN", with: "input").replacing("FOLDER", with: "f")
      }
      let refused = try refusal(words.map { String($0) })
      #expect(refused?.code == .usageOption && refused?.file?.hasPrefix("-") == true, "\(words)")
    }
  }

  @Test func aFileThatOnlyBeginsWithADashIsOne() throws {
    for output in ["./-", "a/-", "a-"] {
      #expect(try refusal(["convert", "s", "-o", output]) == nil, "\(output)")
    }
  }

  /// A configuration or tokenizer that the user names is read with the files beside it.
  @Test(
    arguments: [
      ("--config", "generation_config.json"), ("--tokenizer", "tokenizer_config.json"),
      ("--tokenizer", "special_tokens_map.json"), ("--tokenizer", "added_tokens.json"),
    ])
  func filesBesideANamedFileAreInputs(option: String, name: String) throws {
    let folder = TemporaryFolder()
    for file in ["named.json", name] { folder.write("{}", to: file) }
    let refused = try refusal([
      "convert", "s", option, folder.path("named.json"), "-o", folder.path(name), "--force",
    ])
    #expect(refused?.code == .fileSame)
  }

  @Test func aFileOfAnInputFolderIsAnInputAndAModelInItIsNot() throws {
    let folder = TemporaryFolder()
    folder.write(Array("{}".utf8), to: "config.json")
    folder.write(Array("SEXTANT\0".utf8), to: "model.sxt")
    let convert = { (output: String) in
      try refusal(["convert", folder.path, "-o", folder.path(output), "--force"])
    }
    #expect(try convert("config.json")?.code == .fileSame)
    #expect(try convert("model.sxt") == nil)
    #expect(try convert("new.sxt") == nil)
  }

  @Test func twoOutputsOfOnePathAreRefusedInAnySpelling() throws {
    let folder = TemporaryFolder()
    for (one, two) in [
      ("a", "a"), ("a", "./a"), ("a", "../\(folder.path.split(separator: "/").last ?? "")/a"),
    ] {
      let refused = try refusal([
        "generate", "-m", "m", "-p", "t", "--save-state", folder.path(one), "--trace",
        folder.path(two),
      ])
      #expect(refused?.code == .fileSame, "\(one) \(two)")
    }
  }

  @Test func checkpointReplacesOnlyTheFileThatTrainingGoesOnFrom() throws {
    let folder = TemporaryFolder()
    for name in ["notes.txt", "own"] { folder.write(Array("precious".utf8), to: name) }
    let train = { (more: [String]) throws -> Refusal? in
      let base = ["lens", "train", "-m", "m", "--text", "t", "-o", folder.path("a")]
      let command = try #require(Sextant.parseAsRoot(base + more) as? any WritingCommand)
      do throws(Refusal) { try command.fileUse.prepare() } catch { return error }
      return nil
    }
    let (notes, own) = (folder.path("notes.txt"), folder.path("own"))
    #expect(try train(["--checkpoint", notes])?.code == .fileExists)
    #expect(try train(["--checkpoint", notes, "--resume", own])?.code == .fileExists)
    #expect(try train(["--checkpoint", notes, "--force"]) == nil)
    #expect(try train(["--checkpoint", folder.path("new")]) == nil)
    #expect(try train(["--checkpoint", own, "--resume", own]) == nil)
    #expect(try train(["--checkpoint", folder.path("./own"), "--resume", own]) == nil)
    #expect(try train(["--checkpoint", folder.path("a")])?.code == .fileSame)
  }

  @Test(arguments: [
    ["convert", "s", "-o", ""], ["lens", "eval", "-m", "m", "--text", "t", "-o", ""],
    ["export", "f", "-o", ""], ["probe", "data", "-o", ""], ["demo", "-o", ""],
  ])
  func anEmptyPathIsNoOutput(arguments: [String]) throws {
    let refused = try refusal(arguments)
    #expect(refused?.code == .fileCreate && refused?.found == "an empty path for an output")
  }

  /// The command reads no folder, and refuses it when it reads it. No file in it is an input.
  @Test func aFolderInPlaceOfAFileIsNotSearchedForInputs() throws {
    let folder = TemporaryFolder()
    folder.write(Array("old".utf8), to: "zz")
    let capture = [
      "capture", "-m", "m", "--prompts", folder.path, "-o", folder.path("zz"), "--force",
    ]
    #expect(try refusal(capture) == nil)
    #expect(
      try refusal(["convert", folder.path, "-o", folder.path("zz"), "--force"])?.code == .fileSame)
  }
}
