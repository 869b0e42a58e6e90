import SextantStore

extension ModelStore {
  /// Bytes of weights that one step of decoding reads, for any number of sequences: all of them,
  /// except the embedding if the output head is another matrix, of which a token needs one row.
  ///
  /// The speed of memory divided by this is the upper limit of decoding.
  package var decodingByteCount: Int {
    let all = tensors.reduce(0) { $0 + $1.byteCount }
    guard let pair = Architectures.named(architecture)?.tiedPair, entry(pair.head) != nil else {
      return all
    }
    return all - (entry(pair.embedding)?.byteCount ?? 0)
  }
}
