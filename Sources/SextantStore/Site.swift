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
    case .finalNorm: "final_norm"
    case .logits: "logits"
    case .input(let block), .part(let block, _), .output(let block), .state(let block, _):
      "blocks.\(block).\(place)"
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

  /// The site without its block, such as `output` or `state.ssm`; the name of a site around the
  /// blocks.
  package var place: String {
    switch self {
    case .input: "input"
    case .output: "output"
    case .part(_, let name): name
    case .state(_, let component): "state.\(component)"
    case .embedding, .finalNorm, .logits: name
    }
  }

  /// The name with `*` for the block, which stands for the place in every block.
  package var pattern: String { block == nil ? name : "blocks.*.\(place)" }

  /// The part of a block's output that comes from the recurrent state alone: the value that the
  /// mixing would add to the stream if the token reached its own output through the state alone.
  ///
  /// Shown to taps, and not used otherwise. Shape per token: [D].
  public static func memory(block: Int) -> Site { .part(block: block, name: "memory") }

  /// The scores that a block's router gives to experts, before the choice.
  ///
  /// Shown to taps, and not used otherwise. Shape per token: [experts].
  public static func router(block: Int) -> Site { .part(block: block, name: "router") }

  /// Whether the site is a component of the recurrent state.
  public var isState: Bool {
    if case .state = self { true } else { false }
  }
}

extension Site: CustomStringConvertible {
  /// The site's name.
  public var description: String { name }
}
