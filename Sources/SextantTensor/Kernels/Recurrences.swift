import CSextantKernels

extension Kernels {
  /// Channels in one chunk of a recurrence: whole cache lines, and a few microseconds of work.
  ///
  /// - Parameter work: multiplications and exponentials for each channel.
  static func channelGrain(work: Int) -> Int {
    let channels = 2048 / max(work, 1)
    return max((channels + 63) / 64 * 64, 64)
  }

  /// What follows a convolution: x · sigmoid(x), or nothing.
  package enum ConvolutionActivation: Sendable { case silu, identity }

  /// A causal depthwise convolution over time, plus bias.
  ///
  /// y[t, c] = f(bias[c] + Σ_j weight[c, j] · x[t - (K - 1) + j, c]), with `state` for x before 0.
  ///
  /// - Parameters:
  ///   - x: `[B·T, C]`, ordered by sequence, then by time.
  ///   - weight: `[C, K]`, K from 1 to 8.
  ///   - bias: `[C]`; nil means zeros.
  ///   - activation: f.
  ///   - state: `[B, C, K - 1]`, the inputs before the first, oldest first; afterwards the last
  ///     K - 1.
  ///   - batch: the number of sequences, B.
  /// - Returns: `[B·T, C]`.
  package static func causalConvolution(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor?, activation: ConvolutionActivation,
    state: inout Tensor, batch: Int = 1, pool: WorkerPool = .shared
  ) -> Tensor {
    let (channels, width) = (x.columnCount, weight.columnCount)
    let steps = x.rowCount / max(batch, 1)
    precondition((1...Int(SXK_CONV_MAX_K)).contains(width), "a convolution of width \(width)")
    precondition(
      x.rowCount == batch * steps && weight.count == channels * width
        && state.count == batch * channels * (width - 1)
        && (bias == nil || bias?.count == channels),
      "\(channels) channels, weight \(weight.shape), state \(state.shape)")
    var y = Tensor(unfilled: [batch * steps, channels])  // [B·T, C]
    let kernel = table.convolve
    withOptionalFloats(bias) { bias in
      state.withMutableRows { state in
        y.withMutableRows { y in
          withRows(weight, x) { weight, x in
            nonisolated(unsafe) let job = sxk_conv(
              x: x.first, x_stride: x.stride, weight: weight.first, bias: bias, state: state, y: y,
              y_stride: channels, t: steps, k: width, silu: activation == .silu ? 1 : 0)
            pool.split(channels, by: channelGrain(work: batch * steps * width)) { range in
              var job = job
              for _ in 0..<batch {
                kernel?(&job, range.lowerBound, range.upperBound)
                job.x += steps * job.x_stride
                job.y += steps * channels
                job.state += channels * (width - 1)
              }
            }
          }
        }
      }
    }
    return y
  }

  /// The selective scan of Mamba-1 (arXiv 2312.00752), with its skip connection and gate.
  ///
  /// h[c, n] = e^(delta[t, c] · a[c, n]) · h[c, n] + delta[t, c] · x[t, c] · b[t, n]
  ///
  /// y[t, c] = (d[c] · x[t, c] + Σ_n h[c, n] · c[t, n]) · silu(z[t, c])
  ///
  /// - Parameters:
  ///   - x: `[B·T, C]`, ordered by sequence, then by time.
  ///   - delta: `[B·T, C]`.
  ///   - a: `[C, N]`, negative.
  ///   - b: `[B·T, N]`.
  ///   - c: `[B·T, N]`.
  ///   - d: `[C]`.
  ///   - z: `[B·T, C]`; see the overload without it for no gate.
  ///   - state: h, `[B, C, N]`. Its bits do not depend on how T is cut into calls.
  ///   - batch: the number of sequences, B.
  /// - Returns: `[B·T, C]`.
  package static func selectiveScan(
    _ x: some MatrixRows, delta: some MatrixRows, a: Tensor, b: some MatrixRows,
    c: some MatrixRows, d: Tensor, gate z: some MatrixRows, state: inout Tensor,
    batch: Int = 1, pool: WorkerPool = .shared
  ) -> Tensor {
    precondition(z.rowCount == x.rowCount && z.columnCount == x.columnCount)
    return z.withRows { z, stride in
      scan(x, delta, a, b, c, d, RowAddress(first: z, stride: stride), &state, batch, pool)
    }
  }

  /// As the overload with a gate, without the factor silu(z).
  package static func selectiveScan(
    _ x: some MatrixRows, delta: some MatrixRows, a: Tensor, b: some MatrixRows,
    c: some MatrixRows, d: Tensor, state: inout Tensor, batch: Int = 1,
    pool: WorkerPool = .shared
  ) -> Tensor {
    scan(x, delta, a, b, c, d, nil, &state, batch, pool)
  }

  private static func scan(
    _ x: some MatrixRows, _ delta: some MatrixRows, _ a: Tensor, _ b: some MatrixRows,
    _ c: some MatrixRows, _ d: Tensor, _ gate: RowAddress?,
    _ state: inout Tensor, _ batch: Int, _ pool: WorkerPool
  ) -> Tensor {
    let (rows, channels, width) = (x.rowCount, x.columnCount, b.columnCount)
    let steps = rows / max(batch, 1)
    precondition(
      width >= 1 && rows == batch * steps && delta.rowCount == rows
        && delta.columnCount == channels && a.count == channels * width && b.rowCount == rows
        && c.rowCount == rows && c.columnCount == width && d.count == channels
        && state.count == batch * channels * width,
      "\(channels) channels, a \(a.shape), state \(state.shape)")
    var y = Tensor(unfilled: [rows, channels])  // [B·T, C]
    let kernel = table.selective_scan
    state.withMutableRows { h in
      y.withMutableRows { y in
        withRows(x, b, c) { x, b, c in
          withRows(delta, a, d) { delta, a, d in
            nonisolated(unsafe) let job = sxk_scan(
              h: h, a: a.first, delta: delta.first, delta_stride: delta.stride, x: x.first,
              x_stride: x.stride, b: b.first, b_stride: b.stride, c: c.first, c_stride: c.stride,
              d: d.first, z: gate?.first, z_stride: gate?.stride ?? 0, y: y, y_stride: channels,
              t: steps, n: width)
            pool.split(channels, by: channelGrain(work: batch * steps * width)) { range in
              var job = job
              for _ in 0..<batch {
                kernel?(&job, range.lowerBound, range.upperBound)
                job.h += channels * width
                job.delta += steps * job.delta_stride
                job.x += steps * job.x_stride
                job.b += steps * job.b_stride
                job.c += steps * job.c_stride
                if job.z != nil { job.z += steps * job.z_stride }
                job.y += steps * channels
              }
            }
          }
        }
      }
    }
    return y
  }
}
