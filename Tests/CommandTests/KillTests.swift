import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

/// A conversion that is killed leaves nothing behind.
@Suite struct KillTests {
  private let work = Workspace()

  /// A model with so many ids that its conversion takes a while.
  private func slowCheckpoint() throws -> String {
    let rows = 400_000
    let copy = try work.copy(of: "mamba-tiny/huggingface") { tensors in
      for place in tensors.indices where tensors[place].name == "backbone.embeddings.weight" {
        tensors[place].value = Tensor(zeros: [rows, 40])
      }
    }
    let text = try bytes(of: "\(copy)/config.json")
    var config = try JSONNode(parsing: text, code: .modelConfiguration, file: nil).object()
    config["vocab_size"] = .integer(Int64(rows))
    work.folder.write(JSONValue.object(config).canonicalText, to: "copy/config.json")
    return copy
  }

  @Test func theDestinationIsAbsentOrComplete() throws {
    let source = try slowCheckpoint()
    let folder = TemporaryFolder()
    let destination = folder.path("model.sxt")
    var killed = 0
    for milliseconds in [1, 5, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320] {
      let run = CommandRun.sextant(
        ["convert", source, "-o", destination, "--dtype", "bf16"], killedAfter: milliseconds)
      switch run.end {
      case .signalled(let signal):
        #expect(signal == 9)
        killed += 1
      case .exited(let status): #expect(status == 0, "\(run.errors)")
      }
      // The folder contains only the destination, and only if it is complete.
      guard !folder.entries.isEmpty else { continue }
      #expect(folder.entries == ["model.sxt"])
      sextant("verify", destination)
      sextant("convert", source, "-o", destination, status: 73)
      break
    }
    #expect(killed > 0)
  }
}
