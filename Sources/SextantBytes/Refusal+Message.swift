extension Refusal: CustomStringConvertible {
  /// The refusal in one line per fact, file first and remedy last.
  public var description: String {
    var head = ""
    if let file { head += "\(printable(file)): " }
    head += code.summary
    if let place { head += " (\(place))" }
    head += " [\(code.rawValue)]"
    return """
      \(head)
        found:    \(printable(found))
        expected: \(printable(expected))
        remedy:   \(printable(remedy, limit: 1_000))
      """
  }
}

extension Refusal.Place: CustomStringConvertible {
  /// The place in words.
  public var description: String {
    switch self {
    case .offset(let offset): "at byte \(offset)"
    case .tensor(let name): "tensor \"\(printable(name))\""
    case .pointer(let pointer): "at \(pointer.isEmpty ? "/" : printable(pointer))"
    case .line(let line): "line \(line)"
    case .parameter(let name): "parameter \(name)"
    case .option(let option): "option \(option)"
    case .key(let key): "key \(printable(key))"
    }
  }
}

/// Text from a hostile file, made safe to print: control characters are escaped, length is bounded.
///
/// A terminal acts on escape sequences, so that a tensor's name must not reach it raw.
package func printable(_ text: String, limit: Int = 400) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit { return result + "…" }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default:
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}
