import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// `formats/sites.md` lists what the architectures declare.
@Suite struct SitesPageTests {
  @Test(arguments: ModelFixture.kinds)
  func thePageHasTheArchitecturesPartsComponentsAndAxes(fixture: ModelFixture) throws {
    let description = try fixture.convert().model.description
    try expectRow(of: description.architecture, description.blocks)
  }

  /// A model need not have every part and component of its architecture: the fixtures of one
  /// architecture have all of them together.
  @Test func thePageHasThoseOfHybrids() throws {
    let models = try HybridFixture.all.map { try $0.convert().model.description }
    for (architecture, models) in Dictionary(grouping: models, by: \.architecture) {
      try expectRow(of: architecture, models.flatMap(\.blocks))
    }
  }

  private func expectRow(of architecture: String, _ blocks: [BlockDescription]) throws {
    let bytes = try InputFile(PackageFiles.format("sites.md")).readAll(limit: 1 << 20)
    let row = try #require(
      String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("| `\(architecture)` |") })
    for part in blocks.flatMap(\.parts) {
      #expect(row.contains("`\(part.name)`"))
      if part.expertCount != nil { #expect(row.contains("`router`")) }
    }
    let components = row.split(separator: "|").last?.split(separator: ";") ?? []
    // Each component once, also if blocks or the sizes of models differ.
    var layout: [StateComponent] = []
    for component in blocks.flatMap(\.state)
    where !layout.contains(where: { $0.name == component.name && $0.axes == component.axes }) {
      layout.append(component)
    }
    #expect(components.count == layout.count)
    for (text, component) in zip(components, layout) {
      let words = text.split(separator: "`", omittingEmptySubsequences: false)
        .enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      #expect(
        words == [component.name] + (component.grows ? ["position"] : []) + component.axes)
    }
  }

  @Test func everyArchitectureIsChecked() throws {
    let checked =
      try ModelFixture.kinds.map { try $0.convert().model.description.architecture }
      + HybridFixture.all.map { try $0.convert().model.description.architecture }
    #expect(Set(checked) == Set(Architectures.all.map { $0.name }))
  }
}
