import Synchronization

/// Whether HDF5 files are read if the kernel cannot confine their reader.
package enum HDF5Confinement {
  private static let isOptionalNow = Atomic<Bool>(false)

  /// Whether a reader without a filter of system calls is accepted: for files that the user trusts.
  static var isOptional: Bool { isOptionalNow.load(ordering: .relaxed) }

  /// Accepts readers that cannot be confined from now on.
  package static func makeOptional() { isOptionalNow.store(true, ordering: .relaxed) }

  private static let hasReaderNow = Atomic<Bool>(false)

  /// Whether a reader of HDF5 was started in this process.
  package static var hasReader: Bool { hasReaderNow.load(ordering: .relaxed) }

  static func noteReader() { hasReaderNow.store(true, ordering: .relaxed) }
}
