import SextantBytes
import SextantTestSupport
import Testing

/// The examples of FIPS 180-4, and the empty message.
@Test(
  arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      String(repeating: "a", count: 1_000_000),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ])
func sha256OfKnownMessages(_ message: String, _ digits: String) {
  #expect(SHA256.digest(Array(message.utf8)).description == digits)
  #expect(SHA256.digest(message.utf8.reversed().reversed() as [UInt8]).description == digits)
}

@Test func sha256DoesNotDependOnThePieces() {
  var numbers = SplitMix64(seed: 4)
  let message = numbers.bytes(1000)
  let whole = SHA256.digest(message)
  for _ in 0..<20 {
    var hash = SHA256()
    var rest = message[...]
    while !rest.isEmpty {
      let count = min(numbers.int(below: 200), rest.count)
      hash.update(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    #expect(hash.finalize() == whole)
  }
  #expect(message.withUnsafeBytes { SHA256.digest($0) } == whole)
}

@Test func twoMessagesAtOnceGiveTheDigestsOfEach() {
  var numbers = SplitMix64(seed: 5)
  for (first, second) in [
    (0, 0), (0, 64), (63, 64), (64, 64), (65, 127), (128, 4_096), (70_000, 9),
  ] {
    // The bytes before may end inside a block, in none, one or both of the two.
    for (before, beforeToo) in [(0, 0), (64, 128), (1, 0), (0, 63), (100, 100)] {
      let (a, b) = (numbers.bytes(before + first), numbers.bytes(beforeToo + second))
      var one = SHA256()
      var two = SHA256()
      one.update(a.prefix(before))
      two.update(b.prefix(beforeToo))
      a.withUnsafeBytes { a in
        b.withUnsafeBytes { b in
          SHA256.update(
            &one, UnsafeRawBufferPointer(rebasing: a[before...]),
            &two, UnsafeRawBufferPointer(rebasing: b[beforeToo...]))
        }
      }
      #expect(one.finalize() == SHA256.digest(a), "\(first) and \(second)")
      #expect(two.finalize() == SHA256.digest(b), "\(first) and \(second)")
    }
  }
}

/// The message's length in bits needs more than one of libcrypto's counter words.
@Test func longMessagesAtOnceGiveTheDigestsOfEach() {
  var numbers = SplitMix64(seed: 6)
  let bytes = numbers.bytes(1 << 20)
  var one = SHA256()
  var two = SHA256()
  var alone = SHA256()
  bytes.withUnsafeBytes { bytes in
    for _ in 0..<520 {
      SHA256.update(&one, bytes, &two, UnsafeRawBufferPointer(rebasing: bytes[..<(1 << 19)]))
      alone.update(bytes)
    }
  }
  var half = SHA256()
  for _ in 0..<520 { half.update(bytes.prefix(1 << 19)) }
  let (whole, part) = (alone.finalize(), half.finalize())
  #expect(one.finalize() == whole)
  #expect(two.finalize() == part)
}

@Test func digestsAreWrittenInLowerCaseHexadecimalOnly() throws {
  let digest = SHA256.digest([1, 2, 3])
  #expect(Digest(hexadecimal: digest.description) == digest)
  #expect(Digest(bytes: digest.bytes) == digest)
  let text = digest.description
  for bad in [
    "", String(text.dropLast()), text + "0", text.uppercased(), "g" + text.dropFirst(),
    " " + text.dropFirst(), "é" + text.dropFirst(2),
  ] {
    #expect(Digest(hexadecimal: bad) == nil)
  }
  #expect(Digest(bytes: [1, 2, 3]) == nil)
}
