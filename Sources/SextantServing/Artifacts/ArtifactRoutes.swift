import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantInspection
import SextantReport

extension Service {
  /// `GET /sextant/v1/artifacts/{name}`: what `sextant inspect --json` shows of it.
  func inspectedArtifact(_ name: String) throws -> ServingResponse {
    let artifact = try shelf.artifact(name, parameter: "name").artifact
    var content = Report(artifact: artifact, rowLimit: .max).json
    // Answers contain no paths.
    let entry = shelf.entries.first { $0.name == name || $0.fileName == name }
    content["file"] = .string(entry?.fileName ?? name)
    return .json(.object(content))
  }

  /// `GET /sextant/v1/half-life?artifact=NAME&run=r7&branch=A`: how long the edits of a vector of the state
  /// survive in the text of a branch.
  func halfLife(_ query: [String: String]) async throws -> ServingResponse {
    let artifact = try shelf.artifact(query["artifact"] ?? "", parameter: "artifact").artifact
    guard artifact.manifest.kind == SteeringVector.name else {
      throw ServingError(
        .artifactKind, "Half-lives are those of steering vectors.", parameter: "artifact")
    }
    let ids = try runs.run(query["run"] ?? "").branch(query["branch"] ?? "A").ids
    guard ids.count >= Self.halfLifeTokens else {
      throw ServingError(
        .option,
        "The branch has \(counted(ids.count, "token")). A half-life needs \(Self.halfLifeTokens).",
        parameter: "branch")
    }
    let wasMeasuring = isMeasuring.withLock { isMeasuring in
      defer { isMeasuring = true }
      return isMeasuring
    }
    guard !wasMeasuring else {
      throw ServingError(
        .queueFull, "Another half-life is being measured. Try again later.",
        headers: [("Retry-After", "2")])
    }
    defer { isMeasuring.withLock { $0 = false } }
    let found = try await OwnThread.result { [loaded, tokenizer] in
      do throws(Refusal) {
        return .success(
          try HalfLife(
            of: loaded.model, tokenizer: tokenizer.digest, vector: SteeringVector(artifact),
            on: Array(ids.suffix(Self.halfLifeText)), horizon: min(32, ids.count / 2), edits: 2))
      } catch {
        return .failure(error)
      }
    }
    return .json(.object(found.report.json))
  }

  /// Tokens of a text in which a half-life can be measured.
  private static var halfLifeTokens: Int { 16 }
  /// Tokens at the end of a text that are used for it at most.
  private static var halfLifeText: Int { 512 }
}
