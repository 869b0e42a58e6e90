import SextantBytes

/// A rotation that was scaled for longer texts, as numbers by which each pair of channels turns more
/// slowly: what formats hold that do not name the scaling.
public enum RotaryFactors {
  /// The scalings of Llama 3.1 and 3.2, as published.
  private static let published = [8.0, 32.0].map { factor in
    RotaryEmbedding.Scaling.llama3(factor: factor, low: 1, high: 4, length: 8192)
  }

  /// The factors of a canonical configuration; nil where its rotation is not scaled pair by pair.
  ///
  /// - Throws: `model.config`.
  public static func factors(of configuration: JSONObject) throws(FormatError) -> [Float]? {
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    let rotary = try RotaryEmbedding(canonical: node)
    guard case .llama3 = rotary.scaling else { return nil }
    return factors(rotary)
  }

  private static func factors(_ rotary: RotaryEmbedding) -> [Float] {
    var plain = rotary
    plain.scaling = .none
    return zip(plain.frequencies, rotary.frequencies).map { Float($0 / $1) }
  }

  /// The scaling that gives factors, as a published configuration spells it; nil where it is none that
  /// is known.
  ///
  /// - Parameters:
  ///   - named: a scaling to try first, where the file names one.
  ///   - base: the base of the frequencies.
  public static func scaling(
    of factors: [Float], named: JSONNode?, base: Double
  ) throws(FormatError) -> JSONValue? {
    var candidates = published
    if let named { candidates.insert(try RotaryEmbedding.scaling(named), at: 0) }
    for scaling in candidates {
      let rotary = RotaryEmbedding(base: base, width: 2 * factors.count, scaling: scaling)
      let isIt = zip(self.factors(rotary), factors).allSatisfy { abs($0 - $1) <= 1e-5 * $1 }
      if isIt { return rotary.scalingJSON }
    }
    return nil
  }
}
