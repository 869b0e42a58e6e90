import CSeccompForTests
import Glibc
import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantCheckpoints

/// HDF5 is refused on a system that cannot filter system calls.
@Suite struct UnconfinedReaderTests {
  @Test func refusesToReadUnconfined() throws {
    let outcome = try onThread { () -> Outcome in
      guard sextant_test_forbid_filters() == 0 else { return .notForbidden }
      do throws(Refusal) {
        _ = try HDF5Checkpoint(InputFile(PackageFiles.fixture("demo-model/model.h5")))
        return .read
      } catch {
        return .refused(error)
      }
    }
    // In a sandbox that already forbids filters, this test cannot check anything.
    if case .notForbidden = outcome { return }
    guard case .refused(let refusal) = outcome else {
      Issue.record("the file was read")
      return
    }
    #expect(refusal.code == .hdf5ReaderUnconfined)
    #expect(refusal.exitStatus == 74)
  }

  @Test func readsUnconfinedWhereThatIsAskedFor() throws {
    let count = try onThread { () -> Int in
      guard sextant_test_forbid_filters() == 0 else { return -1 }
      let file = try? InputFile(PackageFiles.fixture("demo-model/model.h5"))
      guard let file, let path = try? HDF5ReaderLocation.find(nil) else { return 0 }
      do throws(Refusal) {
        var process = try file.withDescriptor { descriptor throws(Refusal) in
          try HDF5ReaderProcess.start(
            path, arguments: [HDF5ReaderMessage.unconfinedArgument], descriptor: descriptor)
        }
        var patience = Patience(.seconds(60))
        return try HDF5Listing(
          from: &process, fileByteCount: file.byteCount, within: &patience
        ).tensors.count
      } catch {
        return 0
      }
    }
    #expect(count == 62 || count == -1)
  }

  private enum Outcome: Sendable {
    case notForbidden, read
    case refused(Refusal)
  }

  /// What a thread does.
  private final class Job {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  /// Runs `body` on its own thread, because a filter stays with the thread and its children.
  private func onThread<Result>(_ body: @escaping () -> Result) throws -> Result {
    var result: Result?
    let job = Job { result = body() }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        argument.map { Unmanaged<Job>.fromOpaque($0).takeUnretainedValue().body() }
        return nil
      }, Unmanaged.passUnretained(job).toOpaque())
    #expect(status == 0)
    pthread_join(thread, nil)
    return try withExtendedLifetime(job) { try #require(result) }
  }
}
