import SextantBytes
import SextantModels
import SextantTensor

/// A model that asks before each block whether to go on.
final class WatchedModel: LanguageModel {
  private let model: any LanguageModel
  private let check: @Sendable () throws(Refusal) -> Void

  init(_ model: any LanguageModel, _ check: @escaping @Sendable () throws(Refusal) -> Void) {
    self.model = model
    self.check = check
  }

  var description: ModelDescription { model.description }
  var readout: Readout { model.readout }

  func embed(_ tokens: TokenBatch, at starts: [Int], textLength: Int?) -> BlockStream {
    model.embed(tokens, at: starts, textLength: textLength)
  }

  func run(
    block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
  ) throws(Refusal) {
    try check()
    try model.run(block: index, on: &stream, &state, pass)
  }

  func output(ofRead values: Tensor, block: Int) -> Tensor? {
    model.output(ofRead: values, block: block)
  }
}

extension LoadedModel {
  /// The same model, with a function that may stop everything that runs on it.
  ///
  ///     let watched = model.watched { () throws(Refusal) in
  ///       if isEnough.load(ordering: .relaxed) {
  ///         throw Refusal(.usageStopped, found: "a request to stop", expected: "none")
  ///       }
  ///     }
  ///
  /// - Parameter check: called before each block, by the thread that runs the model. Recording, generation
  ///   or training ends with the refusal that it throws. It changes no number.
  public func watched(by check: @escaping @Sendable () throws(Refusal) -> Void) -> LoadedModel {
    LoadedModel(self, model: WatchedModel(model, check))
  }
}
