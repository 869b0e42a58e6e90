import SextantArtifacts
import SextantBytes

/// How a probe's direction is found (the names of elk-generalization).
public enum ProbeMethod: String, Sendable, CaseIterable {
  /// Logistic regression: mean cross-entropy plus 1e-3 ‖w‖², the bias free.
  case logistic = "lr"
  /// The unit vector along the difference of the class means.
  case meanDifference = "mean-diff"
  /// Linear discriminant analysis: S⁺ (μ₁ - μ₀), S the covariance within the classes.
  case discriminant = "lda"
  /// The direction of largest variance, found without labels.
  case principal = "pca"
  /// A random direction, the result of chance.
  case random
  /// Logistic regression on the activations after both choices.
  case logisticOnPair = "lr-on-pair"
  /// The difference of means on the activations after both choices.
  case meanDifferenceOnPair = "mean-diff-on-pair"
  /// Linear discriminant analysis on the activations after both choices.
  case discriminantOnPair = "lda-on-pair"
  /// Contrast-consistent search (Burns et al., arXiv 2212.03827), without labels.
  case consistentSearch = "ccs"
  /// Contrastive representation clustering: the first principal component of the differences.
  case clustering = "crc"
  /// The variance, invariance and negative covariance of EleutherAI's elk, without labels.
  case negativeCovariance = "vinc"

  /// The methods that are trained if none are named.
  package static let usual: [ProbeMethod] = [.logistic, .meanDifference, .discriminant]

  /// Reads names joined by commas; `all` is every method.
  ///
  /// - Throws: `usage.option` for a name of no method, and for a method that is named twice.
  package static func list(_ text: String) throws(Refusal) -> [ProbeMethod] {
    if text == "all" { return allCases }
    var methods: [ProbeMethod] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let method = ProbeMethod(rawValue: String(word)) else {
        throw Refusal(
          .usageOption, found: "\"\(word.prefix(100))\"",
          expected: "all, or some of \(allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard !methods.contains(method) else {
        throw Refusal(.usageOption, found: "\(word) twice", expected: "each method once")
      }
      methods.append(method)
    }
    return methods
  }

  /// The values that probes of this method read.
  public var input: ProbeEntry.Input {
    switch self {
    case .logistic, .meanDifference, .discriminant, .principal, .random: .single
    case .logisticOnPair, .meanDifferenceOnPair, .discriminantOnPair: .joined
    case .consistentSearch, .clustering, .negativeCovariance: .difference
    }
  }

  /// The methods that need contrast pairs.
  public var needsPairs: Bool { input != .single }

  /// The methods whose result depends on the seed.
  package var usesRandomNumbers: Bool { self == .random || self == .consistentSearch }

  /// The methods that need a covariance matrix.
  var needsCovariance: Bool {
    switch self {
    case .discriminant, .discriminantOnPair, .principal, .consistentSearch, .clustering,
      .negativeCovariance:
      true
    default: false
    }
  }
}
