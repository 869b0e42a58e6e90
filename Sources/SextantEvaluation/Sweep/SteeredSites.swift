import SextantBytes
import SextantModels
import SextantStore

/// Which of a block's sites a sweep steers together.
public enum SteeredSites: Sendable, Hashable, CustomStringConvertible {
  /// The residual stream after the block.
  case residual
  /// Every component of the block's state.
  case state
  /// Both.
  case both
  /// One component of the state.
  case component(String)

  /// Reads the written form: `residual`, `state`, `both`, or the name of a component.
  public init(_ word: String) {
    switch word {
    case "residual": self = .residual
    case "state": self = .state
    case "both": self = .both
    default: self = .component(word)
    }
  }

  /// The written form.
  public var description: String {
    switch self {
    case .residual: "residual"
    case .state: "state"
    case .both: "both"
    case .component(let name): name
    }
  }

  /// The sets that a vector must all have something for.
  var parts: [SteeredSites] { self == .both ? [.residual, .state] : [self] }

  /// Whether a site inside a block is among them.
  package func includes(_ site: Site) -> Bool {
    switch (self, site) {
    case (.residual, .output), (.both, .output): true
    case (.state, .state), (.both, .state): true
    case (.component(let name), .state(_, let own)): name == own
    default: false
    }
  }
}
