import SextantBytes
import SextantStore
import SextantTensor

/// One run through a model for its blocks: it passes values between them and the tap.
public struct Pass {
  private let tap: (any Tap)?
  private let context: TapContext

  /// A run of the tokens of a stream.
  init(_ stream: BlockStream, _ tap: (any Tap)?) {
    self.init(
      tap,
      TapContext(
        batch: stream.batch, positions: stream.positions(), tokens: stream.tokens.sequences))
  }

  private init(_ tap: (any Tap)?, _ context: TapContext) {
    self.tap = tap
    self.context = context
  }

  /// Shows a value to the tap, if it visits the site.
  func visit(_ site: Site, _ value: inout Tensor) throws(Refusal) {
    guard let tap, tap.wants(site) else { return }
    let shape = value.shape
    try tap.visit(site, &value, context)
    try Self.check(value, at: site, shape)
  }

  /// Refuses a value of another shape or type than the one that a tap was shown.
  static func check(_ value: Tensor, at site: Site, _ shape: [Int]) throws(Refusal) {
    guard value.shape == shape, value.dataType == .f32 else {
      throw Refusal(
        .modelState, at: .tensor(site.name), found: "a tap made \(value.shape)",
        expected: "F32 \(shape)")
    }
  }

  /// Shows the tap the output of a part of a block, [B·T, D], and adds it to the stream.
  func add(
    _ value: Tensor, of part: String, in block: Int, to stream: inout BlockStream
  ) throws(Refusal) {
    var value = value
    try visit(.part(block: block, name: part), &value)
    Kernels.add(value, to: &stream.residual)
  }

  /// Shows the tap a value that the run does not use otherwise, such as [B·T, D], if it visits this
  /// site.
  ///
  /// - Parameter value: computes it; nil if a part has no such value.
  /// - Throws: `artifact.site` if the tap edits it; the errors of the tap.
  func show(_ site: Site, _ value: () -> Tensor?) throws(Refusal) {
    guard let tap, tap.wants(site), let value = value() else { return }
    var shown = value
    try visit(site, &shown)
    guard shown == value else { throw Refusal(readOnly: site) }
  }

  /// The final norm and the head.
  ///
  /// The norm is computed at every position if the tap visits it, else only at those that need
  /// logits.
  ///
  /// - Parameters:
  ///   - residual: [B·T, D], the output of the last block.
  /// - Returns: [B·S, V].
  func logits(
    of residual: Tensor, _ selection: LogitSelection, _ readout: Readout
  ) throws(Refusal) -> Tensor {
    let length = context.positions.count
    let showsNorm = tap?.wants(.finalNorm) ?? false
    var normed = residual
    if showsNorm {
      normed = readout.norm(residual)  // [B·T, D]
      try visit(.finalNorm, &normed)
    }
    var place = context  // of the rows that get logits
    switch selection {
    case .none: return Tensor(zeros: [0, readout.head.shape[0]])
    case .all: break
    case .last:
      let rows = (0..<context.batch).map { $0 * length + length - 1 }
      normed = Tensor.concatenated(rows.map { normed.rows($0..<$0 + 1) })  // [B, D]
      place = TapContext(
        batch: context.batch, positions: context.positions.suffix(1))
    }
    if !showsNorm { normed = readout.norm(normed) }  // [B·S, D]
    var logits = readout.logits(normed: normed)  // [B·S, V]
    try Pass(tap, place).visit(.logits, &logits)
    return logits
  }
}
