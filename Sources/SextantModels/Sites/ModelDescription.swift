import SextantBytes
import SextantStore
import SextantTensor

/// The description of a model, sufficient to check an artifact against it.
public struct ModelDescription: Sendable {
  /// The architecture's name, such as `mamba`.
  public let architecture: String
  /// The width of the residual stream, D.
  public let width: Int
  /// Rows of the embedding, V. Ids that the tokenizer does not use may be among them.
  public let vocabularySize: Int
  /// The model's identity: the digest of architecture, configuration and source weights.
  public let identity: Digest
  /// How the weights are stored: `source`, or the type that they were converted to.
  public let variant: String
  /// What each block consists of.
  package let blocks: [BlockDescription]
  /// The length of the texts that the model was made for; nil if it has no limit.
  package var context: ContextLimit? = nil
  /// The length of a text above which the rotation of all its tokens depends on its length; nil if
  /// it never does.
  public var rotationLength: Int? = nil

  /// The number of blocks, L.
  public var layerCount: Int { blocks.count }

  /// The components of the state, block by block.
  package var stateLayout: [[StateComponent]] { blocks.map(\.state) }

  /// The reference of artifacts to the model, if its text is encoded by this tokenizer.
  public func reference(tokenizer: Digest?) -> ModelReference {
    ModelReference(
      architecture: architecture, identity: identity, weights: variant, width: width,
      layerCount: layerCount, tokenizer: tokenizer)
  }

  /// Every site, in the order in which a run visits them.
  public var sites: [SiteDescription] {
    let residual = { (site: Site) in SiteDescription(site: site, shape: [width], axes: ["channel"])
    }
    var sites = [residual(.embedding)]
    for (block, content) in blocks.enumerated() {
      sites.append(residual(.input(block: block)))
      for part in content.parts {
        if let count = part.expertCount {
          sites.append(
            SiteDescription(
              site: .router(block: block), shape: [count], axes: ["expert"], isReadOnly: true))
        }
        sites.append(residual(.part(block: block, name: part.name)))
      }
      sites.append(residual(.output(block: block)))
      sites += content.state.map {
        SiteDescription(
          site: .state(block: block, component: $0.name), shape: $0.shape, axes: $0.axes,
          grows: $0.grows)
      }
    }
    sites.append(residual(.finalNorm))
    sites.append(SiteDescription(site: .logits, shape: [vocabularySize], axes: ["token"]))
    return sites
  }

  /// What an edit of the recurrent state does not reach, as a sentence for reports; nil if it reaches
  /// all that the model remembers, or if the model has no recurrent state.
  package var untouchedByStateEdits: String? {
    let attending = blocks.count { $0.state.contains(where: \.grows) }
    guard attending > 0, blocks.contains(where: { $0.state.contains { !$0.grows } }) else {
      return nil
    }
    return "the keys and values of \(counted(attending, "block")) are as without the edits of the "
      + "state: their attention still reads the unedited tokens"
  }

  /// The memories of the blocks that have one.
  public var memorySites: [SiteDescription] {
    blocks.indices.filter { blocks[$0].hasMemory }.map {
      SiteDescription(
        site: .memory(block: $0), shape: [width], axes: ["channel"], isReadOnly: true)
    }
  }
}

/// A block of a model: what it adds to the stream, and what it remembers. The blocks of a model may
/// differ.
package struct BlockDescription: Sendable, Equatable {
  /// The parts, in the order in which they add to the stream.
  package let parts: [PartDescription]

  /// Describes a block.
  package init(parts: [PartDescription]) { self.parts = parts }

  /// The components of the state of all parts.
  package var state: [StateComponent] { parts.flatMap(\.state) }

  /// Whether the block has a memory site.
  package var hasMemory: Bool { parts.contains { $0.hasMemory } }
}

/// A part of a block.
package struct PartDescription: Sendable, Equatable {
  /// The name, as in `blocks.<i>.<name>`.
  package let name: String
  /// The components of the state that the part reads and writes.
  package let state: [StateComponent]
  /// Whether the part can show what it reads from its state alone: the block's memory.
  package let hasMemory: Bool
  /// The number of experts among which a router chooses; nil if the part has none.
  package let expertCount: Int?

  /// Describes a part.
  package init(
    name: String, state: [StateComponent] = [], hasMemory: Bool = false, expertCount: Int? = nil
  ) {
    self.name = name
    self.state = state
    self.hasMemory = hasMemory
    self.expertCount = expertCount
  }
}
