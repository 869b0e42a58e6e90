import CSextant
import Sextant
import Synchronization

/// An object behind a handle.
class Object: @unchecked Sendable {
  /// What an object of the class is, for errors.
  class var kind: String { "an object" }

  /// What the object is, for `sextant_describe`.
  func description() throws(Refusal) -> JSONObject { JSONObject() }

  /// The value of that name, for `sextant_values`.
  func tensor(_ name: String) throws(Refusal) -> Tensor {
    throw Refusal(
      .usageHandle, found: Self.kind, expected: "a recording, a state or an artifact")
  }

  /// Values that C has addresses of. They live as long as the object.
  private let shown = Mutex<[String: Tensor]>([:])

  /// The value of that name, kept for as long as the object lives.
  final func keptTensor(_ name: String) throws(Refusal) -> Tensor {
    if let kept = shown.withLock({ $0[name] }) { return kept }
    let value = try tensor(name)
    return shown.withLock { shown in
      // Another thread may have been faster, and its addresses must stay valid.
      if let kept = shown[name] { return kept }
      shown[name] = value
      return value
    }
  }
}

/// The objects that are open.
///
/// A handle consists of a place and of the number of objects that were at this place before. Therefore the handle of a closed object
/// leads nowhere, also when another object has its place.
final class HandleTable: Sendable {
  static let shared = HandleTable()

  private struct Slot {
    var generation: UInt32 = 1
    var object: Object?
  }

  private struct Slots {
    var all: [Slot] = []
    var free: [Int] = []
  }

  private let slots = Mutex(Slots())

  func add(_ object: Object) throws(Refusal) -> sextant_handle {
    let handle: sextant_handle? = slots.withLock { slots in
      let place = slots.free.popLast() ?? slots.all.count
      if place == slots.all.count {
        guard place < Int(UInt32.max) else { return nil }
        slots.all.append(Slot())
      }
      slots.all[place].object = object
      return UInt64(slots.all[place].generation) << 32 | UInt64(place)
    }
    guard let handle else {
      throw Refusal(.usageHandle, found: "too many open objects", expected: "fewer")
    }
    return handle
  }

  func close(_ handle: sextant_handle) throws(Refusal) {
    // The object is freed after the lock: it may have much to free.
    let closed: Object? = slots.withLock { slots in
      guard let place = Self.place(of: handle, in: slots) else { return nil }
      let object = slots.all[place].object
      slots.all[place].object = nil
      // A place whose generations are used up is not used again.
      if slots.all[place].generation < .max {
        slots.all[place].generation += 1
        slots.free.append(place)
      }
      return object
    }
    if closed == nil { throw Self.notOpen }
  }

  /// The object of a handle.
  func object(_ handle: sextant_handle) throws(Refusal) -> Object {
    let object: Object? = slots.withLock { slots in
      Self.place(of: handle, in: slots).flatMap { slots.all[$0].object }
    }
    guard let object else { throw Self.notOpen }
    return object
  }

  private static func place(of handle: sextant_handle, in slots: Slots) -> Int? {
    let (generation, place) = (UInt32(handle >> 32), Int(handle & 0xFFFF_FFFF))
    guard place < slots.all.count, slots.all[place].generation == generation,
      slots.all[place].object != nil
    else { return nil }
    return place
  }

  private static var notOpen: Refusal {
    Refusal(
      .usageHandle, found: "a handle of no open object", expected: "an object that is not closed")
  }
}

/// The object of a handle, of one class.
func object<Kind: Object>(_ handle: sextant_handle, _: Kind.Type) throws(Refusal) -> Kind {
  let object = try HandleTable.shared.object(handle)
  guard let object = object as? Kind else {
    throw Refusal(.usageHandle, found: type(of: object).kind, expected: Kind.kind)
  }
  return object
}

/// The object of a handle, or nil for 0.
func optionalObject<Kind: Object>(
  _ handle: sextant_handle, _ kind: Kind.Type
) throws(Refusal) -> Kind? {
  handle == 0 ? nil : try object(handle, kind)
}

// MARK: Functions for objects of any kind

@c @implementation
public func sextant_close(_ handle: sextant_handle) -> CError? {
  answering { () throws(Refusal) in try HandleTable.shared.close(handle) }
}

@c @implementation
public func sextant_describe(
  _ handle: sextant_handle, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(json)
    let description = try HandleTable.shared.object(handle).description()
    place.write(try copied(JSONValue.object(description).canonicalText))
  }
}

@c @implementation
public func sextant_values(
  _ handle: sextant_handle, _ name: CText?, _ array: UnsafeMutablePointer<sextant_array>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(array)
    let name = try text(name, "the name of a value")
    let value = try HandleTable.shared.object(handle).keptTensor(name)
    place.write(try sextant_array(value, named: name))
  }
}

extension sextant_array {
  /// The address of a tensor, which the caller keeps.
  fileprivate init(_ value: Tensor, named name: String) throws(Refusal) {
    self.init()
    switch value.dataType {
    case .f32: type = SEXTANT_F32
    case .f64: type = SEXTANT_F64
    case .i64: type = SEXTANT_I64
    default:
      throw misuse(
        found: "\(name) of type \(value.dataType.rawValue)", expected: "F32, F64 or I64")
    }
    rank = value.shape.count
    let limit = Int(SEXTANT_MAX_RANK)
    guard rank <= limit else {
      throw misuse(found: "\(name) with \(rank) axes", expected: "at most \(limit)")
    }
    data = value.withUnsafeBytes { $0.baseAddress }
    withUnsafeMutableBytes(of: &shape) { bytes in
      for (axis, size) in value.shape.enumerated() {
        bytes.storeBytes(of: size, toByteOffset: axis * MemoryLayout<Int>.stride, as: Int.self)
      }
    }
  }
}
