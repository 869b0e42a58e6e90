import SextantLocks

/// Figures of the engine, for `/metrics`.
final class Metrics: Sendable {
  /// The figures at one moment.
  struct Figures: Sendable {
    var requests = 0
    var refused = 0
    var cancelled = 0
    var promptTokens = 0
    var cachedTokens = 0
    var cacheHits = 0
    var starts = 0
    var generatedTokens = 0
    var running = 0
    var waiting = 0
    var snapshots = 0
    var cacheBytes = 0
  }

  private let figures = Lock(Figures())

  /// The figures now.
  var current: Figures { figures.withLock { $0 } }

  /// Counts one.
  func add(_ figure: WritableKeyPath<Figures, Int> & Sendable) {
    figures.withLock { $0[keyPath: figure] += 1 }
  }

  /// Counts a text that starts.
  func noteStart(promptTokens: Int, cached: Int) {
    figures.withLock { figures in
      figures.starts += 1
      figures.promptTokens += promptTokens
      figures.cachedTokens += cached
      if cached > 0 { figures.cacheHits += 1 }
    }
  }

  /// Notes what is going on.
  func set(running: Int, waiting: Int, snapshots: Int, bytes: Int) {
    figures.withLock { figures in
      (figures.running, figures.waiting) = (running, waiting)
      (figures.snapshots, figures.cacheBytes) = (snapshots, bytes)
    }
  }

  /// The text that Prometheus reads.
  var text: String {
    let now = current
    let rows: [(name: String, kind: String, help: String, value: Int)] = [
      ("requests_total", "counter", "Requests that were answered.", now.requests),
      ("refused_total", "counter", "Requests that were refused.", now.refused),
      ("cancelled_total", "counter", "Requests whose client left.", now.cancelled),
      ("texts_total", "counter", "Texts that were started.", now.starts),
      ("prompt_tokens_total", "counter", "Tokens of prompts.", now.promptTokens),
      ("cached_tokens_total", "counter", "Tokens of prompts that the cache had.", now.cachedTokens),
      ("cache_hits_total", "counter", "Texts that started from a snapshot.", now.cacheHits),
      ("generated_tokens_total", "counter", "Tokens that were generated.", now.generatedTokens),
      ("running", "gauge", "Texts that are running.", now.running),
      ("waiting", "gauge", "Requests that wait.", now.waiting),
      ("cache_snapshots", "gauge", "Snapshots in the prefix cache.", now.snapshots),
      ("cache_bytes", "gauge", "Bytes of the prefix cache.", now.cacheBytes),
    ]
    return rows.map { row in
      "# HELP sextant_\(row.name) \(row.help)\n# TYPE sextant_\(row.name) \(row.kind)\n"
        + "sextant_\(row.name) \(row.value)\n"
    }.joined()
  }
}
