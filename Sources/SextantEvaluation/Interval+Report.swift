import SextantBytes
import SextantReport

extension Interval {
  /// The ends for programs; null if they are not known.
  package var json: JSONValue {
    isKnown ? [JSONValue(finite: low), JSONValue(finite: high)] : .null
  }

  /// The ends for people.
  package func text(_ digits: Int = 3) -> String {
    isKnown ? "\(Format.fixed(low, digits)) to \(Format.fixed(high, digits))" : "unknown"
  }
}
