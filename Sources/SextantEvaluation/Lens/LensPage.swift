import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantTokenizers

/// The predictions of lenses, as a page to look around in.
package struct LensPage {
  /// A grid and its name.
  package struct View: Sendable {
    /// The name of the lens.
    package let lens: String
    /// `not steered`, or the steering of the run.
    package let run: String
    /// The predictions.
    package let grid: LensGrid

    /// A grid under these names.
    package init(lens: String, run: String, grid: LensGrid) {
      (self.lens, self.run, self.grid) = (lens, run, grid)
    }
  }

  private let views: [View]
  private let text: [String]
  private let tokenizer: any Tokenizer

  /// A page of grids of the same text; those of one lens that differ in steering come one after the
  /// other, the unsteered one first.
  package init(_ views: [View], _ tokenizer: any Tokenizer) {
    self.views = views
    text = (views.first?.grid.tokens ?? []).map { LensText.shown(tokenizer.decode([$0])) }
    self.tokenizer = tokenizer
  }

  /// The page.
  ///
  /// - Parameter subtitle: the model, in a line.
  package func html(subtitle: String) -> String {
    var page = HTMLPage(title: "The predictions of each layer", subtitle: subtitle)
    page.add(
      paragraph:
        "Each column is a token of the text, each row a depth; a cell shows the token that "
        + "the lens predicts as the next one. The last row is the model itself. Point at "
        + "a cell, or touch it, to see the most probable tokens.")
    page.add(markup: HTMLPage.text(PackageResources.lens_controls_html))
    page.add(data: .object(data), id: "lens-data")
    page.add(style: HTMLPage.text(PackageResources.lens_css))
    page.add(script: HTMLPage.text(PackageResources.lens_js))
    return page.html
  }

  private var data: JSONObject {
    let grid = views.first?.grid
    return JSONObject([
      ("tokens", .array(text.map { .string($0) })),
      ("sites", .array((grid?.sites ?? []).map { .string(LensText.label($0)) })),
      (
        "views",
        .array(
          views.map { view in
            [
              "lens": .string(view.lens), "run": .string(view.run),
              "sites": .array(view.grid.sites.map { .string(LensText.label($0)) }),
              "cells": .array(view.grid.cells.map { .array($0.map(cell)) }),
            ]
          })
      ),
      ("sequential", palette(.sequential(0...1), from: 0)),
      ("diverging", palette(.diverging(limit: 1), from: -1)),
    ])
  }

  /// Guesses, then probability, entropy, cross-entropy and divergence.
  private func cell(_ cell: LensCell) -> JSONValue {
    [
      "g": .array(
        cell.guesses.map {
          .array([
            .string(LensText.shown(tokenizer.decode([$0.token]))), rounded($0.probability),
          ])
        }),
      "m": .array([
        rounded(cell.guesses.first?.probability ?? 0), rounded(cell.entropy),
        cell.crossEntropy.map(rounded) ?? .null, rounded(cell.divergence),
      ]),
    ]
  }

  private func rounded(_ value: Double) -> JSONValue {
    value.isFinite ? .number((value * 1e5).rounded() / 1e5) : .null
  }

  /// Colours of a scale from `from` to 1, each with that of text on it.
  private func palette(_ scale: ColourScale, from: Double) -> JSONValue {
    .array(
      (0...40).map { step in
        let colour = scale.colour(from + (1 - from) * Double(step) / 40)
        return .array([.string(colour.css), .string(colour.prefersBlackText ? "#000" : "#fff")])
      })
  }

  /// The grids for programs.
  package var json: JSONObject {
    let ids = views.first?.grid.tokens ?? []
    return JSONObject([
      ("tokens", .array(ids.map { JSONValue($0) })),
      ("texts", .array(ids.map { .string(tokenizer.decode([$0])) })),
      (
        "views",
        .array(
          views.map { view in
            [
              "lens": .string(view.lens), "run": .string(view.run),
              "layers": .array(
                zip(view.grid.sites, view.grid.cells).map { site, cells in
                  [
                    "site": .string(site.name),
                    "layer": site.block.map { JSONValue($0) } ?? .null,
                    "cells": .array(cells.map { .object($0.json(tokenizer)) }),
                  ]
                }),
            ]
          })
      ),
    ])
  }
}

extension LensPage {
  /// The grids of each lens: as the model is, then under the artifacts that edit.
  ///
  /// - Throws: what `LensGrid` throws.
  package static func views(
    _ lenses: [NamedLens], _ model: any LanguageModel, _ tokenizer: any Tokenizer, on ids: [Int],
    _ applied: AppliedArtifacts, guesses: Int, allowsModelMismatch: Bool
  ) throws(Refusal) -> [View] {
    let edits = zip(applied.sources, applied.files).map { source, file in
      "\(printable(source.name)) × \(file.strength.text)"
    }
    var views: [View] = []
    for lens in lenses {
      for isSteered in applied.hasEdits ? [false, true] : [false] {
        let grid = try LensGrid(
          lens, model, tokenizer: tokenizer, on: ids,
          applying: isSteered ? applied.interventions : [], guesses: guesses,
          allowsModelMismatch: allowsModelMismatch)
        let run = isSteered ? "steered by \(edits.joined(separator: ", "))" : "not steered"
        views.append(View(lens: lens.name, run: run, grid: grid))
      }
    }
    return views
  }

  /// What was read, for the page.
  package static func subtitle(_ model: ModelDescription, _ ids: [Int]) -> String {
    "\(model.architecture) of width \(model.width), \(counted(model.layerCount, "block")), "
      + counted(ids.count, "token")
  }
}
