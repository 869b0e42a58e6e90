import SextantBytes
import SextantTensor

/// One run through a model, as an architecture's forward pass sees it: what stands between the
/// values and the tap, and what all architectures do alike after their last block.
struct Pass {
  private let tap: (any Tap)?
  private let context: TapContext

  /// A run of `tokens` that starts at `position`.
  init(_ tokens: TokenBatch, at position: Int, _ tap: (any Tap)?) {
    self.tap = tap
    context = TapContext(
      batch: tokens.batch, positions: position..<position + tokens.length,
      tokens: tokens.sequences)
  }

  private init(_ tap: (any Tap)?, _ context: TapContext) {
    self.tap = tap
    self.context = context
  }

  /// Shows a value to the tap, if it wants the site.
  func visit(_ site: Site, _ value: inout Tensor) throws(FormatError) {
    guard let tap, tap.wants(site) else { return }
    let shape = value.shape
    try tap.visit(site, &value, context)
    guard value.shape == shape, value.dataType == .f32 else {
      throw FormatError(
        .modelState, at: .tensor(site.name), found: "a tap made \(value.shape)",
        expected: "F32 \(shape)")
    }
  }

  /// The final norm and the head.
  ///
  /// The norm is taken of every position when the tap wants to see it, else of those that need
  /// logits only.
  ///
  /// - Parameters:
  ///   - residual: [B·T, D], what leaves the last block.
  ///   - head: [V, D].
  ///   - scale: what the logits are multiplied by.
  ///   - finalNorm: [rows, D] to [rows, D].
  /// - Returns: [B·S, V].
  func logits(
    of residual: Tensor, _ selection: LogitSelection, head: Tensor, scale: Float = 1,
    finalNorm: (Tensor) -> Tensor
  ) throws(FormatError) -> Tensor {
    let length = context.positions.count
    let showsNorm = tap?.wants(.finalNorm) ?? false
    var normed = residual
    if showsNorm {
      normed = finalNorm(residual)  // [B·T, D]
      try visit(.finalNorm, &normed)
    }
    var place = context
    switch selection {
    case .none: return Tensor(zeros: [0, head.shape[0]])
    case .all: break
    case .last:
      let rows = (0..<context.batch).map { $0 * length + length - 1 }
      normed = Tensor.concatenated(rows.map { normed.rows($0..<$0 + 1) })  // [B, D]
      place = TapContext(
        batch: context.batch, positions: context.positions.suffix(1))
    }
    if !showsNorm { normed = finalNorm(normed) }  // [B·S, D]
    var logits = Linear.apply(normed, weight: head)  // [B·S, V]
    if scale != 1 { Kernels.scale(&logits, by: scale) }
    try Pass(tap, place).visit(.logits, &logits)
    return logits
  }
}
