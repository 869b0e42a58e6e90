import CSextantKernels
import SextantTensor

/// Kernels of one level, called with arrays.
extension KernelLevel {
  /// `x` [M, K], `weight` [N, K]; gives y [M, N]: M up to 8 unless `packed`.
  func linear(_ x: [Float], _ weight: Tensor, rows: Int, packed: Bool = false) -> [Float] {
    let (outputs, inner, type) = (weight.shape[0], weight.shape[1], weight.dataType.kernelType)
    var y = [Float](repeating: .nan, count: rows * outputs)
    weight.withUnsafeBytes { weight in
      x.withUnsafeBufferPointer { x in
        y.withUnsafeMutableBufferPointer { y in
          var job = sxk_linear(
            weight: weight.baseAddress, weight_stride: inner, weight_type: type,
            x: x.baseAddress, x_stride: inner, bias: nil, y: y.baseAddress, y_stride: outputs,
            m: rows, k: inner)
          if packed {
            let panelRows = table.panel_rows()
            let count = (rows + panelRows - 1) / panelRows
            var panels = [Float](repeating: .nan, count: count * panelRows * inner + 1)
            var scratch = [Float](
              repeating: .nan, count: Int(SXK_GEMM_COLUMNS * SXK_GEMM_DEPTH))
            table.pack_panels(&panels, x.baseAddress, inner, rows, inner, 0, count)
            table.gemm(&job, panels, &scratch, 0, count, 0, outputs)
          } else {
            table.linear(&job, 0, outputs)
          }
        }
      }
    }
    return y
  }

  /// As `linear`, with x rounded to the type of the weights first.
  func roundedLinear(_ x: [Float], _ weight: Tensor, rows: Int) -> [Float] {
    rounded(x, weight, rows: rows) { job, outputs in
      var bytes = [UInt8](
        repeating: 0xFF, count: rows * table.dot_row_bytes(job.weight_type, job.k))
      table.dot_rows(&bytes, &job)
      let middle = outputs / 3
      table.dot_linear(&job, bytes, 0, middle)
      table.dot_linear(&job, bytes, middle, outputs)
    }
  }

  /// As `roundedLinear` by panels, for any number of rows.
  func roundedGemm(_ x: [Float], _ weight: Tensor, rows: Int) -> [Float] {
    rounded(x, weight, rows: rows) { job, outputs in
      let height = table.panel_rows()
      let count = (rows + height - 1) / height
      var panels = [UInt32](repeating: .max, count: count * height * job.k / 2)
      table.dot_pack_panels(&panels, job.x, job.k, rows, job.k, 0, count)
      table.dot_gemm(&job, panels, 0, count, 0, outputs)
    }
  }

  private func rounded(
    _ x: [Float], _ weight: Tensor, rows: Int, _ body: (inout sxk_linear, Int) -> Void
  ) -> [Float] {
    let (outputs, inner) = (weight.shape[0], weight.shape[1])
    var y = [Float](repeating: .nan, count: rows * outputs)
    weight.withUnsafeBytes { weightBytes in
      x.withUnsafeBufferPointer { x in
        y.withUnsafeMutableBufferPointer { y in
          var job = sxk_linear(
            weight: weightBytes.baseAddress, weight_stride: inner,
            weight_type: weight.dataType.kernelType, x: x.baseAddress,
            x_stride: inner, bias: nil, y: y.baseAddress, y_stride: outputs, m: rows, k: inner)
          body(&job, outputs)
        }
      }
    }
    return y
  }

  /// `x` [T, C], `weight` [C, K], `state` [C, K - 1]; gives y [T, C].
  func convolution(
    _ x: [Float], weight: [Float], bias: [Float]?, state: inout [Float], width: Int, silu: Bool
  ) -> [Float] {
    let channels = weight.count / width
    var y = [Float](repeating: .nan, count: x.count)
    y.withUnsafeMutableBufferPointer { y in
      x.withUnsafeBufferPointer { x in
        weight.withUnsafeBufferPointer { weight in
          (bias ?? []).withUnsafeBufferPointer { biases in
            state.withUnsafeMutableBufferPointer { state in
              var job = sxk_conv(
                x: x.baseAddress, x_stride: channels, weight: weight.baseAddress,
                bias: bias == nil ? nil : biases.baseAddress, state: state.baseAddress,
                y: y.baseAddress,
                y_stride: channels, t: x.count / channels, k: width,
                silu: silu ? 1 : 0)
              // In two ranges that split a vector.
              let middle = channels / 2
              table.convolve(&job, 0, middle)
              table.convolve(&job, middle, channels)
            }
          }
        }
      }
    }
    return y
  }

  func scan(_ input: ScanInput, state: inout [Float], steps: Range<Int>) -> [Float] {
    let (channels, width) = (input.d.count, input.a.count / input.d.count)
    var y = [Float](repeating: .nan, count: steps.count * channels)
    y.withUnsafeMutableBufferPointer { y in
      state.withUnsafeMutableBufferPointer { h in
        input.withPointers { a, delta, x, bc, d, z in
          var job = sxk_scan(
            h: h.baseAddress, a: a, delta: delta + steps.lowerBound * channels,
            delta_stride: channels, x: x + steps.lowerBound * channels, x_stride: channels,
            b: bc + steps.lowerBound * 2 * width, b_stride: 2 * width,
            c: bc + steps.lowerBound * 2 * width + width, c_stride: 2 * width, d: d,
            z: z.map { $0 + steps.lowerBound * channels }, z_stride: channels,
            y: y.baseAddress, y_stride: channels, t: steps.count, n: width)
          let middle = channels / 2
          table.selective_scan(&job, 0, middle)
          table.selective_scan(&job, middle, channels)
        }
      }
    }
    return y
  }
}

/// The operands of a scan over T steps: b and c are side by side, as in a projection's output.
struct ScanInput {
  var a: [Float]  // [C, N]
  var delta: [Float]  // [T, C]
  var x: [Float]  // [T, C]
  var bc: [Float]  // [T, 2N]
  var d: [Float]  // [C]
  var z: [Float]?  // [T, C]

  typealias Pointer = UnsafePointer<Float>

  func withPointers(_ body: (Pointer, Pointer, Pointer, Pointer, Pointer, Pointer?) -> Void) {
    let arrays = [a, delta, x, bc, d, z ?? []]
    let all = arrays.flatMap { $0 }
    let starts = arrays.indices.map { index in arrays[..<index].reduce(0) { $0 + $1.count } }
    all.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      let p = starts.map { base + $0 }
      body(p[0], p[1], p[2], p[3], p[4], z == nil ? nil : p[5])
    }
  }
}
