import ArgumentParser

/// Refuses the first option that was given although it cannot take effect.
///
/// - Parameters:
///   - options: the name of each, and whether it was given.
///   - reason: the rest of the sentence that begins with the option's name, without a full stop.
func refuseGiven(_ options: [(name: String, isGiven: Bool)], _ reason: String) throws {
  guard let option = options.first(where: \.isGiven) else { return }
  throw ValidationError("\(option.name) \(reason).")
}
