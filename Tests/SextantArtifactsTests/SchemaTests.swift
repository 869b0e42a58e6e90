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
