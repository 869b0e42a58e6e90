import CSextantKernels

extension Kernels {
  /// Channels that one chunk of a recurrence holds: whole cache lines and whole vectors.
  private static let channelGrain = 64

  /// A causal depthwise convolution over time, plus bias, through SiLU.
  ///
  /// y[t, c] = silu(bias[c] + Σ_j weight[c, j] · x[t - (K - 1) + j, c]), with `state` for x before 0.
  ///
  /// - Parameters:
  ///   - x: `[T, C]`.
  ///   - weight: `[C, K]`, K from 1 to 8.
  ///   - bias: `[C]`.
  ///   - state: `[C, K - 1]`, the inputs before the first, oldest first; afterwards the last K - 1.
  /// - Returns: `[T, C]`.
  public static func causalConvolutionSiLU(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor?, state: inout Tensor,
    pool: WorkerPool = .shared
  ) -> Tensor {
    let (steps, channels, width) = (x.rowCount, x.columnCount, weight.columnCount)
    precondition((1...Int(SXK_CONV_MAX_K)).contains(width), "a convolution of width \(width)")
    precondition(
      weight.count == channels * width && state.count == channels * (width - 1)
        && (bias == nil || bias?.count == channels),
      "\(channels) channels, weight \(weight.shape), state \(state.shape)")
    var y = Tensor(unfilled: [steps, channels])  // [T, C]
    let kernel = table.conv_silu
    withOptionalFloats(bias) { bias in
      weight.withRows { weight, _ in
        state.withMutableRows { state in
          x.withRows { x, stride in
            y.withMutableRows { y in
              nonisolated(unsafe) let job = sxk_conv(
                x: x, x_stride: stride, weight: weight, bias: bias, state: state, y: y,
                y_stride: channels, t: steps, k: width)
              pool.split(channels, by: channelGrain) { range in
                withUnsafePointer(to: job) { kernel?($0, range.lowerBound, range.upperBound) }
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
  ///   - x: `[T, C]`.
  ///   - delta: `[T, C]`.
  ///   - a: `[C, N]`, negative.
  ///   - b: `[T, N]`.
  ///   - c: `[T, N]`.
  ///   - d: `[C]`.
  ///   - z: `[T, C]`; see the overload without it for no gate.
  ///   - state: h, `[C, N]`. Its bits do not depend on how T is cut into calls.
  /// - Returns: `[T, C]`.
  public static func selectiveScan(
    _ x: some MatrixRows, delta: some MatrixRows, a: Tensor, b: some MatrixRows,
    c: some MatrixRows, d: Tensor, gate z: some MatrixRows, state: inout Tensor,
    pool: WorkerPool = .shared
  ) -> Tensor {
    precondition(z.rowCount == x.rowCount && z.columnCount == x.columnCount)
    return z.withRows { z, stride in
      scan(x, delta, a, b, c, d, (z, stride), &state, pool)
    }
  }

  /// As the overload with a gate, without the factor silu(z).
  public static func selectiveScan(
    _ x: some MatrixRows, delta: some MatrixRows, a: Tensor, b: some MatrixRows,
    c: some MatrixRows, d: Tensor, state: inout Tensor, pool: WorkerPool = .shared
  ) -> Tensor {
    scan(x, delta, a, b, c, d, nil, &state, pool)
  }

  private static func scan(
    _ x: some MatrixRows, _ delta: some MatrixRows, _ a: Tensor, _ b: some MatrixRows,
    _ c: some MatrixRows, _ d: Tensor, _ gate: (UnsafePointer<Float>, Int)?,
    _ state: inout Tensor, _ pool: WorkerPool
  ) -> Tensor {
    let (steps, channels, width) = (x.rowCount, x.columnCount, b.columnCount)
    precondition(
      width >= 1 && delta.rowCount == steps && delta.columnCount == channels
        && a.count == channels * width && b.rowCount == steps && c.rowCount == steps
        && c.columnCount == width && d.count == channels && state.count == channels * width,
      "\(channels) channels, a \(a.shape), state \(state.shape)")
    var y = Tensor(unfilled: [steps, channels])  // [T, C]
    let kernel = table.selective_scan
    state.withMutableRows { h in
      y.withMutableRows { y in
        x.withRows { x, xStride in
          delta.withRows { delta, deltaStride in
            b.withRows { b, bStride in
              c.withRows { c, cStride in
                a.withRows { a, _ in
                  d.withRows { d, _ in
                    nonisolated(unsafe) let job = sxk_scan(
                      h: h, a: a, delta: delta, delta_stride: deltaStride, x: x,
                      x_stride: xStride, b: b, b_stride: bStride, c: c, c_stride: cStride, d: d,
                      z: gate?.0, z_stride: gate?.1 ?? 0, y: y, y_stride: channels, t: steps,
                      n: width)
                    pool.split(channels, by: channelGrain) { range in
                      withUnsafePointer(to: job) { kernel?($0, range.lowerBound, range.upperBound) }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    return y
  }
}
