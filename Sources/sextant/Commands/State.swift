import ArgumentParser
import Sextant
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantInspection
import SextantReport
import SextantTerminal

/// `sextant state`: saved states, as files.
struct StateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "Save, compare and combine the states of a model after a text.",
    discussion: """
      A state contains everything that a model remembers between two tokens. `generate --load-state` \
      continues from a state. Differences of states can be added to other states of the same \
      model.
      """,
    subcommands: [
      StateSave.self, StateLoad.self, StateInspect.self, StateDiff.self, StateAdd.self,
      StateImport.self,
      StateExport.self,
    ])
}

/// The destination of a state.
struct StateOutput: ParsableArguments {
  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "out.state.safetensors")
  )
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  /// The files of a command that reads these and writes the state.
  func files(reading inputs: [String]) -> CommandFiles {
    CommandFiles(inputs: inputs, outputs: [output], replaces: force)
  }

  /// Writes a state and reports it.
  func write(_ state: SavedState) throws(Refusal) {
    try state.artifact.write(to: output, replacing: force)
    Report(written: state, to: output).print(asJSON: printing.json)
  }
}

/// Whether states of other models are accepted.
struct StateMatching: ParsableArguments {
  @Flag(help: "Accept states of another model of the same width and depth.")
  var allowModelMismatch = false
}

/// The state after a text.
struct StateSave: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "save", abstract: "Read a text and save the state of the model after it.")

  @OptionGroup var model: TextModelOptions
  @OptionGroup var text: TextOrTokenArguments

  @Option(
    help: ArgumentHelp("Start from a saved state instead of an empty one.", valueName: "file"))
  var loadState: String?

  @OptionGroup var matching: StateMatching
  @OptionGroup var output: StateOutput

  func validate() throws {
    guard (text.prompt == nil) != (text.tokens == nil) else {
      throw ValidationError("Give one of --prompt and --tokens.")
    }
    if text.tokens != nil { try model.beginning.checkUnused("--tokens") }
    if loadState != nil { try model.beginning.checkUnused("--load-state") }
  }

  var fileUse: CommandFiles {
    output.files(
      reading: model.inputs + text.inputs + [loadState].compactMap { $0 })
  }

  func run() throws {
    let open = try model.open()
    let ids = try text.ids(open.textTokenizer, continues: loadState != nil)
    var state = open.model.initialState()
    if let loadState {
      state = try open.loadState(
        loadState, allowsModelMismatch: matching.allowModelMismatch)
    }
    let batch = TokenBatch([[Int]](repeating: ids, count: state.batch))
    if !ids.isEmpty { _ = try open.model.run(batch, from: &state, logits: .none) }
    try output.write(state.saved(by: open.reference))
  }
}

/// Whether a model can continue from a state.
struct StateLoad: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "Check that a model can continue from a saved state.",
    discussion: """
      Loads the state as `generate --load-state` does, and reports its sequences and position. A \
      state that does not fit is refused with the reason.
      """)

  @OptionGroup var model: ModelOptions

  @Argument(help: "A saved state.")
  var file: String

  @OptionGroup var matching: StateMatching
  @OptionGroup var printing: OutputOptions

  func run() throws {
    let open = try model.open()
    let state = try open.loadState(
      file, allowsModelMismatch: matching.allowModelMismatch)
    Report(fitting: file, batch: state.batch, position: state.position)
      .print(asJSON: printing.json)
  }
}

/// The norms of a state's components.
struct StateInspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Show the norm of each component of a state, block by block.",
    discussion: "For several sequences, the table shows the mean of their norms.")

  @Argument(help: "A saved state, or a difference of two.")
  var file: String

  @OptionGroup var printing: OutputOptions

  func run() throws {
    Report(state: try SavedState(Artifact(reading: file))).print(asJSON: printing.json)
  }
}

/// The difference of two states.
struct StateDiff: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Subtract one state from another: A - B.")

  @Argument(help: "The state A.")
  var state: String

  @Argument(help: "The state B.")
  var other: String

  @OptionGroup var matching: StateMatching
  @OptionGroup var output: StateOutput

  var fileUse: CommandFiles {
    output.files(reading: [state, other])
  }

  func run() throws {
    let (a, b) = try (
      SavedState(Artifact(reading: state)), SavedState(Artifact(reading: other))
    )
    try output.write(a.subtracting(b, allowsModelMismatch: matching.allowModelMismatch))
  }
}

/// States and differences, weighted.
struct StateAdd: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Add states and differences, each multiplied by a strength.",
    discussion: """
      A state plus a difference times a strength moves the state; two states times 0.5 give their \
      mean. The position is the position of the first. A strength of 0 changes nothing, bit for bit.
      """)

  @Argument(
    parsing: .remaining,
    help: ArgumentHelp("States and differences.", valueName: "file[:strength]"),
    transform: Written.applied)
  var terms: [AppliedFile]

  @OptionGroup var matching: StateMatching
  @OptionGroup var output: StateOutput

  func validate() throws {
    for term in terms where !term.strength.isPlain {
      throw ValidationError("\(term.path) has the strength \(term.strength.text); give a number.")
    }
  }

  var fileUse: CommandFiles {
    output.files(reading: terms.map(\.path))
  }

  func run() throws {
    var states: [SavedState.Term] = []
    for term in terms {
      states.append((try SavedState(Artifact(reading: term.path)), term.strength.value))
    }
    try output.write(
      SavedState.sum(states, allowsModelMismatch: matching.allowModelMismatch))
  }
}

/// A published state, for a model.
struct StateImport: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Read a state-tuning file of RWKV for a model.",
    discussion: """
      The file (.pth or safetensors) contains blocks.<i>.att.time_state for every block. The state \
      is the one before the first token; `generate --load-state` starts from it.
      """)

  @OptionGroup var model: ModelOptions

  @Argument(help: "The state-tuning file.")
  var file: String

  @OptionGroup var output: StateOutput

  var fileUse: CommandFiles {
    output.files(reading: model.inputs + [file])
  }

  func run() throws {
    let open = try model.open()
    let initial = open.model.initialState().saved(by: open.reference)
    try output.write(initial.replacingTunedMatrices(from: file))
  }
}

/// A state as others read it.
struct StateExport: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write a state of RWKV-5, 6 or 7 as a state-tuning file.",
    discussion: """
      The file contains only the recurrent matrices (wkv), because the format has no names for the \
      other components. Files *.pth are written for torch.load, others as safetensors.
      """)

  @Argument(help: "A saved state of one sequence.")
  var file: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "out.pth"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  var fileUse: CommandFiles {
    CommandFiles(inputs: [file], outputs: [output], replaces: force)
  }

  func run() throws {
    let state = try SavedState(Artifact(reading: file))
    try state.writeTunedMatrices(to: output, replacing: force)
    StandardStreams.print("\(printable(output)): \(counted(state.model.layerCount, "block"))")
  }
}
