import CSextantKernels

extension Kernels {
  /// The scan of Mamba-2 (arXiv 2405.21060), with its skip connection.
  ///
  /// h[i, p, n] = e^(delta[t, i] · a[i]) · h[i, p, n] + delta[t, i] · x[t, i, p] · b[t, g, n]
  ///
  /// y[t, i, p] = d[i] · x[t, i, p] + Σ_n h[i, p, n] · c[t, g, n]
  ///
  /// The H heads share the G groups of b and c evenly: head i reads group g = i / (H / G).
  ///
  /// - Parameters:
  ///   - x: `[B·T, H·P]`, ordered by sequence, then by time.
  ///   - delta: `[B·T, H]`.
  ///   - a: `[H]`, negative.
  ///   - b: `[B·T, G·N]`.
  ///   - c: `[B·T, G·N]`.
  ///   - d: `[H]`.
  ///   - state: h, `[B, H, P, N]`. Its bits do not depend on how T is cut into calls.
  ///   - batch: the number of sequences, B.
  /// - Returns: `[B·T, H·P]`.
  package static func headScan(
    _ x: some MatrixRows, delta: Tensor, a: Tensor, b: some MatrixRows, c: some MatrixRows,
    d: Tensor, state: inout Tensor, batch: Int = 1, pool: WorkerPool = .shared
  ) -> Tensor {
    let (rows, channels, heads) = (x.rowCount, x.columnCount, a.count)
    let steps = rows / max(batch, 1)
    let width = state.shape.last ?? 1
    let (p, groups) = (channels / max(heads, 1), b.columnCount / max(width, 1))
    precondition(
      rows == batch * steps && channels == heads * p && groups >= 1 && heads % groups == 0
        && b.columnCount == groups * width && c.columnCount == groups * width
        && b.rowCount == rows && c.rowCount == rows && delta.rowCount == rows
        && delta.columnCount == heads && d.count == heads
        && state.count == batch * channels * width,
      "\(channels) channels of \(heads) heads, b [\(b.rowCount), \(b.columnCount)], "
        + "state \(state.shape)")
    let decay = decays(delta, a)  // [B·T, H]
    var y = Tensor(unfilled: [rows, channels])  // [B·T, H·P]
    let kernel = table.head_scan
    // A few microseconds of work in one chunk.
    let grain = max(8192 / max(steps * p * width, 1), 1)
    state.withMutableRows { h in
      y.withMutableRows { y in
        withRows(x, b, c) { x, b, c in
          withRows(decay, delta, d) { decay, delta, d in
            nonisolated(unsafe) let job = sxk_head_scan(
              h: h, decay: decay.first, delta: delta.first, x: x.first, x_stride: x.stride,
              b: b.first, b_stride: b.stride, c: c.first, c_stride: c.stride, d: d.first, y: y,
              y_stride: channels, t: steps, heads: heads, heads_per_group: heads / groups, p: p,
              n: width)
            let chunks = (heads + grain - 1) / grain
            pool.forEach(batch * chunks) { index in
              let (sequence, first) = (index / chunks, index % chunks * grain)
              var job = job
              job.h += sequence * channels * width
              job.decay += sequence * steps * heads
              job.delta += sequence * steps * heads
              job.x += sequence * steps * job.x_stride
              job.b += sequence * steps * job.b_stride
              job.c += sequence * steps * job.c_stride
              job.y += sequence * steps * channels
              kernel?(&job, first, min(first + grain, heads))
            }
          }
        }
      }
    }
    return y
  }

  /// e^(delta · a), [B·T, H]: one number for each head and step, so the product may be a plain loop.
  private static func decays(_ delta: Tensor, _ a: Tensor) -> Tensor {
    var decay = delta
    let heads = a.count
    a.withRows { a, _ in
      decay.withMutableFloats { decay in
        for index in decay.indices { decay[index] *= a[index % heads] }
      }
    }
    exp(&decay)
    return decay
  }
}
