import COpenBLAS
import SextantTensor

extension KernelContest {
  /// The types in which weights are read.
  private static let storedTypes = [DataType.f32, .bf16, .f16, .q8, .q4v1]

  /// One row of activations against a matrix that is in no cache: GB/s of weights.
  static func matrixVector(_ threads: Int) -> [KernelContest] {
    let (outputs, inputs) = (50_280, 768)
    let weight = Tensor.random([outputs, inputs])
    let x = Tensor.random([1, inputs], seed: 2)
    return storedTypes.map { type in
      let stored = weight.stored(as: type)
      var y = Tensor(zeros: [1, outputs])
      let byteCount = stored.withUnsafeBytes { $0.count }
      var contest = KernelContest(
        name: "[\(outputs), \(inputs)] \(type.word)", unit: "GB/s", work: Double(byteCount) / 1e9
      ) { Linear.apply(x, weight: stored, into: &y) }
      if type == .f32 {
        contest.peers = [("sgemv of \(openBLASName)", { openBLAS(x, weight, threads) })]
      }
      return contest
    }
  }

  /// A prompt with the matrices of small and larger models: Gflop/s.
  static func matrixProducts(_ threads: Int) -> [KernelContest] {
    let shapes = [
      (16, 768, 3072), (64, 768, 3072), (512, 768, 3072), (512, 1536, 768), (512, 1536, 80),
      (512, 48, 1536), (512, 2560, 5120),
    ]
    return shapes.flatMap { rows, inputs, outputs in
      let weight = Tensor.random([outputs, inputs])
      let x = Tensor.random([rows, inputs], seed: 2)
      // Blocks of 32 need rows whose length is a multiple of 32.
      return storedTypes.filter { inputs % $0.blockLength == 0 }.map { type in
        let stored = weight.stored(as: type)
        var y = Tensor(zeros: [rows, outputs])
        var contest = KernelContest(
          name: "\(rows)×\(inputs)×\(outputs) \(type.word)", unit: "Gflop/s",
          work: 2e-9 * Double(rows * inputs * outputs)
        ) { Linear.apply(x, weight: stored, into: &y) }
        if type == .f32 {
          contest.peers = [("sgemm of \(openBLASName)", { openBLAS(x, weight, threads) })]
        }
        return contest
      }
    }
  }

  /// The speed of OpenBLAS with a product that is large enough for its best speed, in Gflop/s.
  static func largeProduct(_ threads: Int) -> () -> Double {
    let size = 1536
    let (x, weight) = (Tensor.random([size, size]), Tensor.random([size, size], seed: 2))
    return {
      let begin = now()
      for _ in 0..<3 { openBLAS(x, weight, threads) }
      return 3 * 2e-9 * Double(size * size * size) / (now() - begin)
    }
  }

  /// The library, and the processor type that it has detected (OPENBLAS_CORETYPE sets another).
  private static var openBLASName: String {
    "OpenBLAS, \(String(cString: openblas_get_corename()))"
  }

  /// x · Wᵀ by OpenBLAS, on its own threads.
  private static func openBLAS(_ x: Tensor, _ weight: Tensor, _ threads: Int) {
    openblas_set_num_threads(Int32(threads))
    let (rows, inputs, outputs) = (Int32(x.rowCount), Int32(x.columnCount), Int32(weight.rowCount))
    var y = Tensor(zeros: [x.rowCount, weight.rowCount])
    x.withFloats { x in
      weight.withFloats { weight in
        y.withMutableFloats { y in
          if rows == 1 {
            cblas_sgemv(
              CblasRowMajor, CblasNoTrans, outputs, inputs, 1, weight.baseAddress, inputs,
              x.baseAddress, 1, 0, y.baseAddress, 1)
          } else {
            cblas_sgemm(
              CblasRowMajor, CblasNoTrans, CblasTrans, rows, outputs, inputs, 1, x.baseAddress,
              inputs, weight.baseAddress, inputs, 0, y.baseAddress, outputs)
          }
        }
      }
    }
  }
}
