import SextantAnalysis
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// The activations of a model at some sites, from one text.
///
///     let seen = try model.record(["blocks.3.output", "blocks.*.state.ssm"], reading: "The film was")
///     let output = try seen["blocks.3.output"]  // [T, D]
///     for (piece, id) in zip(seen.pieces, seen.tokens) { print(id, piece) }
///
/// Shapes, for a text of T tokens: [T, D] at `embedding`, `final_norm` and in the residual stream of blocks,
/// and [T, V] at `logits`. A component of the state has its own shape (`formats/sites.md`), after the last
/// token; recorded after each token it has [T] before that shape. Keys and values of attention have a row
/// for each token in both cases, those of the state that the run started from included.
public struct Recording: Sendable {
  /// The ids that were read, T of them, with those that begin a text.
  public let tokens: [Int]
  /// The text that each token adds; empty for a model without a tokenizer.
  public let pieces: [String]
  /// The sites, in the order in which a run visits them.
  public let sites: [Site]
  /// The state after the last token.
  public let state: State
  private let values: [Site: Tensor]

  fileprivate init(
    _ tokens: [Int], _ tokenizer: (any Tokenizer)?, _ sites: [Site], _ state: State,
    _ values: [Site: Tensor]
  ) {
    self.tokens = tokens
    self.sites = sites
    self.state = state
    self.values = values
    var decoder = tokenizer.map { StreamingDecoder($0) }
    pieces = tokens.compactMap { decoder?.append($0) }
  }

  /// The values of a site.
  ///
  /// - Throws: `artifact.site` for a site that was not recorded.
  public subscript(site: Site) -> Tensor {
    get throws(Refusal) { try self[site.name] }
  }

  /// The values of the site of that name.
  ///
  /// - Throws: `artifact.site` for a site that was not recorded.
  public subscript(name: String) -> Tensor {
    get throws(Refusal) {
      guard let value = Site(name: name).flatMap({ values[$0] }) else {
        throw Refusal(
          .artifactSite, found: "\"\(name)\"",
          expected: "a site that was recorded: \(sites.map(\.name).joined(separator: ", "))",
          remedy: "Name the site when you record.")
      }
      return value
    }
  }
}

extension LoadedModel {
  /// Records activations at some sites while the model reads a text.
  ///
  /// - Parameters:
  ///   - patterns: names of sites such as `blocks.3.output`, names with `*` for every block, `residual`
  ///     (the output of every block), `state` (every component of the state) or `all` (both).
  ///   - layers: the blocks to keep; nil keeps all.
  ///   - moments: record states after the `last` token, or after `each` one.
  ///   - interventions: the items that edit the run. Values are recorded after the edits.
  ///   - state: the state to continue from; nil for the beginning of a text. Keys and values then have
  ///     the rows of its tokens, too.
  /// - Throws: `artifact.site` for a pattern that selects nothing, and for keys and values after
  ///   each token; `data.record` for a text without tokens; `system.memory` for values that do not
  ///   fit into memory, before anything runs; the errors of `Interventions`; `model.*`.
  public func record(
    _ patterns: [String], reading text: String, layers: ClosedRange<Int>? = nil,
    statesAfter moments: CaptureReader.StateMoments = .last, with interventions: Interventions = [],
    from state: State? = nil
  ) throws(Refusal) -> Recording {
    try record(
      patterns, reading: ids(of: text, continuing: state), layers: layers, statesAfter: moments,
      with: interventions, from: state)
  }

  /// Records activations while the model reads token ids.
  ///
  /// - Throws: as for a text.
  public func record(
    _ patterns: [String], reading tokens: [Int], layers: ClosedRange<Int>? = nil,
    statesAfter moments: CaptureReader.StateMoments = .last, with interventions: Interventions = [],
    from state: State? = nil
  ) throws(Refusal) -> Recording {
    let sites = try sites(patterns, layers: layers)
    var state = state ?? model.initialState()
    let editor = try editor(interventions, of: tokens, from: state, for: "a recording")
    let values = try CaptureReader(model, sites: sites).values(
      of: tokens, from: &state, statesAfter: moments, editing: editor)
    return Recording(tokens, tokenizer, sites.map(\.site), state, values)
  }
}
