import SextantBytes
import Testing

/// Expects that work is refused because of the memory that it needs. The refusal contains the
/// amount. The same check must accept the work if this amount is available.
///
/// - Parameters:
///   - what: the purpose of the memory, in the words of the refusal.
///   - work: the work; it must record an issue if it continues after the check.
package func expectMemoryRefusal(
  _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ work: () throws -> Void
) {
  let refusal = MemoryBudget.$taskLimit.withValue(0) {
    expectRefusal(.systemMemory) { try work() }
  }
  let parts = refusal?.found.split(separator: " ", maxSplits: 3).map(String.init) ?? []
  guard parts.count == 4, let need = Int(parts[0]), need > 0 else {
    Issue.record("no figure: \(String(describing: refusal))", sourceLocation: sourceLocation)
    return
  }
  #expect(parts[3] == what, sourceLocation: sourceLocation)
  let short = MemoryBudget.$taskLimit.withValue(need - 1) {
    expectRefusal(.systemMemory) { try work() }
  }
  #expect(short?.found == refusal?.found, sourceLocation: sourceLocation)
  #expect(
    short?.expected.hasPrefix("at most \(need - 1) bytes") == true, sourceLocation: sourceLocation)
}
