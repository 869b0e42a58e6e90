import ArgumentParser
import Testing

@testable import sextant

/// A number below its range is refused with the range, and never read as a missing value.
@Suite struct NegativeNumberTests {
  @Test(arguments: [
    ("generate -m m -p t -n", "1 or more"), ("generate -m m -p t -s", "from 0 to"),
    ("generate -m m -p t --seed", "from 0 to"), ("steer shadow -m m -p t --seed", "from 0 to"),
    ("steer shadow -m m -p t --steer-tokens", "0 or more"),
    ("steer train -m m --pairs p -o o --batch", "1 or more"),
    ("steer eval -m m --apply a --pairs p --controls", "0 or more"),
    ("steer eval -m m --apply a --pairs p --continuations", "1 or more"),
    ("steer eval -m m --apply a --pairs p -n", "1 or more"),
    ("steer eval -m m --apply a --pairs p --seed", "from 0 to"),
    ("steer half-life -m m --apply a --text t --horizon", "1 or more"),
    ("steer half-life -m m --apply a --text t --edits", "1 or more"),
    ("steer doctor -m m --apply a --pairs p --shift", "0 to 64"),
    ("lens show -m m -p t --layer-stride", "1 or more"),
    ("lens show -m m -p t --top-k", "from 1"), ("lens show -m m -p t --width", "1 or more"),
    ("lens state -m m -p t --directions", "0 or more"),
    ("lens eval -m m --text t --chunk", "2 or more"),
    ("lens train -m m -o o --text t --max-tokens", "2 or more"),
    ("lens train -m m -o o --text t --steps", "1 or more"),
    ("lens train -m m -o o --text t --warm-up", "0 or more"),
    ("lens train -m m -o o --text t --calibration-tokens", "0 or more"),
    ("lens train -m m -o o --text t --checkpoint-every", "1 or more"),
    ("lens train -m m -o o --text t --seed", "from 0 to"),
    ("probe data -o o -n", "1 or more"), ("probe data -o o --seed", "from 0 to"),
    ("probe train -m m --data d --label l -o o --seed", "from 0 to"),
    ("probe transfer -m m --data d --test t --seed", "from 0 to"),
    ("export f -o o --shard-size", "1 or more"), ("convert s -o o --model m --layer", "0 or more"),
    ("bench -m m --batch", "between 1"), ("bench -m m --threads", "between 1"),
    ("demo --samples", "2 or more"),
  ])
  func negativeNumberIsRefusedWithItsRange(_ command: String, _ range: String) throws {
    let words = "\(command) -1".split(separator: " ").map(String.init)
    let error = #expect(throws: (any Error).self) {
      _ = try Sextant.parseAsRoot(Numbers.joined(words))
    }
    let message = error.map { Sextant.message(for: $0) } ?? ""
    #expect(message.contains(range), "\(message)")
    #expect(!message.contains("Missing"), "\(message)")
  }

  @Test func hugeCountsAreRefused() {
    #expect(throws: (any Error).self) {
      _ = try Sextant.parseAsRoot(["generate", "-m", "m", "-p", "t", "-n", "\(Int.max)"])
    }
  }

  @Test func onlyNumbersAfterOptionsAreJoined() {
    let words = ["state", "add", "-o", "o", "a:1", "--temp", "-.5", "-p", "-x", "--", "--n", "-1"]
    let joined = ["state", "add", "-o", "o", "a:1", "--temp=-.5", "-p", "-x", "--", "--n", "-1"]
    #expect(Numbers.joined(words) == joined)
    #expect(Numbers.joined(["-s", "-1"]) == ["-s=-1"])
    #expect(Numbers.joined(["--positions", "-3,-1"]) == ["--positions", "-3,-1"])
  }

  /// The parser shows the reason of a reader.
  @Test(arguments: [
    (
      "generate -m m -p t --temp=1e308",
      "Found: 1e308; expected: a magnitude of at most 3.4028235e+38."
    ),
    ("generate -m m -p t --top-p=1e-320", "Found: 1e-320; expected: 0, or a magnitude of at least"),
    ("generate -m m -p t --repetition-penalty=1e300", "Found: 1e300;"),
    ("generate -m m -p t --apply v.st:1e39", "Found: 1e39;"),
    ("generate -m m -p t --layers 3-1", "3-1, whose end is before its start"),
    ("generate -m m -p t --positions 2:1", "2:1, whose end is before its start"),
    ("generate -m m -p t --when p>nan", "\"nan\" after >"),
    ("lens show -m m -p t --tokens 2-1", "2-1, whose end is before its start"),
    ("probe train -m m --data d --label l -o o --methods lr,lr", "lr twice"),
  ])
  func theReasonIsShown(command: String, reason: String) {
    let error = #expect(throws: (any Error).self) {
      _ = try Sextant.parseAsRoot(command.split(separator: " ").map(String.init))
    }
    let message = error.map { Sextant.message(for: $0) } ?? ""
    #expect(message.contains(reason), "\(message)")
  }
}
