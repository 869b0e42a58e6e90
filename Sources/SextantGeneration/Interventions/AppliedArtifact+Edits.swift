import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

extension AppliedVector {
  /// The edits of a model's sites, those of strength or norm 0 included.
  ///
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `artifact.scale`, `artifact.schema` for an operation that needs targets if
  ///   there are none, `artifact.empty` if the options leave no site or name a block without one,
  ///   `artifact.zero` if every vector has norm 0 and the options need a direction.
  package func edits(
    for model: ModelDescription, tokenizer: Digest?
  ) throws(Refusal) -> [Site: (edit: SteeringEdit, strength: Float)] {
    try vector.model.check(
      against: model.reference(tokenizer: tokenizer),
      allowingOther: options.allowsModelMismatch, file: vector.file)
    let operation = options.operation ?? vector.operation
    try options.checkStrengths(file: vector.file)
    guard options.unit != .nats else {
      throw Refusal(
        .artifactScale, file: vector.file, found: "\(options.strength) nats",
        expected: "a strength that needs no search")
    }
    let isAdded = operation.isAddition
    guard options.unit == .raw || isAdded else {
      throw Refusal(
        .artifactScale, file: vector.file, found: "a share of the norm for \(operation.rawValue)",
        expected: "a plain number: the operation has a scale of its own")
    }
    var edits: [Site: (edit: SteeringEdit, strength: Float)] = [:]
    for (reference, value) in vector.vectors {
      let site = try model.editableSite(reference, file: vector.file)
      guard let strength = options.strength(at: site) else { continue }
      let targets = vector.targets[reference.name]
      guard targets != nil || !operation.needsTargets else {
        throw Refusal(
          .artifactSchema, file: vector.file, at: .pointer("/targets"),
          found: "no targets of \(reference.name)",
          expected: "targets, which \(operation.rawValue) needs",
          remedy: "Train the vector again, or use the operation add.")
      }
      let edit = SteeringEdit(operation, vector: value.values, targets: targets)
      guard edit.vector.allSatisfy({ ($0 * strength).isFinite }) else {
        throw Refusal(
          .artifactScale, file: vector.file, at: .tensor(reference.name),
          found: "\(strength), which makes the vector overflow", expected: "a smaller strength")
      }
      edits[site] = (edit, strength)
    }
    try options.checkLayers(
      Set(edits.keys), of: "vector", blockCount: model.layerCount, file: vector.file)
    // One vector of norm 0 among others changes nothing. If all have norm 0, it is a mistake.
    guard
      (options.unit == .raw && isAdded) || options.isOff
        || edits.values.contains(where: { !$0.edit.changesNothing(strength: 1) })
    else {
      throw Refusal(
        .artifactZero, file: vector.file, found: "norm 0 at every site",
        expected:
          "a direction, which \(options.unit == .share ? "a share" : operation.rawValue) needs",
        remedy: "Train the vector again, at sites where the two classes differ.")
    }
    return edits
  }
}

extension AppliedEraser {
  /// The erasers of a model's sites, those of strength 0 included.
  ///
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `artifact.scale`; `artifact.empty` when the options leave no site or name a
  ///   block without one; `usage.option` for a unit or an operation, which erasers don't have.
  package func edits(
    for model: ModelDescription, tokenizer: Digest?
  ) throws(Refusal) -> [Site: (eraser: ProbeEntry.Eraser, strength: Float)] {
    try eraser.model.check(
      against: model.reference(tokenizer: tokenizer),
      allowingOther: options.allowsModelMismatch, file: eraser.file)
    try options.checkStrengths(file: eraser.file)
    guard options.unit == .raw else {
      throw Refusal(
        .usageOption, file: eraser.file, at: .parameter("apply"),
        found: options.unit == .nats ? "a strength in nats" : "a strength as a share of the norm",
        expected: "a plain number: an eraser has no vector to scale",
        remedy: "Give the share to erase: 1 erases all, 0.5 half.")
    }
    guard options.operation == nil else {
      throw Refusal(
        .usageOption, file: eraser.file, at: .parameter("operation"), found: "an eraser",
        expected: "a steering vector")
    }
    var edits: [Site: (eraser: ProbeEntry.Eraser, strength: Float)] = [:]
    for (reference, own) in eraser.erasers {
      let site = try model.editableSite(reference, file: eraser.file)
      if let strength = options.strength(at: site) { edits[site] = (own, strength) }
    }
    try options.checkLayers(
      Set(edits.keys), of: "eraser", blockCount: model.layerCount, file: eraser.file)
    return edits
  }
}

extension SteeringOptions {
  /// Refuses strengths that are not finite, and a strength of each block in nats: a search finds one
  /// number.
  func checkStrengths(file: String?) throws(Refusal) {
    let strengths = layerStrengths?.parts.map(\.strength) ?? [strength]
    if let wrong = strengths.first(where: { !$0.isFinite }) {
      throw Refusal(
        .artifactScale, file: file, found: "\(wrong)", expected: "a finite strength")
    }
    guard layerStrengths == nil || unit != .nats else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("apply"), found: "a divergence for each block",
        expected: "one divergence for all blocks, or strengths as plain numbers or shares")
    }
    guard layerStrengths == nil || layers == nil else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("layers"),
        found: "an artifact whose strengths name its blocks", expected: "one of the two")
    }
  }

  /// Refuses blocks that the model does not have, and those for which the artifact has no part.
  ///
  /// - Parameter sites: the sites that the options leave.
  fileprivate func checkLayers(
    _ sites: Set<Site>, of kind: String, blockCount: Int, file: String?
  ) throws(Refusal) {
    try layers?.check(blockCount: blockCount)
    try layerStrengths?.selection.check(blockCount: blockCount, parameter: "apply")
    let blocks = Set(sites.compactMap(\.block))
    let named = layerStrengths?.parts.map(\.layers) ?? layers?.parts ?? []
    let missing = named.first { part in !blocks.contains(where: part.contains) }
    guard !sites.isEmpty, missing == nil else {
      throw Refusal(
        .artifactEmpty, file: file,
        found: "no \(kind) for "
          + (missing.map { "block \(LayerSelection.text($0))" } ?? "any site"),
        expected: "at least one", remedy: "`sextant inspect` lists the artifact's sites.")
    }
  }
}

extension ModelDescription {
  /// The model's site that an artifact edits.
  ///
  /// - Throws: `artifact.site`, `artifact.width`.
  func editableSite(_ reference: SiteReference, file: String?) throws(Refusal) -> Site {
    let site = try site(reference, file: file)
    guard sites.first(where: { $0.site == site })?.isReadOnly == false else {
      throw Refusal(readOnly: site, file: file)
    }
    return site
  }

  /// The model's site that an artifact refers to.
  ///
  /// - Throws: `artifact.site`, `artifact.width`.
  func site(_ reference: SiteReference, file: String?) throws(Refusal) -> Site {
    guard let own = sites.first(where: { $0.site.name == reference.name }) else {
      throw Refusal(
        .artifactSite, file: file, at: .tensor(reference.name), found: "site \(reference.name)",
        expected: "a site of the model")
    }
    guard !own.grows else {
      throw Refusal(
        .artifactSite, file: file, at: .tensor(reference.name),
        found: "\(reference.name), which grows with each position",
        expected: "the residual stream, or a state of constant size")
    }
    guard own.shape == reference.shape else {
      throw Refusal(
        .artifactWidth, file: file, at: .tensor(reference.name), found: "\(reference.shape)",
        expected: "\(own.shape)")
    }
    guard own.axes == reference.axes else {
      throw Refusal(
        .artifactSite, file: file, at: .tensor(reference.name), found: "axes \(reference.axes)",
        expected: "axes \(own.axes)")
    }
    return own.site
  }
}
