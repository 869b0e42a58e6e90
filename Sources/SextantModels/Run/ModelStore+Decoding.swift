import SextantStore

extension ModelStore {
  /// Bytes of weights that one step of decoding reads: all of them, for any number of sequences.
  /// There are two exceptions. Of the embedding, a token needs one row, if the output head is another
  /// matrix. Of a mixture of experts, one sequence needs the chosen ones.
  ///
  /// The speed of memory divided by this is the upper limit of decoding.
  package var decodingByteCount: Int {
    let all = tensors.reduce(0) { $0 + $1.byteCount } - unchosenByteCount
    guard let pair = Architectures.named(architecture)?.tiedPair, entry(pair.head) != nil else {
      return all
    }
    return all - (entry(pair.embedding)?.byteCount ?? 0)
  }

  /// Bytes of the experts that a token does not choose.
  private var unchosenByteCount: Int {
    guard case .integer(let count)? = configuration[Experts.Form.countKey],
      case .integer(let chosen)? = configuration[Experts.Form.chosenKey], count > 0,
      let specs = try? Architectures.named(architecture)?.weights(configuration)
    else { return 0 }
    let stacks = specs.filter { $0.kind == .experts }.compactMap { entry($0.name)?.byteCount }
    return stacks.reduce(0, +) / Int(count) * Int(count - chosen)
  }
}
