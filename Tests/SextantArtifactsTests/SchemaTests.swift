import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// The published schemas agree with the reader, as far as a schema can express it.
@Suite struct SchemaTests {
  private func schema(of kind: String) throws -> JSONSchema {
    for name in ["artifact", kind].map({ "\($0).schema.json" }) {
      let path = PackageFiles.format("manifests/\(name)")
      let document = try JSONNode(
        parsing: InputFile(path).readAll(limit: 1 << 20), code: .jsonInvalid, file: path)
      #expect(try document.member("$id").string() == name)
    }
    return try .manifest(of: kind)
  }

  @Test(arguments: Samples.names)
  func manifestsThatAreWrittenAreValid(name: String) throws {
    let artifact = Samples.named(name)
    var manifest = try RawArtifact(artifact)
    let schema = try schema(of: artifact.manifest.kind)
    #expect(schema.flaws(of: manifest.manifest) == [])
    #expect(schema.undescribedMembers(of: manifest.manifest) == [])
    manifest.set("/a_note", to: ["for": "nobody"])
    #expect(schema.flaws(of: manifest.manifest) == [])
  }

  /// Texts that were read as messages.
  @Test(arguments: ["steering", "moments"])
  func theRecordOfAChatTemplateIsDescribed(name: String) throws {
    let artifact = Samples.named(name)
    let schema = try schema(of: artifact.manifest.kind)
    func flaws(_ chat: JSONValue) throws -> [String] {
      var manifest = try RawArtifact(artifact)
      manifest.set("/data/chat", to: chat)
      return schema.flaws(of: manifest.manifest)
    }
    let chat = JSONObject([
      ("date", .null), ("system", .null), ("template", "plain"), ("thinking", .null),
    ])
    func changed(_ key: String, _ value: JSONValue) -> JSONValue {
      var changed = chat
      changed[key] = value
      return .object(changed)
    }
    #expect(try flaws(.object(chat)) == [])
    for (key, value) in [
      ("date", "2025-03-09"), ("system", "Be brief."), ("thinking", false),
    ] as [(String, JSONValue)] {
      #expect(try flaws(changed(key, value)) == [], "\(key)")
    }
    for (key, value) in [
      ("date", "today"), ("system", 1), ("template", .null), ("thinking", "on"), ("other", 1),
    ] as [(String, JSONValue)] {
      #expect(try !flaws(changed(key, value)).isEmpty, "\(key)")
    }
    #expect(try !flaws(["template": "plain"]).isEmpty)
  }

  @Test(arguments: BadManifest.all)
  func whatTheReaderRefusesIsInvalid(bad: BadManifest) throws {
    let artifact = Samples.named(bad.sample)
    var manifest = try RawArtifact(artifact)
    manifest.set(bad.pointer, to: bad.value)
    let flaws = try schema(of: artifact.manifest.kind).flaws(of: manifest.manifest)
    #expect(flaws.isEmpty != bad.isInSchema, "\(flaws)")
  }

  @Test func everyKindHasASchemaAndAPage() throws {
    for kind in ArtifactKinds.all {
      _ = try schema(of: kind.name)
      let page = try InputFile(PackageFiles.format("\(kind.name).md")).readAll(limit: 1 << 20)
      let text = String(decoding: page, as: UTF8.self)
      #expect(text.contains("`\(kind.name)`") && text.contains("version \(kind.version)"))
    }
  }
}
