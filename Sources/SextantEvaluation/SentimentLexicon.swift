/// A word list that separates praise from blame in film reviews: a rough measure that does not
/// depend on a model.
///
/// A text's score is (praise - blame) / (praise + blame), counted over its words; a negation within
/// the two previous words reverses a word. A text without such words has no score.
package struct SentimentLexicon: Sendable {
  private let values: [String: Int]

  /// The words of the list, without the ones that `text` contains.
  ///
  /// Words that a vector was trained on are left out of the measure of its effect: else it would
  /// show that the vector pushes its own words.
  package init(without texts: [String] = []) {
    let excluded = Set(texts.flatMap { Self.words(of: $0) })
    var values: [String: Int] = [:]
    for (list, value) in [(Self.praise, 1), (Self.blame, -1)] {
      for word in list.split(separator: " ") where !excluded.contains(String(word)) {
        values[String(word)] = value
      }
    }
    self.values = values
  }

  /// Words in the list.
  package var count: Int { values.count }

  /// The score of a text, from -1 (only blame) to 1 (only praise); nil for neither.
  package func score(_ text: String) -> Double? {
    let words = Self.words(of: text)
    var (sum, total) = (0, 0)
    for (place, word) in words.enumerated() {
      guard let value = values[word] else { continue }
      let isNegated = words[max(0, place - 2)..<place].contains {
        Self.negations.contains($0) || $0.hasSuffix("n't")
      }
      sum += isNegated ? -value : value
      total += 1
    }
    return total == 0 ? nil : Double(sum) / Double(total)
  }

  /// The words of a text in lower case; apostrophes belong to words.
  static func words(of text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && $0 != "'" }.map(String.init)
  }

  private static let negations: Set<String> = [
    "not", "no", "never", "nothing", "hardly", "without",
  ]

  private static let praise = """
    good great best better love loved loves lovely fun funny hilarious entertaining enjoyed enjoy \
    enjoyable enjoys wonderful wonderfully excellent fantastic amazing amazingly brilliant \
    brilliantly superb perfect perfectly beautiful beautifully masterpiece classic favorite \
    memorable touching moving charming charm delightful delight impressive impressed stunning \
    gripping thrilling exciting fascinating interesting clever witty smart original fresh powerful \
    strong solid well worth recommend recommended highly terrific outstanding remarkable awesome \
    cool nice pleasant sweet heartwarming warm inspiring inspired engaging compelling captivating \
    believable convincing realistic talented gem treat winner success successful rich subtle \
    intelligent poetic magical magic breathtaking gorgeous stylish flawless incredible incredibly \
    unforgettable refreshing satisfying rewarding hit happy glad laughed laughs laugh positive \
    superior effective admirable honest genuine splendid marvelous exceptional tremendous
    """

  private static let blame = """
    bad worse worst awful awfully terrible terribly horrible horribly dreadful boring bored bore \
    dull stupid stupidity dumb annoying annoyed ugly pathetic poor poorly waste wasted wasting lame \
    weak ridiculous ridiculously disappointing disappointed disappointment disappoint hate hated \
    hates mess messy crap crappy garbage trash rubbish junk cheap cheesy predictable unbelievable \
    unconvincing unfunny pointless senseless nonsense tedious slow bland flat lifeless lacking lacks \
    fails failed fail failure flop forgettable mediocre uninteresting uninspired unoriginal clumsy \
    amateurish incompetent laughable embarrassing embarrassed painful painfully unwatchable avoid \
    sorry sad sadly unfortunately silly absurd idiotic moronic insulting offensive disgusting gross \
    wooden shallow contrived confusing confused incoherent overrated tiresome irritating hideous \
    atrocious abysmal worthless useless regret negative wrong problem problems worry disaster \
    inept stale hollow
    """
}
