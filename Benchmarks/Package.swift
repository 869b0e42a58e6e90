// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody builds it who does not measure.
let package = Package(
  name: "sextant-benchmarks",
  dependencies: [
    .package(name: "sextant", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // The library that our matrix products are held against.
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .executableTarget(
      name: "sextant-benchmarks",
      dependencies: [
        "COpenBLAS",
        .product(name: "Sextant", package: "sextant"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ]
)
