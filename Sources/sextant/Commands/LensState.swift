import ArgumentParser
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// What the recurrent state would say.
struct LensState: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "Show what the recurrent state would say.",
    discussion: """
      First what each token hears that reads the state with its own query: a grid of blocks by \
      tokens, as if the memory of the block were all that the model goes by. Then what the state \
      holds most of after the last token: the strongest singular directions of each head, decoded \
      through the block's output projection, the final norm and the unembedding. For Mamba, \
      Mamba-2 and RWKV-5 to 7. The mathematics is in formats/sites.md.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  @Option(help: ArgumentHelp("Only these blocks, such as 3 or 1,3,10-12.", valueName: "list"))
  var layers: LayerSelection?

  @Option(help: ArgumentHelp("Directions of each head.", valueName: "n"))
  var directions = 1

  @Option(help: ArgumentHelp("Likeliest tokens of each end of a direction.", valueName: "k"))
  var topK = 5

  @Option(help: ArgumentHelp("Columns of the terminal.", valueName: "n"))
  var width: Int?

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--directions", directions)])
    try Numbers.check(atLeast: 1, [("--width", width)])
    if !(1...1000).contains(topK) { throw ValidationError("--top-k must be from 1 to 1000.") }
  }

  func run() throws {
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let ids = tokenizer.encodeText(try prompt.text())
    let sites = open.model.description.memorySites.map(\.site).filter { site in
      layers?.contains(site.block ?? 0) ?? true
    }
    guard !sites.isEmpty else {
      throw FormatError(
        .artifactSite, file: open.store.path,
        found: "no such blocks of a \(open.model.description.architecture)",
        expected: "blocks of Mamba, Mamba-2 or RWKV-5 to 7")
    }
    let grid = try LensGrid(
      .logit, open.model, tokenizer: tokenizer, on: ids, sites: sites, guesses: topK)
    var state = open.model.initialState()
    _ = try open.model.run(TokenBatch(ids), from: &state, logits: .none)
    let held = StateDirections(
      of: state, open.model, count: directions, blocks: layers, guesses: topK)
    if printing.json {
      StandardStreams.print(
        JSONValue.object(json(grid, held, tokenizer, ids)).prettyText)
    } else {
      show(grid, held, tokenizer)
    }
  }

  private func show(_ grid: LensGrid, _ held: StateDirections, _ tokenizer: any Tokenizer) {
    StandardStreams.print("what each token hears from the state")
    let terminal = LensTerminal(
      grid, tokenizer, colouredBy: .probability, isColoured: StandardStreams.outputIsTerminal,
      width: width ?? StandardStreams.outputWidth)
    StandardStreams.print(terminal.text(layerStride: 1, tokens: grid.tokens.indices))
    guard !held.directions.isEmpty else { return }
    var table = Table(["#block", "#head", "#singular value", "#of the head", "says", "or denies"])
    let text = { (guesses: [LensCell.Guess]) in
      guesses.map { LensText.shown(tokenizer.decode([$0.token])) }.joined(separator: " ")
    }
    for direction in held.directions {
      table.add([
        "\(direction.block)", "\(direction.head)", Format.figure(direction.strength),
        "\(Format.fixed(direction.share * 100, 1))%", text(direction.ends.up),
        text(direction.ends.down),
      ])
    }
    StandardStreams.print("")
    StandardStreams.print("what the state holds most of after the last token")
    for line in table.lines { StandardStreams.print("  " + line) }
  }

  private func json(
    _ grid: LensGrid, _ held: StateDirections, _ tokenizer: any Tokenizer, _ ids: [Int]
  ) -> JSONObject {
    let tokens = { (guesses: [LensCell.Guess]) -> JSONValue in
      .array(
        guesses.map {
          [
            "token": JSONValue($0.token), "text": .string(tokenizer.decode([$0.token])),
            "p": JSONValue(finite: $0.probability),
          ]
        })
    }
    return JSONObject([
      ("tokens", .array(ids.map { JSONValue($0) })),
      (
        "memory",
        .array(
          zip(grid.sites, grid.cells).map { site, cells in
            [
              "layer": site.block.map { JSONValue($0) } ?? .null,
              "cells": .array(cells.map { .object($0.json(tokenizer)) }),
            ]
          })
      ),
      (
        "directions",
        .array(
          held.directions.map { direction in
            [
              "layer": JSONValue(direction.block), "head": JSONValue(direction.head),
              "singular_value": JSONValue(finite: direction.strength),
              "share": JSONValue(finite: direction.share), "says": tokens(direction.ends.up),
              "denies": tokens(direction.ends.down),
            ]
          })
      ),
    ])
  }
}
