import ArgumentParser
import Glibc
import SextantBytes
import SextantTensor

/// A program that Sextant is compared with.
enum PeerKind: String, CaseIterable, ExpressibleByArgument {
  case llamaCpp = "llama.cpp"
  case transformers
  case compiled = "transformers-compiled"
  case rwkv
}

/// The paths of the peers, and the commands that start them.
struct Peers: ParsableArguments {
  @Option(
    name: .customLong("peers-folder"),
    help: """
      The folder that Benchmarks/peers/build.sh made; without it SEXTANT_PEERS counts, then \
      ~/.cache/sextant-peers.
      """)
  var givenFolder: String?

  private func setting(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  private var folder: String {
    givenFolder ?? setting("SEXTANT_PEERS") ?? (setting("HOME") ?? "") + "/.cache/sextant-peers"
  }

  private var python: String { folder + "/venv/bin/python" }

  /// `peers/` of this package.
  private var scripts: String {
    // …/Benchmarks/Sources/sextant-benchmarks/Measuring/Peers.swift
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
    return parts.joined(separator: "/") + "/peers"
  }

  /// Starts a peer, which then loads the model. If it cannot start, prints the reason and returns
  /// nil.
  func start(_ kind: PeerKind, _ files: ModelFiles, threads: Int) -> ChildProcess? {
    do {
      report("\(files.name): starting \(kind.rawValue)")
      let process = try ChildProcess(command(kind, files, threads: threads))
      _ = try process.answer()
      return process
    } catch {
      report("no \(kind.rawValue) for \(files.name): \(error)")
      return nil
    }
  }

  /// Starts the tokenizers package with a `tokenizer.json`; it encodes all lines for each request.
  func tokenizers(_ path: String, lines: String) throws -> ChildProcess {
    try ChildProcess([python, scripts + "/tokenizers_peer.py", path, lines])
  }

  private func command(
    _ kind: PeerKind, _ files: ModelFiles, threads: Int
  ) throws -> [String] {
    switch kind {
    case .llamaCpp:
      return [folder + "/llama.cpp/build/bin/llama-peer", try files.gguf(), "\(threads)"]
    case .transformers, .compiled:
      return [
        python, scripts + "/transformers_peer.py", try files.folder(), "--mode",
        kind == .compiled ? "compiled" : "eager", "--threads", "\(threads)",
      ]
    case .rwkv:
      let version = files.name.hasPrefix("rwkv6") ? "6" : "7"
      return [
        python, scripts + "/rwkv_peer.py", try files.stateDict(), "--version", version, "--threads",
        "\(threads)",
      ]
    }
  }
}
