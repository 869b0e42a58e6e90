import FuzzedReaders

/// What libFuzzer calls with each input; it brings its own `main`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  FuzzedReader.chat.run(bytes, count: count)
}
