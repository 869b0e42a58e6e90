import CSextant
import Sextant

/// A state, which never changes.
final class StateObject: Object, @unchecked Sendable {
  let state: State
  /// The model that it belongs to.
  let identity: Digest

  init(_ state: State, of model: LoadedModel) {
    (self.state, identity) = (state, model.description.identity)
  }

  init(_ state: State, like other: StateObject) {
    (self.state, identity) = (state, other.identity)
  }

  override class var kind: String { "a state" }

  override func description() -> JSONObject {
    JSONObject([
      ("position", .integer(Int64(state.position))), ("sites", JSONValue(state.sites.map(\.name))),
    ])
  }

  override func tensor(_ name: String) throws(Refusal) -> Tensor { try state[name] }
}

/// Values of some sites.
final class RecordingObject: Object, @unchecked Sendable {
  let recording: Recording
  private let model: LoadedModel

  init(_ recording: Recording, of model: LoadedModel) {
    (self.recording, self.model) = (recording, model)
  }

  override class var kind: String { "a recording" }

  override func description() -> JSONObject {
    JSONObject([
      ("tokens", JSONValue(recording.tokens)), ("pieces", JSONValue(recording.pieces)),
      ("sites", JSONValue(recording.sites.map(\.name))),
    ])
  }

  override func tensor(_ name: String) throws(Refusal) -> Tensor { try recording[name] }

  var state: StateObject { StateObject(recording.state, of: model) }
}

@c @implementation
public func sextant_read(
  _ model: sextant_model, _ tokens: UnsafePointer<Int64>?, _ count: Int, _ from: sextant_state,
  _ edits: sextant_edits, _ state: UnsafeMutablePointer<sextant_state>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(state)
    let model = try object(model, ModelObject.self)
    let after = try model.loaded.state(
      after: model.tokens(tokens, count), from: model.start(from),
      with: interventions(edits, for: model.loaded))
    place.write(try HandleTable.shared.add(StateObject(after, of: model.loaded)))
  }
}

@c @implementation
public func sextant_record(
  _ model: sextant_model, _ tokens: UnsafePointer<Int64>?, _ count: Int, _ from: sextant_state,
  _ edits: sextant_edits, _ sites: CTexts?, _ siteCount: Int, _ layers: CText?, _ each: Bool,
  _ recording: UnsafeMutablePointer<sextant_recording>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(recording)
    let model = try object(model, ModelObject.self)
    let seen = try model.loaded.record(
      texts(sites, siteCount, "names of sites"), reading: model.tokens(tokens, count),
      layers: layerRange(layers), statesAfter: each ? .each : .last,
      with: interventions(edits, for: model.loaded), from: model.start(from))
    place.write(try HandleTable.shared.add(RecordingObject(seen, of: model.loaded)))
  }
}

@c @implementation
public func sextant_state_after(
  _ handle: sextant_handle, _ state: UnsafeMutablePointer<sextant_state>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(state)
    switch try HandleTable.shared.object(handle) {
    case let recording as RecordingObject:
      place.write(try HandleTable.shared.add(recording.state))
    case let run as RunObject:
      place.write(try HandleTable.shared.add(run.state()))
    case let other:
      throw Refusal(
        .usageHandle, found: type(of: other).kind, expected: "a recording or a run")
    }
  }
}

// MARK: States

@c @implementation
public func sextant_state_set(
  _ state: sextant_state, _ site: CText?, _ values: UnsafePointer<Float>?, _ count: Int,
  _ changed: UnsafeMutablePointer<sextant_state>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(changed)
    let own = try object(state, StateObject.self)
    let name = try text(site, "the name of a component of the state")
    let shape = try own.state[name].shape
    let values = try array(values, count, "values of \(name)")
    guard values.count == shape.reduce(1, *), let site = Site(name: name) else {
      throw Refusal(
        .modelState, at: .tensor(name), found: "\(values.count) elements", expected: "F32 \(shape)")
    }
    var state = own.state
    try state.setComponent(site, to: Tensor(values, shape: [1] + shape))
    place.write(try HandleTable.shared.add(StateObject(state, like: own)))
  }
}

@c @implementation
public func sextant_state_sum(
  _ model: sextant_model, _ states: UnsafePointer<sextant_state>?, _ factors: UnsafePointer<Float>?,
  _ count: Int, _ sum: UnsafeMutablePointer<sextant_state>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(sum)
    let model = try object(model, ModelObject.self)
    let factors = try array(factors, count, "factors")
    var terms: [(state: State, strength: Float)] = []
    for (handle, factor) in zip(try array(states, count, "states"), factors) {
      terms.append((try model.state(object(handle, StateObject.self)), factor))
    }
    let total = try model.loaded.sum(of: terms)
    place.write(try HandleTable.shared.add(StateObject(total, of: model.loaded)))
  }
}

@c @implementation
public func sextant_state_save(
  _ model: sextant_model, _ state: sextant_state, _ path: CText?, _ replace: Bool
) -> CError? {
  answering { () throws(Refusal) in
    let model = try object(model, ModelObject.self)
    try model.loaded.save(
      model.state(object(state, StateObject.self)), to: text(path, "a path"), replacing: replace)
  }
}

@c @implementation
public func sextant_state_load(
  _ model: sextant_model, _ path: CText?, _ state: UnsafeMutablePointer<sextant_state>?
) -> CError? {
  answering { () throws(Refusal) in
    let place = try Place(state)
    let model = try object(model, ModelObject.self)
    let loaded = try model.loaded.loadState(text(path, "a path"))
    guard loaded.batch == 1 else {
      throw Refusal(
        .modelState, found: "a state of \(loaded.batch) sequences", expected: "one sequence")
    }
    place.write(try HandleTable.shared.add(StateObject(loaded, of: model.loaded)))
  }
}
