import SextantBytes
import SextantStore
import SextantTensor

/// The sequences and tokens of a value's rows, which a model passes to a tap with the value.
public struct TapContext: Sendable {
  /// Sequences in the batch, B.
  public let batch: Int
  /// The positions of the tokens in their sequences, from 0, T of them. For the state: the token
  /// that will read it, or has left it, depending on `stateMoment`.
  public let positions: Range<Int>
  /// Whether the state is the one before or after the token; nil at the sites of tokens.
  public let stateMoment: StateMoment?
  /// The ids of the tokens at `positions` of each sequence, [B][T]; empty if they are not known.
  private let tokens: [[Int]]

  /// Describes the rows of a value.
  public init(
    batch: Int, positions: Range<Int>, stateMoment: StateMoment? = nil, tokens: [[Int]] = []
  ) {
    self.batch = batch
    self.positions = positions
    self.stateMoment = stateMoment
    self.tokens = tokens
  }

  /// The id of the token at a position of a sequence; nil if it is not known.
  public func token(sequence: Int, position: Int) -> Int? {
    tokens.isEmpty ? nil : tokens[sequence][position - positions.lowerBound]
  }

  /// The rows of a [B·T, …] value are ordered by sequence, then by position.
  public func row(sequence: Int, position: Int) -> Int {
    sequence * positions.count + position - positions.lowerBound
  }
}

/// The two moments at which a token's state can be visited.
public enum StateMoment: Sendable {
  /// Before the token reads it: the token reads the edited state.
  case before
  /// After the token wrote it, and before anything edits it for the next one.
  case after
}

/// The tokens of a run at which a tap visits the state.
///
/// Between two tokens the visits after the first come before the visits before the second, whether
/// one run reads both or each has a run of its own: the splits of a text have no effect.
public struct StateVisits: Sendable, Equatable {
  /// Positions of the tokens before which the tap visits.
  public var before: Set<Int>
  /// Positions of the tokens after which the tap visits.
  public var after: Set<Int>

  /// Visits before and after these tokens.
  public init(before: Set<Int> = [], after: Set<Int> = []) {
    self.before = before
    self.after = after
  }

  /// Whether a visit with this context is among them.
  func contains(_ context: TapContext) -> Bool {
    switch context.stateMoment {
    case .before: before.contains(context.positions.lowerBound)
    case .after: after.contains(context.positions.lowerBound)
    case nil: false
    }
  }
}

/// Reads and edits the values inside a model while it runs.
///
/// Capture and intervention are one mechanism: a run calls `visit` once per site, and continues
/// with the returned value. A tap that only reads keeps the tensor: values are copy-on-write, so
/// that it never changes later.
public protocol Tap: AnyObject {
  /// Whether the tap visits a site. Sites without a visitor cost nothing.
  func wants(_ site: Site) -> Bool

  /// Visits a site.
  ///
  /// - Parameters:
  ///   - value: [B·T, D] for the residual stream, [B·S, V] for the logits asked for, and
  ///     [B, …] for a component of the state. An edit must keep the shape.
  ///   - context: the positions of the rows; for the state the token before or after which it is
  ///     visited.
  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) throws(Refusal)

  /// The tokens, among those at `positions` of their sequences, before and after which the tap
  /// visits the state. Asked once, when a run of these tokens starts.
  func stateVisits(in positions: Range<Int>) -> StateVisits
}

extension Tap {
  /// None: the tap does not visit the state.
  public func stateVisits(in positions: Range<Int>) -> StateVisits { StateVisits() }
}

/// Several taps at every site, in order: each gets the value after the previous ones.
package final class TapChain: Tap {
  private let taps: [any Tap]
  /// The visits that each tap requested when the current run started: only those get the state.
  private var visits: [StateVisits]

  /// Chains taps.
  package init(_ taps: [any Tap]) {
    self.taps = taps
    visits = taps.map { _ in StateVisits() }
  }

  /// Whether any tap visits the site.
  package func wants(_ site: Site) -> Bool { taps.contains { $0.wants(site) } }

  /// Calls every tap that visits the site, in order.
  package func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(Refusal) {
    for (tap, visits) in zip(taps, visits) where tap.wants(site) {
      guard !site.isState || visits.contains(context) else { continue }
      try tap.visit(site, &value, context)
    }
  }

  /// The visits of all taps.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    visits = taps.map { $0.stateVisits(in: positions) }
    return visits.reduce(into: StateVisits()) { all, own in
      all.before.formUnion(own.before)
      all.after.formUnion(own.after)
    }
  }
}

/// A tap made of one closure, for a fixed set of sites.
public final class ClosureTap: Tap {
  private let sites: Set<Site>
  private let visits: (Range<Int>) -> StateVisits
  private let body: (Site, inout Tensor, TapContext) throws(Refusal) -> Void

  /// Visits `sites` with `body`, and the state at the moments of `stateVisits`.
  public init(
    _ sites: Set<Site>,
    stateVisits: @escaping (_ positions: Range<Int>) -> StateVisits = { _ in StateVisits() },
    _ body: @escaping (Site, inout Tensor, TapContext) throws(Refusal) -> Void
  ) {
    self.sites = sites
    visits = stateVisits
    self.body = body
  }

  /// Whether the site is in the set.
  public func wants(_ site: Site) -> Bool { sites.contains(site) }

  /// Calls the closure.
  public func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(Refusal) {
    try body(site, &value, context)
  }

  /// The visits given.
  public func stateVisits(in positions: Range<Int>) -> StateVisits { visits(positions) }
}
