import SextantTensor
import Testing

/// Memory that tensors borrow. It reports when it is freed.
private final class Lender {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ values: [Float], offset: Int = 0) {
    bytes = .allocate(byteCount: values.count * 4 + offset, alignment: 64)
    values.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]).copyMemory(from: $0)
    }
  }

  deinit { bytes.deallocate() }

  var floats: [Float] { Array(bytes.bindMemory(to: Float.self)) }
}

@Suite struct TensorTests {
  @Test func writingToACopyLeavesTheOriginal() {
    let original = Tensor([1, 2, 3, 4], shape: [2, 2])
    var copy = original
    copy.withMutableFloats { $0[0] = 9 }
    #expect(original.values == [1, 2, 3, 4])
    #expect(copy.values == [9, 2, 3, 4])
  }

  @Test func writingToTheOnlyReferenceCopiesNothing() {
    var tensor = Tensor([1, 2, 3], shape: [3])
    let before = tensor.withFloats { UInt(bitPattern: $0.baseAddress) }
    let after = tensor.withMutableFloats { UInt(bitPattern: $0.baseAddress) }
    #expect(before == after)
  }

  @Test func borrowedMemoryIsReadInPlaceAndNeverWritten() throws {
    let lender = Lender([1, 2, 3, 4])
    var tensor = try #require(
      Tensor(
        borrowing: UnsafeRawBufferPointer(lender.bytes), owner: lender, dataType: .f32,
        shape: [4]))
    #expect(
      tensor.withUnsafeBytes { $0.baseAddress } == UnsafeRawPointer(lender.bytes.baseAddress))
    tensor.withMutableFloats { $0[0] = 9 }
    #expect(tensor.values == [9, 2, 3, 4])
    #expect(lender.floats == [1, 2, 3, 4])
  }

  @Test func aBorrowingTensorKeepsTheOwnerAlive() throws {
    weak var weakLender: Lender?
    var tensor: Tensor?
    do {
      let lender = Lender([5])
      weakLender = lender
      tensor = Tensor(
        borrowing: UnsafeRawBufferPointer(lender.bytes), owner: lender, dataType: .f32,
        shape: [1])
    }
    #expect(weakLender != nil)
    #expect(tensor?.values == [5])
    tensor = nil
    #expect(weakLender == nil)
  }

  @Test func misalignedMemoryIsCopied() throws {
    let lender = Lender([1, 2], offset: 2)
    let bytes = UnsafeRawBufferPointer(rebasing: lender.bytes[2...])
    let tensor = try #require(
      Tensor(borrowing: bytes, owner: lender, dataType: .f32, shape: [2]))
    #expect(tensor.values == [1, 2])
    #expect(tensor.withUnsafeBytes { Int(bitPattern: $0.baseAddress) % 4 } == 0)
  }

  @Test(arguments: [([3], 8), ([2, 2], 12), ([-1], 4), ([Int.max, 4], 16), ([], 8), ([0], 4)])
  func refusesBytesThatDoNotFitTheShape(shape: [Int], byteCount: Int) {
    let bytes = [UInt8](repeating: 0, count: byteCount)
    bytes.withUnsafeBytes {
      #expect(Tensor(copying: $0, dataType: .f32, shape: shape) == nil)
      #expect(
        Tensor(borrowing: $0, owner: Lender([]), dataType: .f32, shape: shape) == nil)
    }
  }

  @Test func emptyTensorsAndScalars() throws {
    let empty = try #require(
      Tensor(copying: UnsafeRawBufferPointer(start: nil, count: 0), dataType: .bf16, shape: [3, 0])
    )
    #expect(empty.count == 0)
    #expect(empty == Tensor(zeros: [3, 0], dataType: .bf16))
    #expect(Tensor(zeros: []).values == [0])
    #expect(Tensor([7], shape: []).rowCount == 1)
  }

  @Test func rowsAreSubTensorsOfTheFirstAxis() {
    let tensor = Tensor((0..<12).map(Float.init), shape: [3, 2, 2])
    #expect(tensor.rows(1..<3) == Tensor((4..<12).map(Float.init), shape: [2, 2, 2]))
    #expect(tensor.rows(2..<2) == Tensor(zeros: [0, 2, 2]))
    #expect(Tensor(zeros: [0, 5]).rows(0..<0).shape == [0, 5])
  }

  @Test func concatenationUndoesRows() {
    let tensor = Tensor((0..<12).map(Float.init), shape: [6, 2])
    let parts = [tensor.rows(0..<1), tensor.rows(1..<1), tensor.rows(1..<6)]
    #expect(Tensor.concatenated(parts) == tensor)
    #expect(Tensor.concatenated([]).count == 0)
  }

  @Test func slicesAreReadInPlace() {
    let tensor = Tensor((0..<12).map(Float.init), shape: [3, 4])
    let slice = tensor.slice(rows: 1..<3, columns: 1..<3)
    #expect(Tensor(copying: slice) == Tensor([5, 6, 9, 10], shape: [2, 2]))
    #expect(Tensor(copying: tensor.columns(3..<4)).values == [3, 7, 11])
  }

  @Test func equalityIsOfTypeShapeAndBits() {
    #expect(Tensor([1, 2], shape: [2]) != Tensor([1, 2], shape: [1, 2]))
    #expect(Tensor([0], shape: [1]) != Tensor([-0.0], shape: [1]))
    #expect(Tensor([.nan], shape: [1]) == Tensor([.nan], shape: [1]))
    #expect(Tensor(zeros: [1]) != Tensor(zeros: [1], dataType: .i32))
  }

  @Test(arguments: DataType.elementTypes)
  func everyTypeHasTheWidthThatItsNameSays(_ type: DataType) {
    let digits = Int(type.rawValue.drop { !$0.isNumber }) ?? 8
    #expect(type.byteWidth * 8 == digits)
    #expect(Tensor(zeros: [3], dataType: type).withUnsafeBytes { $0.count } == 3 * digits / 8)
  }

  @Test(
    arguments: [
      ([], 1), ([2, 3], 6), ([0], 0), ([4, 0, 2], 0), ([-1], nil), ([0, -1], nil),
      ([1 << 32, 1 << 31], nil), ([0, 1 << 62, 8], nil), ([Int.max], Int.max),
    ] as [([Int], Int?)])
  func elementCountsAreChecked(shape: [Int], count: Int?) {
    #expect(Shape.elementCount(shape) == count)
  }

  @Test func byteCountsAreChecked() {
    #expect(DataType.f64.byteCount(shape: [1 << 60]) == nil)
    #expect(DataType.u8.byteCount(shape: [Int.max]) == Int.max)
    #expect(DataType.bf16.byteCount(shape: [3, 5]) == 30)
  }
}
