import SextantTensor

/// The same work done by one of our kernels and by others, in turns.
struct KernelContest {
  let name: String
  let unit: String
  /// The work of one call, in `unit` · seconds, such as giga-operations.
  let work: Double
  let ours: () -> Void
  var peers: [(name: String, call: () -> Void)] = []

  /// Measures all of them, `rounds` times.
  func run(rounds: Int) -> Figure {
    var figure = Figure(name, unit)
    for round in 0...rounds {
      if peers.isEmpty {
        let rate = rate(ours)
        if round > 0 { figure.add(ours: rate) }
      }
      for peer in peers {
        let (our, their) = (rate(ours), rate(peer.call))
        if round > 0 { figure.add(peer.name, theirs: their, ours: our) }
      }
    }
    return figure
  }

  /// Work per second, over calls that take long enough to be timed.
  private func rate(_ call: () -> Void) -> Double {
    var calls = 0
    let begin = now()
    var elapsed = 0.0
    while elapsed < 0.02 {
      call()
      calls += 1
      elapsed = now() - begin
    }
    return work * Double(calls) / elapsed
  }
}

extension Tensor {
  /// Numbers from -1 to 1.
  static func random(_ shape: [Int], seed: UInt64 = 1) -> Tensor {
    var numbers = SeededRandom(seed: seed)
    let count = shape.reduce(1, *)
    return Tensor((0..<count).map { _ in 2 * numbers.uniform() - 1 }, shape: shape)
  }

  /// The same numbers in another type.
  func stored(as dataType: DataType) -> Tensor {
    guard let tensor = converted(to: dataType) else {
      preconditionFailure("\(dataType) is floating-point")
    }
    return tensor
  }
}
