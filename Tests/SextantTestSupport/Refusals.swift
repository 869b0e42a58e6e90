import SextantBytes
import Testing

/// Checks that `body` refuses with `code`, and returns the refusal for further checks.
@discardableResult
package func expectRefusal<Result>(
  _ code: Refusal.Code, _ comment: Comment? = nil, fileID: String = #fileID,
  filePath: String = #filePath, line: Int = #line, column: Int = #column,
  _ body: () throws -> Result
) -> Refusal? {
  let location = SourceLocation(
    fileID: fileID, filePath: filePath, line: line, column: column)
  let note = comment.map { "\($0.rawValue): " } ?? ""
  do {
    _ = try body()
    Issue.record("\(note)accepted, expected \(code.rawValue)", sourceLocation: location)
    return nil
  } catch let refusal as Refusal {
    if refusal.code != code {
      Issue.record("\(note)expected \(code.rawValue), got \(refusal)", sourceLocation: location)
    }
    return refusal
  } catch {
    Issue.record("\(note)expected \(code.rawValue), got \(error)", sourceLocation: location)
    return nil
  }
}
