import SextantBytes

/// Text of a model, as a terminal may show it.
package enum TerminalText {
  /// Text without the control characters that a terminal would act on, except line feeds and tabs.
  package static func harmless(_ text: String) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let isControl = scalar.properties.generalCategory == .control
      shown.append(isControl && scalar != "\n" && scalar != "\t" ? "\u{FFFD}" : scalar)
    }
    return String(shown)
  }

  /// Text in a colour from blue over white to red, in the 24-bit colours of ECMA-48 terminals.
  ///
  /// - Parameter tint: from -1 (blue) to 1 (red), finite.
  package static func tinted(_ text: String, _ tint: Double) -> String {
    let faded = Int(clamping: 255 * (1 - min(abs(tint), 1)))
    let (red, blue) = tint > 0 ? (255, faded) : (faded, 255)
    return "\u{1B}[38;2;\(red);\(faded);\(blue)m\(text)\u{1B}[0m"
  }

  /// Text on a ground of this colour, in the 24-bit colours of ECMA-48 terminals.
  package static func onGround(_ text: String, _ colour: Colour) -> String {
    let (red, green, blue) = colour.bytes
    let ink = colour.prefersBlackText ? "0;0;0" : "255;255;255"
    return "\u{1B}[48;2;\(red);\(green);\(blue)m\u{1B}[38;2;\(ink)m\(text)\u{1B}[0m"
  }
}
