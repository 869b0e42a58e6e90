import SextantBytes
import SextantTensor

/// A part of a block: it reads the stream through a norm, and adds to it.
struct Part: Sendable {
  /// The name of its site, `blocks.<i>.<name>`.
  let name: String
  /// The norm of its input; nil if it reads the stream as it is.
  let norm: Norm?
  /// What it computes.
  let mixer: any Mixer
  /// The factor of its normed input.
  var inputScale: Float = 1
  /// A norm between the mixer and the stream.
  var outputNorm: Norm? = nil
  /// The factor of what it adds, after that norm.
  var scale: Float = 1

  /// The mixer's input, [B·T, D].
  func input(from residual: Tensor) -> Tensor {
    var x = norm?(residual) ?? residual  // [B·T, D]
    if inputScale != 1 { Kernels.scale(&x, by: inputScale) }
    return x
  }

  /// What is added to the stream, from the mixer's output, [B·T, D] both.
  func addition(from mixed: Tensor) -> Tensor {
    var y = outputNorm?(mixed) ?? mixed  // [B·T, D]
    if scale != 1 { Kernels.scale(&y, by: scale) }
    return y
  }
}

/// A block of a model: parts that read the stream and add to it, one step after the other.
struct Block: Sendable {
  /// The parts by step. Parts of one step read the same stream: none of them sees the additions of
  /// the others.
  let steps: [[Part]]

  /// All parts, in the order in which they add.
  var parts: [Part] { steps.flatMap { $0 } }

  /// Parts that run one after the other.
  init(_ parts: Part...) { steps = parts.map { [$0] } }

  /// Steps of parts that run side by side.
  init(steps: [[Part]]) { self.steps = steps }

  /// The description of the block, without its place.
  var description: BlockDescription {
    BlockDescription(
      parts: parts.map {
        PartDescription(
          name: $0.name, state: $0.mixer.state, hasMemory: $0.mixer.readingStateOnly != nil,
          expertCount: $0.mixer.expertCount)
      })
  }

  /// Runs the block.
  ///
  /// - Parameters:
  ///   - index: the block's place in the model.
  ///   - state: of each part.
  /// - Throws: the errors of the tap.
  func run(
    _ index: Int, on stream: inout BlockStream, _ state: inout [PartState], _ pass: Pass
  ) throws(Refusal) {
    var place = 0
    for step in steps {
      // Before the first addition, so that the stream is not copied.
      let inputs = step.map { $0.input(from: stream.residual) }  // [B·T, D] each
      for (part, x) in zip(step, inputs) {
        try pass.show(.memory(block: index)) {
          part.mixer.readingStateOnly.map { reading in
            var (copy, ownStream) = (state[place], stream)
            return part.addition(from: reading(x, of: &ownStream, &copy))  // [B·T, D]
          }
        }
        try pass.show(.router(block: index)) { part.mixer.routing(of: x) }
        let mixed = part.mixer(x, of: &stream, &state[place])  // [B·T, D]
        try pass.add(part.addition(from: mixed), of: part.name, in: index, to: &stream)
        place += 1
      }
    }
  }

  /// See `LanguageModel.output(ofRead:block:)`.
  func output(ofRead values: Tensor) -> Tensor? {
    parts.lazy.compactMap { part in
      part.mixer.output(ofRead: values).map(part.addition)
    }.first
  }

  /// See `RetainingModel.retention(of:block:reading:_:)`.
  func retention(
    of component: String, reading stream: BlockStream, _ state: [PartState]
  ) -> Retention? {
    var (stream, place) = (stream, 0)
    for step in steps {
      let inputs = step.map { $0.input(from: stream.residual) }  // [T, D] each
      for (part, x) in zip(step, inputs) {
        if part.mixer.state.contains(where: { $0.name == component }) {
          return part.mixer.retention(of: component, x, state[place])
        }
        var copy = state[place]
        let mixed = part.mixer(x, of: &stream, &copy)  // [T, D]
        Kernels.add(part.addition(from: mixed), to: &stream.residual)
        place += 1
      }
    }
    return nil
  }
}
