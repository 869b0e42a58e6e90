import Glibc
import SextantBytes
import SextantGeneration
import SextantLocks
import SextantModels

/// Makes the texts of all requests, on one thread.
///
/// A loop: drop what nobody waits for, start what fits, read some tokens of prompts and one token of each row,
/// and hand out what is new. Rows do not depend on each other. The engine never waits for a reader.
final class Engine: @unchecked Sendable {
  /// Tokens of prompts in one step, while rows are continued and while none are.
  private static let promptTokens = (beside: 64, alone: 512)
  /// Texts that run or rest, as a multiple of those that run.
  static let restingFactor = 4

  private struct Inbox {
    var jobs: [Job] = []
    /// Jobs of which no text has started.
    var waitingCount = 0
    var isClosed = false
    var isEnded = false
  }

  private let inbox = Lock(Inbox())
  private let bell = Bell()
  private let options: ServiceOptions
  /// Figures for `/metrics`.
  let metrics = Metrics()

  // Of the engine's thread alone:
  private let batch: GenerationBatch
  private let cache: PrefixCache
  private var jobs: [Job] = []
  /// The text of each run in the batch.
  private var texts: [ObjectIdentifier: (text: ServedText, job: Job)] = [:]
  private var laneOfStart = Lane.page
  private var laneOfReading = Lane.page

  init(_ model: any LanguageModel, _ options: ServiceOptions) {
    self.options = options
    batch = GenerationBatch(model)
    cache = PrefixCache(limit: options.cacheBytes)
  }

  // MARK: From other threads

  /// Starts the thread.
  ///
  /// - Throws: `system.memory` if the system refuses one.
  func start() throws(Refusal) {
    try OwnThread.start { [self] in main() }
  }

  /// A queue for the events of a request.
  func queue() -> EventQueue {
    EventQueue(limit: options.bufferedPieces) { [bell] in bell.ring() }
  }

  /// Takes a request, or refuses it.
  func submit(_ job: Job) throws(ServingError) {
    let refusal: ServingError? = inbox.withLock { inbox in
      if inbox.isClosed {
        return ServingError(.shuttingDown, "The server is shutting down.")
      }
      if inbox.waitingCount >= options.queueLimit {
        return ServingError(
          .queueFull, "\(inbox.waitingCount) requests wait already. Try again later.",
          headers: [("Retry-After", "2")])
      }
      inbox.waitingCount += 1
      inbox.jobs.append(job)
      return nil
    }
    if let refusal { throw refusal }
    bell.ring()
  }

  /// Takes no further requests.
  func close() {
    inbox.withLock { $0.isClosed = true }
    bell.ring()
  }

  /// Whether the thread has ended.
  var isEnded: Bool { inbox.withLock { $0.isEnded } }

  /// Cancels all requests.
  func cancelAll() {
    mustEnd.withLock { $0 = true }
    bell.ring()
  }

  private let mustEnd = Lock(false)

  // MARK: The loop

  private func main() {
    while true {
      let isClosed = inbox.withLock { inbox in
        jobs += inbox.jobs
        inbox.jobs = []
        return inbox.isClosed
      }
      if mustEnd.withLock({ $0 }) {
        for job in jobs {
          end(job, .failure(ServingError(.shuttingDown, "The server is shutting down.")))
        }
      }
      dropUnwanted()
      startTexts()
      tellPlaces()
      restAndWake()
      note()
      guard batch.count > 0 else {
        if isClosed, jobs.isEmpty { break }
        bell.wait(milliseconds: jobs.isEmpty ? nil : 100)
        continue
      }
      chooseLaneOfReading()
      let limit = batch.rowCount > 0 ? Self.promptTokens.beside : Self.promptTokens.alone
      handle(batch.step(promptTokens: limit))
    }
    inbox.withLock { $0.isEnded = true }
  }

  /// Ends requests whose reader left, that took too long, or whose reader does not read.
  private func dropUnwanted() {
    let now = ContinuousClock.now
    for job in jobs {
      if job.queue.isCancelled {
        metrics.add(\.cancelled)
        end(job, .success(()))
      } else if now - job.arrival > .seconds(options.secondsPerRequest) {
        let seconds = Int(options.secondsPerRequest)
        end(
          job,
          .failure(ServingError(.deadline, "A request may take \(seconds) seconds at most.")))
      } else if let since = job.running.compactMap(\.text.restingSince).min(),
        now - since > .seconds(options.secondsOfRest)
      {
        end(
          job, .failure(ServingError(.slowReader, "The answer was not read for too long.")))
      } else if job.isStream, now - job.queue.lastChange > .seconds(options.secondsOfSilence) {
        job.queue.push(.silence)
      }
    }
    jobs.removeAll { $0.isOver }
  }

  /// Ends a request: its rows leave before the next step.
  private func end(_ job: Job, _ ending: Result<Void, ServingError>) {
    for (text, run) in job.running {
      texts[ObjectIdentifier(run)] = nil
      batch.remove(run)
      text.finish()
    }
    for text in job.waiting { text.finish() }
    noteStart(of: job)
    (job.running, job.waiting) = ([], [])
    job.queue.finish(ending)
  }

  /// The request waits no longer.
  private func noteStart(of job: Job) {
    guard !job.hasStarted else { return }
    job.hasStarted = true
    inbox.withLock { $0.waitingCount -= 1 }
  }

  /// Whether another text can run. Texts that rest take no room.
  private var hasRoom: Bool { batch.count < max(options.parallel, 1) }

  /// Starts texts while there is room: the lanes take turns, the oldest request of a lane comes first.
  private func startTexts() {
    while hasRoom, texts.count < Self.restingFactor * options.parallel {
      let other: Lane = laneOfStart == .page ? .api : .page
      guard let (job, text) = next(laneOfStart) ?? next(other) else { return }
      laneOfStart = job.lane == .page ? .api : .page
      noteStart(of: job)
      do throws(ServingError) {
        try start(text, job)
      } catch {
        end(job, .failure(error))
      }
    }
  }

  private func start(_ text: ServedText, _ job: Job) throws(ServingError) {
    job.waiting.removeAll { $0 === text }
    let run = try text.run()
    job.running.append((text, run))
    texts[ObjectIdentifier(run)] = (text, job)
    metrics.noteStart(promptTokens: text.prompt.count, cached: text.start(run, cache))
    batch.add(run)
  }

  private func next(_ lane: Lane) -> (Job, ServedText)? {
    for job in jobs where job.lane == lane {
      if let text = job.candidates.first(where: canStart) { return (job, text) }
    }
    return nil
  }

  /// Whether nothing that a text needs is still being read by another one.
  private func canStart(_ text: ServedText) -> Bool {
    text.sourceIsRead && !text.awaits(texts.values.lazy.map(\.text))
  }

  /// Tells requests that wait their places.
  private func tellPlaces() {
    for (place, job) in jobs.lazy.filter({ !$0.hasStarted }).enumerated()
    where job.tellsPlace && job.toldPlace != place + 1 {
      job.toldPlace = place + 1
      job.queue.push(.waiting(place: place + 1))
    }
  }

  /// Texts of a request rest while its reader is behind.
  private func restAndWake() {
    for job in jobs where !job.running.isEmpty {
      let isFull = job.queue.isFull
      for (text, run) in job.running where isFull != (text.restingSince != nil) {
        if isFull {
          batch.remove(run)
          text.restingSince = .now
        } else if hasRoom {
          batch.addAgain(run)
          text.restingSince = nil
        }
      }
    }
  }

  /// The lanes take turns in reading prompts.
  private func chooseLaneOfReading() {
    let other: Lane = laneOfReading == .page ? .api : .page
    for lane in [laneOfReading, other] {
      for job in jobs where job.lane == lane {
        let reading = job.running.first {
          !$0.run.hasReadPrompt && $0.text.restingSince == nil
        }
        guard let reading else { continue }
        batch.readNext(reading.run)
        laneOfReading = lane == .page ? .api : .page
        return
      }
    }
  }

  private func handle(_ events: [(run: GenerationRun, event: GenerationBatch.Event)]) {
    for (run, event) in events {
      guard let (text, job) = texts[ObjectIdentifier(run)] else { continue }
      text.branch?.didStep(event, batch)
      switch event {
      case .prompt, .step: tell(text.news(run, nil), job)
      case .token(let record): tell(text.news(run, record), job)
      case .end:
        tell(text.news(run, nil) + [text.end(run)], job)
        text.keepAnswer(run)
        leave(text, job)
      case .failure(let refusal):
        let error = ServingError(refusal, isSteered: text.isSteered)
        leave(text, job)
        end(job, .failure(error))
      }
      if job.isOver { job.queue.finish() }
    }
    jobs.removeAll { $0.isOver }
  }

  private func tell(_ events: [TextEvent], _ job: Job) {
    for event in events {
      if case .token = event { metrics.add(\.generatedTokens) }
      job.queue.push(event)
    }
  }

  private func leave(_ text: ServedText, _ job: Job) {
    for (own, run) in job.running where own === text { texts[ObjectIdentifier(run)] = nil }
    job.running.removeAll { $0.text === text }
    text.finish()
  }

  private func note() {
    metrics.set(
      running: texts.count, waiting: inbox.withLock { $0.waitingCount },
      snapshots: cache.snapshotCount, bytes: cache.byteCount)
  }
}

/// Wakes a thread that waits.
final class Bell: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  /// Wakes the thread, or lets its next wait return at once.
  func ring() { sem_post(semaphore) }

  /// Waits for a ring, or for some time. Several rings count as one.
  func wait(milliseconds: Int?) {
    if let milliseconds {
      var end = timespec()
      clock_gettime(CLOCK_REALTIME, &end)
      end.tv_nsec += milliseconds * 1_000_000
      end.tv_sec += end.tv_nsec / 1_000_000_000
      end.tv_nsec %= 1_000_000_000
      while sem_timedwait(semaphore, &end) != 0, errno == EINTR {}
    } else {
      while sem_wait(semaphore) != 0, errno == EINTR {}
    }
    while sem_trywait(semaphore) == 0 {}
  }
}
