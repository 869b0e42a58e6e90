import CSextantKernels

// The recurrences of the RWKV family and the shift in time before them. Rows [B·T, …] are ordered by
// sequence, then by time.
extension Kernels {
  /// Each row's predecessor in time: the row before it, and the state before a sequence's first.
  ///
  /// - Parameters:
  ///   - x: `[B·T, C]`.
  ///   - state: `[B, C]`, the rows before the first; afterwards each sequence's last row.
  ///   - batch: the number of sequences, B.
  /// - Returns: `[B·T, C]`.
  package static func shiftInTime(_ x: Tensor, state: inout Tensor, batch: Int = 1) -> Tensor {
    let (rows, width) = (x.rowCount, x.columnCount)
    let steps = rows / max(batch, 1)
    precondition(
      rows == batch * steps && state.count == batch * width, "x \(x.shape), state \(state.shape)")
    var y = Tensor(unfilled: [rows, width])  // [B·T, C]
    guard steps > 0 else { return y }
    y.withMutableRows { y in
      x.withRows { x, _ in
        state.withMutableRows { state in
          for sequence in 0..<batch {
            let (first, past) = (sequence * steps * width, state + sequence * width)
            (y + first).update(from: past, count: width)
            (y + first + width).update(from: x + first, count: (steps - 1) * width)
            past.update(from: x + first + (steps - 1) * width, count: width)
          }
        }
      }
    }
    return y
  }

  /// The recurrence of RWKV-4 (arXiv 2305.13048, section 3.1.2): a moving average of v, weighted by
  /// e^k and fading by e^decay per step.
  ///
  /// y[t, c] = (n + e^(bonus + k) · v) / (d + e^(bonus + k)), then n = e^decay · n + e^k · v and d
  /// = e^decay · d + e^k, with n and d stored divided by e^exponent.
  ///
  /// - Parameters:
  ///   - k: `[B·T, C]`.
  ///   - v: `[B·T, C]`.
  ///   - decay: `[C]`, negative.
  ///   - bonus: `[C]`, added to the key of the current step.
  ///   - numerator: n, `[B, C]`; its bits do not depend on how T is cut into calls.
  ///   - denominator: d, `[B, C]`.
  ///   - exponent: `[B, C]`; -1e30 if nothing was read.
  ///   - batch: the number of sequences, B.
  /// - Returns: `[B·T, C]`.
  package static func wkv4(
    k: Tensor, v: Tensor, decay: Tensor, bonus: Tensor, numerator: inout Tensor,
    denominator: inout Tensor, exponent: inout Tensor, batch: Int = 1, pool: WorkerPool = .shared
  ) -> Tensor {
    let (rows, channels) = (k.rowCount, k.columnCount)
    let steps = rows / max(batch, 1)
    precondition(
      rows == batch * steps && v.shape == k.shape && decay.count == channels
        && bonus.count == channels && numerator.count == batch * channels
        && denominator.count == batch * channels && exponent.count == batch * channels,
      "k \(k.shape), v \(v.shape), state \(numerator.shape)")
    var y = Tensor(unfilled: [rows, channels])  // [B·T, C]
    let kernel = table.wkv4
    numerator.withMutableRows { numerator in
      denominator.withMutableRows { denominator in
        exponent.withMutableRows { exponent in
          y.withMutableRows { y in
            withRows(k, v) { k, v in
              withRows(decay, bonus) { decay, bonus in
                nonisolated(unsafe) let job = sxk_wkv4(
                  numerator: numerator, denominator: denominator, exponent: exponent,
                  decay: decay.first, bonus: bonus.first, k: k.first, k_stride: channels,
                  v: v.first, v_stride: channels,
                  y: y, y_stride: channels, t: steps)
                // Two exponentials and a division are the work of some 32 products.
                pool.split(channels, by: channelGrain(work: batch * steps * 32)) { range in
                  var job = job
                  for _ in 0..<batch {
                    kernel?(&job, range.lowerBound, range.upperBound)
                    job.numerator += channels
                    job.denominator += channels
                    job.exponent += channels
                    job.k += steps * channels
                    job.v += steps * channels
                    job.y += steps * channels
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

  /// The recurrence of RWKV-5 and 6 (arXiv 2404.05892, section 4): each head keeps a matrix of keys
  /// by values.
  ///
  /// y = r · (S + (bonus ∘ k) ⊗ v), then S = diag(decay) · S + k ⊗ v.
  ///
  /// - Parameters:
  ///   - r: `[B·T, H·N]`.
  ///   - k: `[B·T, H·N]`.
  ///   - v: `[B·T, H·N]`.
  ///   - decay: `[B·T, H·N]`, or `[H·N]` for every step (RWKV-5); from 0 to 1.
  ///   - bonus: `[H·N]`.
  ///   - state: S, `[B, H, N, N]`: head, key, value. Its bits and those of y do not depend on how T
  ///     is split into calls.
  /// - Returns: `[B·T, H·N]`.
  package static func wkv6(
    r: Tensor, k: Tensor, v: Tensor, decay: Tensor, bonus: Tensor, state: inout Tensor,
    pool: WorkerPool = .shared
  ) -> Tensor {
    let (layout, width) = (squareHeads(r, state), r.columnCount)
    let isConstant = decay.rowCount == 1 && decay.count == width
    precondition(
      k.shape == r.shape && v.shape == r.shape && (isConstant || decay.shape == r.shape)
        && bonus.count == width, "r \(r.shape), k \(k.shape), v \(v.shape), decay \(decay.shape)")
    var y = Tensor(unfilled: r.shape)  // [B·T, H·N]
    let kernel = table.wkv6
    state.withMutableRows { state in
      y.withMutableRows { y in
        withRows(r, k, v) { r, k, v in
          withRows(decay, bonus) { decay, bonus in
            nonisolated(unsafe) let job = sxk_wkv6(
              state: state, r: r.first, r_stride: width, k: k.first, k_stride: width, v: v.first,
              v_stride: width,
              decay: decay.first, decay_stride: isConstant ? 0 : width, bonus: bonus.first, y: y,
              y_stride: width, t: layout.steps, n: layout.width)
            layout.split(pool) { sequence, heads in
              let first = sequence * layout.steps * width
              var job = job
              job.state += sequence * layout.stateSize
              job.r += first
              job.k += first
              job.v += first
              if !isConstant { job.decay += first }
              job.y += first
              kernel?(&job, heads.lowerBound, heads.upperBound)
            }
          }
        }
      }
    }
    return y
  }

  /// The recurrence of RWKV-7 (arXiv 2503.14456, section 4): each head keeps a matrix of values by
  /// keys, and replaces the value of a key in it.
  ///
  /// S = S · diag(decay) + (S a) ⊗ b + v ⊗ k, then y = S r.
  ///
  /// - Parameters:
  ///   - r: `[B·T, H·N]`.
  ///   - decay: `[B·T, H·N]`, from 0 to 1.
  ///   - k: `[B·T, H·N]`.
  ///   - v: `[B·T, H·N]`.
  ///   - a: `[B·T, H·N]`, the negative direction of the removed part.
  ///   - b: `[B·T, H·N]`, that direction times the rate of removal.
  ///   - state: S, `[B, H, N, N]`: head, value, key. Its bits and those of y do not depend on how T
  ///     is split into calls.
  /// - Returns: `[B·T, H·N]`.
  package static func wkv7(
    r: Tensor, decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: inout Tensor,
    pool: WorkerPool = .shared
  ) -> Tensor {
    let (layout, width) = (squareHeads(r, state), r.columnCount)
    precondition(
      [decay, k, v, a, b].allSatisfy { $0.shape == r.shape }, "operands of unequal shapes")
    var y = Tensor(unfilled: r.shape)  // [B·T, H·N]
    let kernel = table.wkv7
    state.withMutableRows { state in
      y.withMutableRows { y in
        withRows(r, decay, k) { r, decay, k in
          withRows(v, a, b) { v, a, b in
            nonisolated(unsafe) let job = sxk_wkv7(
              state: state, r: r.first, r_stride: width, decay: decay.first, decay_stride: width,
              k: k.first,
              k_stride: width, v: v.first, v_stride: width, a: a.first, a_stride: width, b: b.first,
              b_stride: width,
              y: y, y_stride: width, t: layout.steps, n: layout.width)
            layout.split(pool) { sequence, heads in
              let first = sequence * layout.steps * width
              var job = job
              job.state += sequence * layout.stateSize
              job.r += first
              job.decay += first
              job.k += first
              job.v += first
              job.a += first
              job.b += first
              job.y += first
              kernel?(&job, heads.lowerBound, heads.upperBound)
            }
          }
        }
      }
    }
    return y
  }

  /// The layout of `state`, `[B, H, N, N]`, for rows `[B·T, H·N]`.
  private static func squareHeads(_ x: Tensor, _ state: Tensor) -> HeadLayout {
    let layout = HeadLayout(x, state)
    precondition(
      layout.height == layout.width && x.columnCount == layout.heads * layout.width,
      "x \(x.shape), state \(state.shape)")
    return layout
  }
}
