import Glibc

/// Seconds of the monotonic clock.
func now() -> Double { seconds(of: CLOCK_MONOTONIC) }

/// Seconds that all threads of this process have spent on processors.
func processorSeconds() -> Double { seconds(of: CLOCK_PROCESS_CPUTIME_ID) }

private func seconds(of clock: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// A moment, from which elapsed time is measured.
struct Moment {
  private let clock = now()
  private let processor = processorSeconds()

  /// The time since then, by the clock and by the processors.
  var elapsed: (seconds: Double, processorSeconds: Double) {
    (now() - clock, processorSeconds() - processor)
  }
}
