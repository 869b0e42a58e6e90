// swift-tools-version: 6.2
import PackageDescription

/// For targets that touch bytes somebody else wrote: every unsafe expression must be marked.
let guarded: [SwiftSetting] = [.strictMemorySafety()]

let package = Package(
  name: "sextant",
  products: [
    .executable(name: "sextant", targets: ["sextant"]),
    .executable(name: "sextant-hdf5", targets: ["sextant-hdf5"]),
    .library(name: "Sextant", targets: ["Sextant"]),
    // `make library` makes libsextant.so of it, which exports the functions of sextant.h only.
    .library(name: "sextant-c", type: .dynamic, targets: ["SextantC"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // MARK: C kernels and system libraries
    .target(name: "CSextantKernels"),
    .systemLibrary(
      name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
    .target(name: "CHDF5Confinement", dependencies: ["CHDF5"]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLinux"),
    // Loads OpenBLAS when it is first needed, and is not linked with it.
    .target(name: "CBLAS"),
    .target(name: "CProcessEnd"),
    // The table of functions that a plugin for MPI fills in. The plugin itself is not a target: `make mpi`.
    .systemLibrary(name: "CSextantMPI"),
    .target(name: "CAllocation", dependencies: ["CProcessEnd"]),
    .target(
      name: "CBuildRecord",
      cSettings: Context.environment["SEXTANT_COMMIT"].map {
        [.define("SEXTANT_COMMIT", to: "\"\($0)\"")]
      } ?? []),

    // MARK: Foundations
    .target(name: "SextantLocks"),
    .target(
      name: "SextantTensor",
      dependencies: ["CSextantKernels", "CBLAS", "CProcessEnd", "SextantLocks"]),
    .target(
      name: "SextantBytes",
      dependencies: ["CSextantKernels", "CCrypto", "CLinux", "CProcessEnd", "SextantLocks"],
      swiftSettings: guarded),
    .target(
      name: "SextantCollective",
      dependencies: ["CSextantMPI", "SextantTensor", "SextantBytes", "SextantLocks"]),

    // MARK: Files and text
    .target(
      name: "SextantCheckpoints",
      dependencies: ["SextantTensor", "SextantBytes", "SextantLocks", "CZlib"],
      swiftSettings: guarded),
    .target(
      name: "SextantStore", dependencies: ["SextantTensor", "SextantBytes", "SextantLocks"],
      swiftSettings: guarded),
    .target(
      name: "SextantTexts", dependencies: ["SextantBytes", "CZlib"], swiftSettings: guarded),
    .target(
      name: "SextantTokenizers", dependencies: ["SextantBytes", "SextantStore", "SextantTexts"]),

    // MARK: Models
    .target(
      name: "SextantModels",
      dependencies: [
        "SextantLocks", "SextantTensor", "SextantBytes", "SextantStore",
      ]),
    .target(
      name: "SextantConversion",
      dependencies: [
        "SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore", "SextantModels",
        "SextantTokenizers", "SextantLocks",
      ]),

    // MARK: Artifacts, and the two sides that meet in them
    .target(
      name: "SextantArtifacts",
      dependencies: ["SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore"],
      swiftSettings: guarded),
    .target(
      name: "SextantAnalysis",
      dependencies: [
        "SextantCollective", "SextantTensor", "SextantBytes", "SextantTexts", "SextantModels",
        "SextantTokenizers", "SextantArtifacts",
      ]),
    .target(
      name: "SextantGeneration",
      dependencies: [
        "SextantTensor", "SextantBytes", "SextantModels", "SextantTokenizers", "SextantArtifacts",
      ]),
    // MARK: Results
    .target(
      name: "SextantReport", dependencies: ["SextantBytes"],
      resources: [.embedInCode("Resources")]),
    // What a program writes to its terminal, and how it ends.
    .target(name: "SextantTerminal", dependencies: ["SextantBytes", "SextantReport"]),
    .target(
      name: "SextantEvaluation",
      dependencies: [
        "SextantCollective", "SextantTensor", "SextantBytes", "SextantTexts", "SextantModels",
        "SextantTokenizers",
        "SextantArtifacts", "SextantAnalysis", "SextantGeneration", "SextantReport",
      ], resources: [.embedInCode("Resources")]),
    .target(
      name: "SextantInspection",
      dependencies: [
        "SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore", "SextantTokenizers",
        "SextantModels", "SextantConversion", "SextantArtifacts", "SextantAnalysis",
        "SextantReport",
      ]),

    // MARK: The library
    .target(
      name: "Sextant",
      dependencies: [
        "SextantTensor", "SextantBytes", "SextantStore", "SextantTexts", "SextantTokenizers",
        "SextantModels",
        "SextantConversion", "SextantArtifacts", "SextantAnalysis",
        "SextantGeneration", "SextantEvaluation", "CBuildRecord",
      ]),
    // The library for C: its header, and the functions of the header in Swift.
    .target(name: "CSextant", exclude: ["libsextant.map"]),
    .target(name: "SextantC", dependencies: ["CSextant", "Sextant"]),

    // The whole pipeline on the demo model.
    .target(
      name: "SextantDemo",
      dependencies: [
        "SextantBytes", "SextantConversion", "SextantEvaluation", "SextantInspection",
        "SextantReport", "SextantAnalysis", "Sextant",
      ]),
    // MARK: The server, without a network
    .target(
      name: "SextantServing",
      dependencies: [
        "Sextant", "SextantLocks", "SextantTensor", "SextantBytes", "SextantStore",
        "SextantTokenizers", "SextantModels", "SextantArtifacts", "SextantGeneration",
        "SextantEvaluation", "SextantInspection", "SextantReport",
      ]),

    // MARK: Executables
    .executableTarget(
      name: "sextant",
      dependencies: [
        "CAllocation", "CProcessEnd", "Sextant", "SextantCollective",
        "SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore", "SextantTexts",
        "SextantTokenizers", "SextantModels", "SextantConversion", "SextantArtifacts",
        "SextantAnalysis", "SextantGeneration", "SextantReport", "SextantEvaluation",
        "SextantInspection", "SextantTerminal", "SextantDemo",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "sextant-hdf5",
      dependencies: ["CHDF5", "CHDF5Confinement", "CZlib", "SextantBytes"],
      swiftSettings: guarded),

    // MARK: Examples, each with one import
    .executableTarget(
      name: "RecordAndSteer", dependencies: ["Sextant"], path: "Examples/RecordAndSteer"),
    .executableTarget(
      name: "RawDirection", dependencies: ["Sextant"], path: "Examples/RawDirection"),
    .executableTarget(
      name: "TrainAndApply", dependencies: ["Sextant"], path: "Examples/TrainAndApply"),

    // MARK: Tests
    .target(
      name: "SextantTestSupport", dependencies: ["SextantBytes"], path: "Tests/SextantTestSupport"),
    .target(name: "CSeccompForTests", path: "Tests/CSeccompForTests"),
    // A program in C that uses the library.
    .executableTarget(name: "CInterface", dependencies: ["SextantC"], path: "Tests/CInterface"),
    // The code of the pages in Sextant.docc, as one program.
    .executableTarget(
      name: "ArticleSnippets", dependencies: ["Sextant"], path: "Tests/ArticleSnippets"),
    .testTarget(
      name: "SextantTensorTests",
      dependencies: ["SextantLocks", "SextantTensor", "CSextantKernels", "SextantTestSupport"]),
    .testTarget(
      name: "SextantBytesTests", dependencies: ["SextantBytes", "SextantTestSupport"]),
    .testTarget(
      name: "SextantCheckpointsTests",
      dependencies: [
        "CSeccompForTests", "SextantCheckpoints", "SextantTensor", "SextantBytes",
        "SextantTestSupport", "sextant-hdf5",
      ]),
    .testTarget(
      name: "SextantStoreTests",
      dependencies: [
        "SextantLocks", "SextantStore", "SextantTensor", "SextantBytes", "SextantTestSupport",
      ]),
    .target(
      name: "SextantModelTestSupport",
      dependencies: [
        "SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore", "SextantTokenizers",
        "SextantModels", "SextantConversion", "SextantTestSupport",
      ], path: "Tests/SextantModelTestSupport"),
    .testTarget(
      name: "SextantModelsTests",
      dependencies: [
        "SextantLocks",
        "SextantModels", "SextantConversion", "SextantCheckpoints", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantArtifactsTests",
      dependencies: [
        "SextantArtifacts", "SextantCheckpoints", "SextantStore", "SextantTensor", "SextantBytes",
        "SextantTestSupport",
      ]),
    .testTarget(
      name: "SextantCollectiveTests",
      dependencies: ["SextantCollective", "SextantTensor", "SextantBytes", "SextantTestSupport"]),
    .testTarget(
      name: "SextantAnalysisTests",
      dependencies: [
        "SextantCollective",
        "SextantAnalysis", "SextantArtifacts", "SextantCheckpoints", "SextantModels",
        "SextantTokenizers",
        "SextantStore", "SextantTensor", "SextantBytes", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantGenerationTests",
      dependencies: [
        "SextantGeneration", "SextantArtifacts", "SextantModels", "SextantTokenizers",
        "SextantStore", "SextantTensor", "SextantBytes", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantTextsTests",
      dependencies: ["SextantTexts", "SextantBytes", "CZlib", "SextantTestSupport"]
    ),
    .testTarget(
      name: "SextantTokenizersTests",
      dependencies: ["SextantTokenizers", "SextantTexts", "SextantBytes", "SextantTestSupport"]),
    .testTarget(
      name: "SextantConversionTests",
      dependencies: [
        "SextantConversion", "SextantCheckpoints", "SextantTokenizers", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantEvaluationTests",
      dependencies: [
        "SextantCollective",
        "SextantEvaluation", "SextantAnalysis", "SextantGeneration", "SextantArtifacts",
        "SextantModels", "SextantReport", "SextantTexts",
        "SextantTokenizers", "SextantStore", "SextantTensor", "SextantBytes", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantInspectionTests",
      dependencies: [
        "SextantInspection", "SextantArtifacts", "SextantCheckpoints", "SextantGeneration",
        "SextantModels", "SextantReport", "SextantBytes", "SextantTestSupport",
        "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantServingTests",
      dependencies: [
        "SextantServing", "Sextant", "SextantArtifacts", "SextantEvaluation", "SextantGeneration",
        "SextantModels", "SextantStore", "SextantTensor", "SextantTokenizers", "SextantBytes",
        "SextantTestSupport", "SextantModelTestSupport",
      ]),
    .testTarget(
      name: "SextantReportTests", dependencies: ["SextantReport", "SextantBytes"]),
    .testTarget(
      name: "SextantTests",
      dependencies: [
        "Sextant", "SextantTerminal", "SextantTestSupport", "SextantModelTestSupport", "sextant",
        "RecordAndSteer", "RawDirection", "TrainAndApply", "ArticleSnippets", "CInterface",
      ]),
    .testTarget(
      name: "ConformanceTests",
      dependencies: [
        "SextantArtifacts", "SextantStore", "SextantCheckpoints", "SextantTensor", "SextantBytes",
        "SextantTestSupport", "sextant-hdf5",
      ]),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "sextant", "sextant-hdf5", "SextantArtifacts", "SextantCheckpoints", "SextantTensor",
        "SextantBytes", "SextantTestSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ]
)

// The targets below use names that only this package sees, and most people never build them. Therefore they exist only if a
// variable of the environment asks for them. Their builds need a build folder of their own, so that the usual one stays as it is.

// MARK: Benchmarks
if Context.environment["SEXTANT_BENCHMARKS"] != nil {
  package.targets += [
    // Our matrix products are compared with this library.
    .systemLibrary(
      name: "COpenBLAS", path: "Benchmarks/Sources/COpenBLAS", pkgConfig: "openblas",
      providers: [.apt(["libopenblas-dev"])]),
    .executableTarget(
      name: "sextant-benchmarks",
      dependencies: [
        "COpenBLAS", "SextantTensor", "SextantBytes", "SextantCheckpoints", "SextantStore",
        "SextantTexts", "SextantTokenizers", "SextantModels", "SextantConversion",
        "SextantArtifacts", "SextantAnalysis", "SextantEvaluation",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Benchmarks/Sources/sextant-benchmarks"),
  ]
}

// MARK: Fuzzing
if Context.environment["SEXTANT_FUZZING"] != nil {
  /// Each of these readers has an executable `fuzz-<name>`, which is linked with libFuzzer.
  let readers = [
    "safetensors", "pytorch", "gguf", "numpy", "index", "store", "artifact", "hdf5", "json",
    "tokenizer", "records", "chat",
  ]
  package.targets +=
    [
      .target(
        name: "FuzzedReaders",
        dependencies: [
          "SextantBytes", "SextantCheckpoints", "SextantStore", "SextantTexts",
          "SextantTokenizers", "SextantArtifacts",
        ], path: "Fuzzing/Sources/FuzzedReaders"),
      .executableTarget(
        name: "replay", dependencies: ["FuzzedReaders", "SextantBytes"],
        path: "Fuzzing/Sources/replay"),
    ]
    + readers.map {
      .executableTarget(
        name: "fuzz-\($0)", dependencies: ["FuzzedReaders"], path: "Fuzzing/Sources/fuzz-\($0)")
    }
}

// MARK: The server
if Context.environment["SEXTANT_SERVER"] != nil {
  package.dependencies += [
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
    // Hummingbird brings these. They are named because the server imports them.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
  ]
  package.targets += [
    .executableTarget(
      name: "sextant-serve",
      dependencies: [
        "CAllocation", "Sextant", "SextantServing", "SextantBytes", "SextantLocks",
        "SextantArtifacts",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      // The page: each file becomes a constant of bytes in the executable.
      resources: [.embedInCode("Page")])
  ]
}
