import Glibc
import SextantBytes

extension HalfLife {
  /// The remaining share of an edit, token by token.
  public struct Curve: Sendable, Equatable {
    /// The share that is left after 0, 1, 2, … tokens; the first is 1.
    public let shares: [Double]

    /// A curve of shares.
    public init(_ shares: [Double]) {
      self.shares = shares
    }

    /// The mean of several curves, position by position.
    init(meanOf curves: [HalfLife.Curve]) {
      let length = curves.map(\.shares.count).min() ?? 0
      shares = (0..<length).map { place in
        curves.reduce(0) { $0 + $1.shares[place] } / Double(curves.count)
      }
    }

    /// The number of tokens after which half is left, interpolated exponentially between two tokens;
    /// nil if more than half is left at the end.
    public var halfLife: Double? {
      for place in shares.indices.dropFirst() where shares[place] <= 0.5 {
        let (before, after) = (shares[place - 1], shares[place])
        // A curve that ends at once has no rate: then a straight line.
        let part =
          after > 0 ? log(before / 0.5) / log(before / after) : (before - 0.5) / (before - after)
        return Double(place - 1) + part
      }
      return nil
    }

    /// The number of tokens after which to repeat the edit, so that at least half of it is always there.
    public var reinjectionInterval: Int? {
      halfLife.map { max(1, Int(clamping: $0)) }
    }
  }
}
