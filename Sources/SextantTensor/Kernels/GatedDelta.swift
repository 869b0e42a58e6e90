import CSextantKernels

extension Kernels {
  /// The gated delta rule (arXiv 2412.06464): each head keeps a matrix of keys by values, which fades,
  /// and replaces the value of a key in it.
  ///
  /// S = diag(decay) · S, then S = S + k ⊗ beta · (v - Sᵀ k), then y = scale · Sᵀ q.
  ///
  /// The H heads of values share the G heads of queries and keys evenly: head h reads key head
  /// h / (H / G). K, the width of a key, and V, the width of a value, may differ. A decay for each key
  /// is that of Kimi Delta Attention (arXiv 2510.26692).
  ///
  /// - Parameters:
  ///   - q: `[B·T, G·K]`, ordered by sequence, then by time.
  ///   - k: `[B·T, G·K]`, usually of length 1 in each head.
  ///   - v: `[B·T, H·V]`.
  ///   - decay: `[B·T, H]`, or `[B·T, H·K]` with one for each key; from 0 to 1.
  ///   - beta: `[B·T, H]`, the rate at which a value is replaced; from 0 to 1 or 2.
  ///   - scale: the factor of y, usually 1 / √K.
  ///   - state: S, `[B, H, K, V]`: head, key, value. Its bits and those of y do not depend on how T is
  ///     split into calls.
  /// - Returns: `[B·T, H·V]`.
  package static func gatedDelta(
    q: some MatrixRows, k: some MatrixRows, v: some MatrixRows, decay: some MatrixRows,
    beta: some MatrixRows, scale: Float, state: inout Tensor, pool: WorkerPool = .shared
  ) -> Tensor {
    let layout = HeadLayout(v, state)
    let (rows, heads, keys, values) = (v.rowCount, layout.heads, layout.height, layout.width)
    let keyHeads = q.columnCount / max(keys, 1)
    let decayWidth = decay.columnCount / max(heads, 1)
    precondition(
      q.columnCount == keyHeads * keys && keyHeads >= 1 && heads % keyHeads == 0
        && k.columnCount == q.columnCount && v.columnCount == heads * values
        && (decayWidth == 1 || decayWidth == keys) && decay.columnCount == heads * decayWidth
        && beta.columnCount == heads && q.rowCount == rows && k.rowCount == rows
        && decay.rowCount == rows && beta.rowCount == rows,
      "q [\(q.rowCount), \(q.columnCount)], v [\(rows), \(v.columnCount)], state \(state.shape)")
    var y = Tensor(unfilled: [rows, heads * values])  // [B·T, H·V]
    let kernel = table.gated_delta
    state.withMutableRows { state in
      y.withMutableRows { y in
        withRows(q, k, v) { q, k, v in
          withRows(decay, beta) { decay, beta in
            nonisolated(unsafe) let job = sxk_gated_delta(
              state: state, q: q.first, q_stride: q.stride, k: k.first, k_stride: k.stride,
              v: v.first, v_stride: v.stride, decay: decay.first, decay_stride: decay.stride,
              beta: beta.first, beta_stride: beta.stride, y: y, y_stride: heads * values,
              t: layout.steps, keys: keys, values: values, heads_per_key: heads / keyHeads,
              decays_per_head: decayWidth, scale: scale)
            layout.split(pool) { sequence, heads in
              let first = sequence * layout.steps
              var job = job
              job.state += sequence * layout.stateSize
              job.q += first * job.q_stride
              job.k += first * job.k_stride
              job.v += first * job.v_stride
              job.decay += first * job.decay_stride
              job.beta += first * job.beta_stride
              job.y += first * job.y_stride
              kernel?(&job, heads.lowerBound, heads.upperBound)
            }
          }
        }
      }
    }
    return y
  }
}
