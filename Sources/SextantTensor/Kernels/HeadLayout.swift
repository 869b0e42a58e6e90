/// The layout of a state of matrices, one for each sequence and head, and how its work is split.
struct HeadLayout {
  let batch, steps, heads: Int
  /// Rows and columns of a head's matrix.
  let height, width: Int

  /// Elements of one sequence's state.
  var stateSize: Int { heads * height * width }

  /// `x` is `[B·T, …]`, `state` `[B, H, height, width]`.
  init(_ x: some MatrixRows, _ state: Tensor) {
    let shape = state.shape
    precondition(
      shape.count == 4 && (shape[0] == 0 ? x.rowCount == 0 : x.rowCount % shape[0] == 0),
      "\(x.rowCount) rows, state \(shape)")
    (batch, heads, height, width) = (shape[0], shape[1], shape[2], shape[3])
    steps = batch == 0 ? 0 : x.rowCount / batch
  }

  /// Calls `body` with a sequence and some of its heads until all had their turn.
  func split(_ pool: WorkerPool, _ body: @Sendable (_ sequence: Int, _ heads: Range<Int>) -> Void) {
    let grain = min(max(65_536 / max(steps * height * width, 1), 1), max(heads, 1))
    let chunks = (heads + grain - 1) / grain
    pool.forEach(batch * chunks) { index in
      let first = index % chunks * grain
      body(index / chunks, first..<min(first + grain, heads))
    }
  }
}
