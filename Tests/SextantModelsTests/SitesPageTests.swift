import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// `formats/sites.md` lists what the architectures declare.
@Suite struct SitesPageTests {
  @Test(arguments: ModelFixture.kinds)
  func thePageHasTheArchitecturesPartsComponentsAndAxes(fixture: ModelFixture) throws {
    try expectRow(of: fixture.convert().model.description)
  }

  @Test(arguments: HybridFixture.all)
  func thePageHasThoseOfHybrids(fixture: HybridFixture) throws {
    try expectRow(of: fixture.convert().model.description)
  }

  private func expectRow(of description: ModelDescription) throws {
    let bytes = try InputFile(PackageFiles.format("sites.md")).readAll(limit: 1 << 20)
    let row = try #require(
      String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("| `\(description.architecture)` |") })
    for part in description.blocks.flatMap(\.parts) { #expect(row.contains("`\(part.name)`")) }
    let components = row.split(separator: "|").last?.split(separator: ";") ?? []
    // Each component once, also if blocks differ.
    var layout: [StateComponent] = []
    for component in description.stateLayout.joined() where !layout.contains(component) {
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
