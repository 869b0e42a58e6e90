import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

extension SteeringVector {
  /// Learns a vector from moments that an earlier training wrote, without the model.
  ///
  /// - Parameters:
  ///   - sites: the sites to learn vectors for; nil for all that the file has moments of.
  ///   - layers: the blocks to keep; nil keeps all.
  /// - Throws: `file.*`, `st.*`, `artifact.*`; `artifact.site` for a site without moments.
  package static func train(
    fromMoments path: String, _ estimator: SteeringEstimator, sites: [String]?,
    layers: LayerSelection?
  ) throws(Refusal) -> SteeringVector {
    let artifact = try Artifact(reading: path)
    let all = try MomentSet(artifact)
    let model = artifact.manifest.model
    let named = try Site.chosen(
      named: sites, layers: layers, among: all.sites.map(\.site), layerCount: model.layerCount,
      file: path)
    let details = artifact.manifest.detailsNode(file: path)
    return try estimator.vector(
      from: all.keeping(named.contains), at: Moments.positions(of: artifact), model: model,
      data: details.member("data").object(),
      retraining: details.optionalMember("retraining")?.object())
  }
}

extension SteeringMethod {
  /// Methods by their names.
  ///
  /// - Throws: `usage.option` for another name.
  package static func named(_ words: [String]) throws(Refusal) -> [SteeringMethod] {
    try words.map { word throws(Refusal) in
      guard let method = SteeringMethod(rawValue: word) else {
        throw Refusal(
          .usageOption, at: .parameter("momentsFor"), found: word,
          expected: "some of \(SteeringMethod.allCases.map(\.rawValue))")
      }
      return method
    }
  }
}
