import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// The predictions of a model's recurrent state: from the values that each token reads, and from
/// its strongest directions after the last token.
package struct StateReading {
  /// Blocks by tokens: the predictions from the values that each token reads from the block's
  /// state.
  package let grid: LensGrid
  /// The strongest singular directions of each head after the last token.
  package let directions: StateDirections
  private let tokenizer: any Tokenizer

  /// Reads a text.
  ///
  /// - Parameters:
  ///   - layers: the blocks; nil for all.
  ///   - count: directions of each head.
  ///   - guesses: most probable tokens of each cell and of each end of a direction.
  ///   - file: the model's file, for refusals.
  /// - Throws: `artifact.site` for a model without such blocks; `usage.option`, `model.*`.
  package init(
    of model: any LanguageModel, _ tokenizer: any Tokenizer, on tokens: [Int],
    layers: LayerSelection? = nil, count: Int = 1, guesses: Int = 5, file: String? = nil
  ) throws(Refusal) {
    let sites = model.description.memorySites.map(\.site).filter { site in
      layers?.contains(site.block ?? 0) ?? true
    }
    guard !sites.isEmpty else {
      throw Refusal(
        .artifactSite, file: file,
        found: "no such blocks (\(model.description.architecture))",
        expected:
          "blocks with a memory site, as Mamba, Mamba-2, RWKV-5 to 7 and the recurrent blocks of hybrids have"
      )
    }
    grid = try LensGrid(
      .logit, model, tokenizer: tokenizer, on: tokens, sites: sites, guesses: guesses)
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none)
    directions = StateDirections(
      of: state, model, count: count, blocks: layers, guesses: guesses)
    self.tokenizer = tokenizer
  }

  /// A row for each direction; nil for no directions.
  package var table: Table? {
    guard !directions.directions.isEmpty else { return nil }
    var table = Table([
      "#block", "#head", "#singular value", "#share of head", "one end", "other end",
    ])
    let text = { (guesses: [LensCell.Guess]) in
      guesses.map { LensText.shown(tokenizer.decode([$0.token])) }.joined(separator: " ")
    }
    for direction in directions.directions {
      table.add([
        "\(direction.block)", "\(direction.head)", Format.figure(direction.strength),
        "\(Format.fixed(direction.share * 100, 1))%", text(direction.ends.up),
        text(direction.ends.down),
      ])
    }
    return table
  }

  /// The reading for programs.
  package var json: JSONObject {
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
      ("tokens", .array(grid.tokens.map { JSONValue($0) })),
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
          directions.directions.map { direction in
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
