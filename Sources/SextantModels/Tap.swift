import SextantBytes
import SextantTensor

/// What a model shows to a tap beside a value: which sequences and tokens its rows belong to.
public struct TapContext: Sendable {
  /// Sequences in the batch, B.
  public let batch: Int
  /// The positions of the tokens in their sequences, from 0, T of them.
  public let positions: Range<Int>

  /// The rows of a [B·T, …] value are ordered by sequence, then by position.
  public func row(sequence: Int, position: Int) -> Int {
    sequence * positions.count + position - positions.lowerBound
  }
}

/// What reads and edits the values inside a model while it runs.
///
/// Capture and intervention are one mechanism: a run calls `visit` once per site, and computes on
/// with whatever it gets back. A tap that only reads keeps the tensor: values are
/// copy-on-write, so that nothing changes behind its back.
public protocol Tap: AnyObject {
  /// Whether the tap wants to visit a site. Sites that nobody wants cost nothing.
  func wants(_ site: Site) -> Bool

  /// Visits a site.
  ///
  /// - Parameters:
  ///   - value: [B·T, D] for the residual stream, [B·S, V] for the logits asked for, and
  ///     [B, …] for a component of the state. An edit must keep the shape.
  ///   - context: the positions of the rows; for the state an empty range at the position of the
  ///     token that will read it next.
  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) throws(FormatError)

  /// The positions, among `range`, of tokens before which the tap must see the state.
  ///
  /// A run from position s to e offers s+1 … e, and 0 where s is 0, so that each place between
  /// two tokens is offered once, however a text is cut into runs. The state at e is the one that
  /// the run leaves.
  func stateStops(in range: ClosedRange<Int>) -> [Int]
}

extension Tap {
  /// No stops: the tap does not want the state.
  public func stateStops(in range: ClosedRange<Int>) -> [Int] { [] }
}

/// Several taps at every site, in order: each sees what the ones before it made of the value.
public final class TapChain: Tap {
  private let taps: [any Tap]

  /// Chains taps.
  public init(_ taps: [any Tap]) {
    self.taps = taps
  }

  /// Whether any tap wants the site.
  public func wants(_ site: Site) -> Bool { taps.contains { $0.wants(site) } }

  /// Lets every tap that wants the site visit it, in order.
  public func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(FormatError) {
    for tap in taps where tap.wants(site) { try tap.visit(site, &value, context) }
  }

  /// The stops of all taps.
  public func stateStops(in range: ClosedRange<Int>) -> [Int] {
    Array(Set(taps.flatMap { $0.stateStops(in: range) })).sorted()
  }
}

/// A tap made of one closure, for a fixed set of sites.
public final class ClosureTap: Tap {
  private let sites: Set<Site>
  private let stops: (ClosedRange<Int>) -> [Int]
  private let body: (Site, inout Tensor, TapContext) throws(FormatError) -> Void

  /// Visits `sites` with `body`, and the state where `stops` says.
  public init(
    _ sites: Set<Site>, stops: @escaping (ClosedRange<Int>) -> [Int] = { _ in [] },
    _ body: @escaping (Site, inout Tensor, TapContext) throws(FormatError) -> Void
  ) {
    self.sites = sites
    self.stops = stops
    self.body = body
  }

  /// Whether the site is in the set.
  public func wants(_ site: Site) -> Bool { sites.contains(site) }

  /// Calls the closure.
  public func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(FormatError) {
    try body(site, &value, context)
  }

  /// The stops given.
  public func stateStops(in range: ClosedRange<Int>) -> [Int] { stops(range) }
}
