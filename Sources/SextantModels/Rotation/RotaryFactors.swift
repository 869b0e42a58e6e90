import SextantBytes

/// Scalings of a rotation as factors by which each pair of channels rotates more slowly, for
/// formats that do not name the scaling.
package enum RotaryFactors {
  /// The scalings of Llama 3.1 and 3.2, as published.
  private static let published = [8.0, 32.0].map { factor in
    RotaryEmbedding.Scaling.llama3(factor: factor, low: 1, high: 4, length: 8192)
  }

  /// The factors of a canonical configuration; nil if its rotation has another kind than Llama 3's.
  ///
  /// - Throws: `model.config`.
  package static func factors(of configuration: JSONObject) throws(Refusal) -> [Float]? {
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    let rotary = try RotaryEmbedding(canonical: node)
    guard case .llama3 = rotary.scaling else { return nil }
    var plain = rotary
    plain.scaling = .none
    return zip(plain.frequencies(textLength: 0), rotary.frequencies(textLength: 0)).map {
      Float($0 / $1)
    }
  }

  /// YaRN's default factor of cosines and sines.
  package static func usualAttentionFactor(yarn factor: Double) -> Double {
    RotaryEmbedding.Scaling.YaRN.magnitude(factor)
  }

  /// A scaling in the spelling of a published configuration: the one that a file names, or the one
  /// of Llama 3.1 or 3.2 if it gives the numbers in the file; otherwise those numbers.
  ///
  /// - Parameters:
  ///   - found: the scaling by the numbers in the file, as a canonical configuration spells it.
  ///   - named: the scaling that the file names.
  ///   - base: the base of the frequencies.
  ///   - width: channels of a head that turn.
  /// - Throws: `model.config`, `model.unsupported`.
  package static func scaling(
    _ found: JSONValue, named: JSONNode?, base: Double, width: Int
  ) throws(Refusal) -> JSONValue {
    let node = JSONNode(found, code: .modelConfiguration, file: named?.file)
    let scaling = try RotaryEmbedding.Scaling(node, width: width)
    let rotary = RotaryEmbedding(base: base, width: width, scaling: scaling)
    var candidates = published
    if let named { candidates.insert(try RotaryEmbedding.Scaling(named, width: width), at: 0) }
    let match = candidates.first {
      turnsAlike(rotary, RotaryEmbedding(base: base, width: width, scaling: $0))
    }
    return match?.json ?? found
  }

  /// Whether two rotations of equal width are the same within the precision of f32.
  private static func turnsAlike(_ a: RotaryEmbedding, _ b: RotaryEmbedding) -> Bool {
    func isNear(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-5 * abs(b) }
    let limits = [a, b].map { $0.scaling.lengthLimit }
    guard limits[0] == limits[1] else { return false }
    let lengths = [0] + (limits[0].map { [$0 + 1] } ?? [])
    return isNear(a.scaling.attentionFactor, b.scaling.attentionFactor)
      && lengths.allSatisfy {
        zip(a.frequencies(textLength: $0), b.frequencies(textLength: $0)).allSatisfy(isNear)
      }
  }
}
