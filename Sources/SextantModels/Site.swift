import SextantStore

/// A named point of a model where a tap reads or writes (`formats/sites.md`).
///
/// Blocks are counted from 0, everywhere. The residual stream is the one that the published
/// weights define, with no rescaling.
public enum Site: Hashable, Sendable {
  /// The token embeddings, before the first block. Shape per token: [D].
  case embedding
  /// The residual stream that enters a block. Shape per token: [D].
  case input(block: Int)
  /// The addition of a part of a block, such as `mixer`, to the residual stream. Shape per token:
  /// [D].
  case part(block: Int, name: String)
  /// The residual stream that leaves a block. Shape per token: [D].
  case output(block: Int)
  /// A component of a block's recurrent state, between two tokens. Shape: the component's.
  case state(block: Int, component: String)
  /// The residual stream after the last block and the final norm. Shape per token: [D].
  case finalNorm
  /// The logits. Shape per token: [V].
  case logits

  /// The name, such as `blocks.3.output` or `blocks.3.state.ssm`.
  public var name: String {
    switch self {
    case .embedding: "embedding"
    case .input(let block): "blocks.\(block).input"
    case .part(let block, let name): "blocks.\(block).\(name)"
    case .output(let block): "blocks.\(block).output"
    case .state(let block, let component): "blocks.\(block).state.\(component)"
    case .finalNorm: "final_norm"
    case .logits: "logits"
    }
  }

  /// The site of that name, or nil when the name is none.
  public init?(name: String) {
    let fields = name.split(separator: ".", omittingEmptySubsequences: false)
    switch fields.count {
    case 1:
      switch name {
      case "embedding": self = .embedding
      case "final_norm": self = .finalNorm
      case "logits": self = .logits
      default: return nil
      }
    case 3, 4:
      guard fields[0] == "blocks", let block = Int(fields[1]), block >= 0,
        String(block) == fields[1], let last = fields.last, !last.isEmpty
      else { return nil }
      if fields.count == 4 {
        guard fields[2] == "state" else { return nil }
        self = .state(block: block, component: String(last))
      } else {
        switch last {
        case "input": self = .input(block: block)
        case "output": self = .output(block: block)
        case "state": return nil
        default: self = .part(block: block, name: String(last))
        }
      }
    default: return nil
    }
  }

  /// The block that the site belongs to, or nil for the sites around the blocks.
  public var block: Int? {
    switch self {
    case .input(let block), .output(let block), .part(let block, _), .state(let block, _): block
    case .embedding, .finalNorm, .logits: nil
    }
  }

  /// Whether the site is a component of the recurrent state.
  public var isState: Bool {
    if case .state = self { true } else { false }
  }
}

extension Site: CustomStringConvertible {
  /// The site's name.
  public var description: String { name }
}

/// A site with the shape of its value and the meaning of the axes.
public struct SiteDescription: Sendable, Equatable {
  /// The site.
  public let site: Site
  /// The shape of one token's value, or of one sequence's state component; of one position of a
  /// component that grows.
  public let shape: [Int]
  /// The meaning of each axis, such as `["channel", "state"]`.
  public let axes: [String]
  /// Whether the site is a state component that grows by `shape` with each position.
  public let grows: Bool

  /// Describes a site.
  public init(site: Site, shape: [Int], axes: [String], grows: Bool = false) {
    self.site = site
    self.shape = shape
    self.axes = axes
    self.grows = grows
  }

  /// Elements of one value.
  public var elementCount: Int { shape.reduce(1, *) }

  /// How artifacts refer to the site, or to one position of a component that grows.
  public var reference: SiteReference {
    SiteReference(name: site.name, shape: shape, axes: axes)
  }

  /// The reference of artifacts to the whole site; a component that grows has this number of
  /// positions.
  public func reference(positions: Int) -> SiteReference {
    grows
      ? SiteReference(
        name: site.name, shape: [positions] + shape, axes: [SiteReference.positionAxis] + axes)
      : reference
  }
}
