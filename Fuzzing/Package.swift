// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody builds it who does not fuzz, and because all of it is built
// with the coverage counters of libFuzzer.

/// The readers that have an executable of their own, `fuzz-<name>`.
let readers = [
  "safetensors", "pytorch", "gguf", "numpy", "index", "store", "artifact", "hdf5", "json",
  "tokenizer", "records",
]

let package = Package(
  name: "sextant-fuzzing",
  dependencies: [.package(name: "sextant", path: "..")],
  targets: [
    .target(
      name: "FuzzedReaders", dependencies: [.product(name: "Sextant", package: "sextant")])
  ]
    + readers.map { .executableTarget(name: "fuzz-\($0)", dependencies: ["FuzzedReaders"]) }
    + [.executableTarget(name: "replay", dependencies: ["FuzzedReaders"])]
)
