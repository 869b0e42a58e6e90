import SextantBytes
import SextantModels
import SextantTokenizers

/// The events at one token that was read.
public struct TokenRecord: Sendable {
  /// The position in the sequence.
  public let position: Int
  /// The id.
  public let token: Int
  /// The text that the token adds.
  public internal(set) var text: String
  /// Whether the token is one of the prompt.
  public let isPrompt: Bool
  /// The reports of probes and lenses, by the intervention's place in the list.
  public let reports: [(item: Int, report: JSONObject)]
  /// The effects of edits, in their order.
  public let edits: [EditRecord]
  /// How strongly the token is to be marked for people, from -1 (cold) to 1 (warm); nil for plain.
  public let tint: Double?
}

/// Makes the records of tokens while a text is read.
struct TokenRecorder {
  private let interventions: BoundInterventions
  private var promptDecoder: StreamingDecoder

  init(_ interventions: BoundInterventions, _ tokenizer: any Tokenizer) {
    self.interventions = interventions
    promptDecoder = StreamingDecoder(tokenizer, continuing: false)
  }

  /// Records of tokens that were read, after the observers were called.
  ///
  /// - Parameter text: of a generated token; nil for the prompt.
  mutating func records(
    of tokens: [Int], endingBefore end: Int, text: String?
  ) -> [TokenRecord] {
    let edits = Dictionary(grouping: interventions.takeRecords(), by: \.position)
    var records: [TokenRecord] = []
    for (index, token) in tokens.enumerated() {
      let position = end - tokens.count + index
      records.append(
        TokenRecord(
          position: position, token: token, text: text ?? promptDecoder.append(token),
          isPrompt: text == nil, reports: interventions.reports(at: position),
          edits: edits[position] ?? [], tint: interventions.tint(at: position)))
    }
    return records
  }
}
