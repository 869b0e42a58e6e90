import Glibc
import SextantBytes
import SextantStore
import SextantTensor

extension SavedState {
  /// A state, or a difference of states, and its factor.
  package typealias Term = (state: SavedState, strength: Float)

  /// The sum of states, each times its strength. A strength of 0 leaves a term out, bit for bit.
  ///
  /// RWKV-4's sums are brought to one exponent first (`formats/state.md`).
  ///
  /// - Parameter terms: at least one; the first gives model and position.
  /// - Throws: `artifact.site` when the terms have other components, `model.state` for another
  ///   batch or keys and values of another number of tokens, `artifact.model-digest` and related codes for states of different models,
  ///   `artifact.scale`, `artifact.nonfinite` for a sum that overflows.
  package static func sum(
    _ terms: [Term], allowsModelMismatch: Bool = false
  ) throws(Refusal) -> SavedState {
    guard let first = terms.first?.state else {
      throw Refusal(.artifactEmpty, found: "no state", expected: "at least one")
    }
    for (state, strength) in terms {
      try first.checkAddable(state, strength, allowsModelMismatch)
    }
    let summands = terms.filter { $0.strength != 0 }
    let components = first.components.indices.map { place in
      (site: first.components[place].site, value: first.sum(of: summands, at: place))
    }
    for (site, value) in components where !value.values.allSatisfy(\.isFinite) {
      throw Refusal(
        .artifactNonfinite, at: .tensor(site.name), found: "a sum that overflows",
        expected: "finite numbers", remedy: "Give smaller strengths.")
    }
    return SavedState(
      model: first.model, batch: first.batch, position: first.position,
      isDifference: terms.allSatisfy { $0.state.isDifference }, components: components)
  }

  /// The difference of this state from another.
  ///
  /// - Throws: as `sum`.
  package func subtracting(
    _ other: SavedState, allowsModelMismatch: Bool = false
  ) throws(Refusal) -> SavedState {
    let sum = try Self.sum(
      [(self, 1), (other, -1)], allowsModelMismatch: allowsModelMismatch)
    return SavedState(
      model: sum.model, batch: sum.batch, position: sum.position, isDifference: true,
      components: sum.components)
  }

  /// The Euclidean norm of each component, sequence by sequence.
  package var norms: [(site: SiteReference, values: [Double])] {
    components.map { site, value in
      let count = value.count / batch
      let values = value.values
      let norms = (0..<batch).map { sequence in
        values[sequence * count..<(sequence + 1) * count]
          .reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      }
      return (site, norms)
    }
  }

  private func checkAddable(
    _ other: SavedState, _ strength: Float, _ allowsModelMismatch: Bool
  ) throws(Refusal) {
    guard strength.isFinite else {
      throw Refusal(
        .artifactScale, file: other.file, found: "\(strength)", expected: "a finite number")
    }
    try other.model.check(against: model, allowingOther: allowsModelMismatch, file: other.file)
    try checkLengths(of: other)
    guard other.components.map(\.site) == components.map(\.site) else {
      throw Refusal(
        .artifactSite, file: other.file,
        found: "\(counted(other.components.count, "component")) at position \(other.position)",
        expected:
          "the \(counted(components.count, "component")) of the first state, of the same shapes")
    }
    guard other.batch == batch else {
      throw Refusal(
        .modelState, file: other.file, found: counted(other.batch, "sequence"), expected: "\(batch)"
      )
    }
  }

  /// Refuses keys and values of another number of tokens.
  private func checkLengths(of other: SavedState) throws(Refusal) {
    for (own, (site, _)) in zip(components.map(\.site), other.components) {
      guard site.name == own.name, site.axes == own.axes, site.shape != own.shape,
        site.axes.first == SiteReference.positionAxis,
        site.shape.dropFirst() == own.shape.dropFirst()
      else { continue }
      throw Refusal(
        .modelState, file: other.file, at: .tensor(site.name),
        found: "\(site.name) of \(counted(site.shape[0], "token"))",
        expected:
          "\(own.shape[0]), as in the first state: keys and values have a row for each token",
        remedy: "Use states after the same number of tokens.")
    }
  }

  /// One component of the sum.
  private func sum(of terms: [Term], at place: Int) -> Tensor {
    let site = components[place].site
    var total = [Float](repeating: 0, count: components[place].value.count)
    if site.name.hasSuffix(".exponent") {
      return largestExponent(of: terms, at: place) ?? components[place].value
    }
    let scale =
      site.name.hasSuffix(".numerator") || site.name.hasSuffix(".denominator")
      ? exponentPlace(beside: place) : nil
    for (number, (state, strength)) in terms.enumerated() {
      var term = state.components[place].value.values
      if let scale, let common = largestExponent(of: terms, at: scale)?.values {
        let own = state.components[scale].value.values
        for index in term.indices { term[index] *= exp(own[index] - common[index]) }
      }
      for index in term.indices {
        // The first term is not added to zero, which would turn -0 into 0.
        let product = strength * term[index]
        total[index] = number == 0 ? product : total[index] + product
      }
    }
    return Tensor(total, shape: components[place].value.shape)
  }

  /// The component that contains the exponent of a numerator or denominator.
  private func exponentPlace(beside place: Int) -> Int? {
    let name = components[place].site.name
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return nil }
    let exponent = ExactString(name[...dot] + "exponent")
    return components.firstIndex { ExactString($0.site.name) == exponent }
  }

  private func largestExponent(of terms: [Term], at place: Int) -> Tensor? {
    let all = terms.map { $0.state.components[place].value }
    guard let first = all.first else { return nil }
    let values = all.dropFirst().reduce(first.values) { zip($0, $1.values).map { max($0, $1) } }
    return Tensor(values, shape: first.shape)
  }
}
