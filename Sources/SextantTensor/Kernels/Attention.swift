import CSextantKernels

extension Kernels {
  /// The widest head of values that `attend` takes.
  package static let widestHead = Int(SXK_ATTENTION_MAX_WIDTH)

  /// Causal attention of the newest T positions to all positions so far.
  ///
  /// y[i, h] = Σ_j w[j] · value[j, g], w = softmax_j(scale · q[i, h] · key[j, g] + slope[h] · (j - i))
  ///
  /// over the positions j ≤ i, the last `window` of them if it is given. The H heads share the key
  /// heads evenly: head h reads key head g = h / (H / key heads). Values may have another width than keys.
  /// A row's numbers do not depend on
  /// T or on the other rows, bit for bit.
  ///
  /// - Parameters:
  ///   - q: `[B·T, …]`, ordered by sequence, then by position.
  ///   - layout: the positions of a row's query heads.
  ///   - keys: the keys of all positions, the newest T included. Sequences may have different
  ///     numbers of positions.
  ///   - values: the values of the same positions.
  ///   - slopes: `[H]`, of the linear bias; nil for none.
  /// - Returns: `[B·T, H·width of a value]`.
  package static func attend(
    _ q: some MatrixRows, _ layout: HeadColumns, keys: PagedRows, values: PagedRows, scale: Float,
    slopes: Tensor? = nil, window: Int? = nil, pool: WorkerPool = .shared
  ) -> Tensor {
    let (batch, keyHeads, width) = (keys.batch, keys.heads, keys.width)
    let valueWidth = values.width
    let length = q.rowCount / max(batch, 1)
    let group = layout.count / max(keyHeads, 1)
    precondition(
      q.rowCount == batch * length && layout.fits(q.columnCount) && layout.width == width
        && valueWidth <= widestHead && layout.count == keyHeads * group
        && keys.counts.allSatisfy { $0 >= length } && keys.order == .keys
        && values.order == .values && values.heads == keyHeads && values.counts == keys.counts
        && (slopes == nil || slopes?.count == layout.count) && (window ?? 1) >= 1,
      "\(layout.count) heads of \(layout.width), \(keyHeads) key heads of \(width)")
    var y = Tensor(unfilled: [q.rowCount, layout.count * valueWidth])  // [B·T, H·value width]
    let kernel = table.attend
    let (rows, yStride) = (length * group, layout.count * valueWidth)
    let chunks = (rows + attentionRows - 1) / attentionRows
    // The addresses of one sequence's pages after the other's, and where those of each begin.
    var firstPages = [0]
    for pages in keys.pages { firstPages.append(firstPages[firstPages.count - 1] + pages.count) }
    let (counts, starts) = (keys.counts, firstPages)
    let keyPages = keys.pages.flatMap { $0.map { UnsafePointer($0.floats) as Page } }
    let valuePages = values.pages.flatMap { $0.map { UnsafePointer($0.floats) as Page } }
    keyPages.withUnsafeBufferPointer { keyPages in
      valuePages.withUnsafeBufferPointer { valuePages in
        withOptionalFloats(slopes) { slopes in
          q.withRows { q, stride in
            y.withMutableRows { y in
              nonisolated(unsafe) let job = sxk_attention(
                q: q + layout.first, q_stride: stride, q_head_stride: layout.stride,
                keys: keyPages.baseAddress, values: valuePages.baseAddress, slopes: slopes, y: y,
                y_stride: yStride, position: 0, window: window ?? 0,
                group: group, width: width, value_width: valueWidth, scale: scale)
              /// The job of one sequence.
              @Sendable func part(_ sequence: Int) -> sxk_attention {
                var part = job
                part.q += sequence * length * stride
                part.position = counts[sequence] - length
                part.keys += starts[sequence]
                part.values += starts[sequence]
                part.y += sequence * length * yStride
                return part
              }
              let segments = ((counts.max() ?? 0) + segmentLength - 1) / segmentLength
              if segments > 1, batch * keyHeads * chunks < chunksPerThread * pool.threadCount {
                attendBySegments(part, segments, batch: batch, keyHeads: keyHeads, rows: rows, pool)
                return
              }
              pool.forEach(batch * keyHeads * chunks) { index in
                let (head, chunk) = (index / chunks % keyHeads, index % chunks)
                let first = chunk * attentionRows
                withUnsafePointer(to: part(index / chunks / keyHeads)) {
                  kernel?($0, head, first, min(first + attentionRows, rows))
                }
              }
            }
          }
        }
      }
    }
    withExtendedLifetime((keys, values)) {}
    return y
  }

  /// Attention of few rows to many positions, which the threads share. The numbers are the same.
  ///
  /// - Parameters:
  ///   - job: of each sequence.
  ///   - segments: the largest number that a sequence has.
  ///   - rows: of each key head.
  private static func attendBySegments(
    _ job: @Sendable (_ sequence: Int) -> sxk_attention, _ segments: Int, batch: Int,
    keyHeads: Int, rows: Int, _ pool: WorkerPool
  ) {
    let kernels = table
    let size = withUnsafePointer(to: job(0)) { kernels.attention_part_size($0) }
    // [batch, key heads, rows, segments, size]
    let storage = TensorStorage(unfilledFloatCount: batch * keyHeads * rows * segments * size)
    defer { withExtendedLifetime(storage) {} }
    nonisolated(unsafe) let parts = storage.floats
    pool.forEach(batch * keyHeads * segments) { index in
      let (head, segment) = (index / segments, index % segments)
      withUnsafePointer(to: job(head / keyHeads)) {
        kernels.attend_segment(
          $0, head % keyHeads, rows, segment, parts + (head * rows * segments + segment) * size,
          segments * size)
      }
    }
    pool.forEach(batch * keyHeads) { head in
      withUnsafePointer(to: job(head / keyHeads)) {
        kernels.attend_merge(
          $0, head % keyHeads, rows, segments, parts + head * rows * segments * size,
          segments * size)
      }
    }
  }

  private typealias Page = UnsafePointer<Float>?

  /// Rows of one head in one chunk.
  private static let attentionRows = 64
  /// Chunks for each thread, from which on the threads share rows and not positions.
  private static let chunksPerThread = 4
  private static let segmentLength = Int(SXK_SEGMENT)

  /// Rotary position embedding (arXiv 2104.09864), in place, in the order of GPT-NeoX: of each head the
  /// channels c and c + R turn by one angle, for c below R; the others stay.
  ///
  /// - Parameters:
  ///   - x: `[B·T, …]`, ordered by sequence, then by position.
  ///   - layout: the positions of a row's heads.
  ///   - angles: cosines and sines, each `[T, R]`.
  package static func rotate(
    _ x: inout Tensor, _ layout: HeadColumns, by angles: (cosines: Tensor, sines: Tensor),
    pool: WorkerPool = .shared
  ) {
    let (rows, columns) = (x.rowCount, x.columnCount)
    let (length, half) = (angles.cosines.rowCount, angles.cosines.columnCount)
    precondition(
      layout.fits(columns) && 2 * half <= layout.width && angles.sines.shape == angles.cosines.shape
        && (rows == 0 || (length > 0 && rows % length == 0)),
      "\(layout.count) heads of \(layout.width) in \(columns) columns, angles [\(length), \(half)]")
    let kernel = table.rotate
    angles.cosines.withRows { cosines, _ in
      angles.sines.withRows { sines, _ in
        x.withMutableRows { x in
          nonisolated(unsafe) let job = sxk_rotation(
            x: x + layout.first, x_stride: columns, head_stride: layout.stride,
            heads: layout.count, cosines: cosines, sines: sines, t: length, half: half)
          pool.split(rows, by: rowGrain(width: layout.count * layout.width)) { range in
            withUnsafePointer(to: job) { kernel?($0, range.lowerBound, range.upperBound) }
          }
        }
      }
    }
  }
}
