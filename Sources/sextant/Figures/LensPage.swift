import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantTokenizers

/// What lenses say, as a page to look around in.
struct LensPage {
  /// A grid and what it is called.
  struct View {
    /// The lens.
    var lens: String
    /// `as it is`, or what it is steered by.
    var run: String
    /// What the lens says.
    var grid: LensGrid
  }

  private let views: [View]
  private let text: [String]

  /// A page of grids of the same text; those of one lens that differ in steering come one after the
  /// other, the unsteered one first.
  init(_ views: [View], _ tokenizer: any Tokenizer) {
    self.views = views
    text = (views.first?.grid.tokens ?? []).map { LensText.shown(tokenizer.decode([$0])) }
    self.tokenizer = tokenizer
  }

  private let tokenizer: any Tokenizer

  /// The page.
  ///
  /// - Parameter subtitle: the model, in a line.
  func html(subtitle: String) -> String {
    var page = HTMLPage(title: "What each layer would say", subtitle: subtitle)
    page.add(
      paragraph:
        "Each column is a token of the text, each row a depth; a cell shows the token that "
        + "the lens finds likeliest to come next there. The last row is the model itself. Point at "
        + "a cell, or touch it, for the likeliest tokens.")
    page.add(markup: Self.controls)
    page.add(data: .object(data), id: "lens-data")
    page.add(style: Self.style)
    page.add(script: Self.script)
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

  private static let controls = """
    <form class="controls" id="controls">
    <label>Lens <select id="lens"></select></label>
    <label>Colour <select id="measure">
    <option value="0">probability</option><option value="1">entropy</option>
    <option value="2">cross-entropy of the next token</option>
    <option value="3">divergence from the model</option></select></label>
    <label>Every <input id="stride" type="number" min="1" value="1"> layers</label>
    <label>Tokens <input id="first" type="number" min="0" value="0"> to
    <input id="last" type="number" min="0"></label>
    </form>
    <div class="grids" id="grids"></div>
    <div class="tip" id="tip" role="tooltip" hidden></div>
    """

  private static let style = """
    main{max-width:110rem}
    .controls{display:flex;flex-wrap:wrap;gap:.6rem 1.4rem;margin:1.2rem 0;font-size:.92rem}
    .controls input{width:4.2rem}
    .controls select,.controls input{font:inherit;color:inherit;background:var(--panel);\
    border:1px solid var(--rule);border-radius:.3rem;padding:.15rem .35rem;max-width:100%}
    .grids{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,36rem),1fr))}
    .grids section{min-width:0}
    .grids h2{border:0;margin:0 0 .4rem;padding:0;font-size:1.05rem}
    .grid{border-collapse:separate;border-spacing:1px;margin:0;font:13px/1.3 ui-monospace,monospace}
    .grid th,.grid td{border:0;padding:.22rem .35rem;white-space:pre;text-align:center}
    .grid th{font-weight:400;color:var(--soft)}
    .grid tbody th,.grid thead th:first-child{position:sticky;left:0;z-index:1;\
    background:var(--ground);text-align:right}
    .grid td{min-width:3.4rem;max-width:8.5rem;overflow:hidden;text-overflow:ellipsis;cursor:default}
    .grid td:hover,.grid td:focus{outline:2px solid var(--accent);outline-offset:-1px}
    .scale{display:flex;align-items:center;gap:.5rem;font-size:.8rem;color:var(--soft);margin:.4rem 0 0}
    .scale span:nth-child(2){flex:0 1 12rem;height:.7rem}
    .tip{position:fixed;z-index:9;max-width:min(22rem,94vw);padding:.6rem .8rem;font-size:.85rem;\
    background:var(--panel);border:1px solid var(--rule);border-radius:.4rem;\
    box-shadow:0 4px 18px #0004;pointer-events:none}
    .tip table{margin:.3rem 0 0;font-size:.85rem;width:100%}
    .tip td{padding:.08rem .6rem .08rem 0;border:0;white-space:pre}
    .tip p{margin:.15rem 0}
    """

  private static let script = #"""
    const data = JSON.parse(document.getElementById("lens-data").textContent);
    const byId = id => document.getElementById(id);
    const names = ["probability", "entropy", "cross-entropy", "divergence"];
    const make = (tag, text, kind) => {
      const element = document.createElement(tag);
      if (text !== undefined) element.textContent = text;
      if (kind) element.className = kind;
      return element;
    };
    const number = value => value === null ? "–" : Math.abs(value) < 0.01 && value !== 0
      ? value.toExponential(1) : value.toFixed(3);
    const lenses = [...new Set(data.views.map(view => view.lens))];
    for (const name of lenses) byId("lens").append(new Option(name, name));
    byId("lens").value = lenses[lenses.length - 1];
    byId("last").value = data.tokens.length - 1;
    for (const id of ["first", "last"]) byId(id).max = data.tokens.length - 1;

    const paint = (cell, share, palette) => {
      if (share === null || Number.isNaN(share)) return;
      const place = Math.round(Math.min(1, Math.max(0, share)) * (palette.length - 1));
      [cell.style.background, cell.style.color] = palette[place];
    };

    const tip = byId("tip");
    const hide = () => { tip.hidden = true; };
    const show = (cell, fill) => {
      tip.replaceChildren();
      fill();
      tip.hidden = false;
      const box = cell.getBoundingClientRect(), own = tip.getBoundingClientRect();
      const left = Math.min(Math.max(4, box.left), innerWidth - own.width - 4);
      const below = box.bottom + 6, above = box.top - own.height - 6;
      tip.style.left = Math.max(4, left) + "px";
      tip.style.top = (below + own.height < innerHeight || above < 4 ? below : above) + "px";
    };
    const guesses = (cell, title) => {
      if (title) tip.append(make("p", title));
      const table = make("table");
      for (const [text, p] of cell.g) {
        const row = table.insertRow();
        row.append(make("td", text), make("td", (100 * p).toFixed(p < 0.001 ? 3 : 1) + "%", "number"));
      }
      tip.append(table, make("p", cell.m.slice(1).map((value, index) =>
        names[index + 1] + " " + number(value)).join(" · ") + " nats"));
    };
    const listen = (cell, fill) => {
      cell.tabIndex = 0;
      for (const event of ["mouseenter", "focus", "click"])
        cell.addEventListener(event, () => show(cell, fill));
      for (const event of ["mouseleave", "blur"]) cell.addEventListener(event, hide);
    };

    const columns = () => {
      const end = data.tokens.length - 1;
      const first = Math.min(Math.max(0, +byId("first").value || 0), end);
      const last = Math.min(Math.max(first, +byId("last").value || 0), end);
      return Array.from({length: last - first + 1}, (_, index) => first + index);
    };
    const rows = view => {
      const stride = Math.max(1, Math.floor(+byId("stride").value || 1)), end = view.sites.length - 1;
      return view.sites.map((_, index) => index)
        .filter(index => index === end || index % stride === 0);
    };

    const grid = (title, view, fill, range, palette) => {
      const section = make("section");
      section.append(make("h2", title));
      const table = make("table", undefined, "grid");
      const head = table.createTHead().insertRow();
      head.append(make("th", ""));
      for (const column of columns()) head.append(make("th", data.tokens[column]));
      const body = table.createTBody();
      for (const index of rows(view)) {
        const row = body.insertRow();
        row.append(make("th", view.sites[index]));
        for (const column of columns()) fill(row.insertCell(), index, column);
      }
      const scroll = make("div", undefined, "scroll");
      scroll.append(table);
      const scale = make("div", undefined, "scale"), bar = make("span");
      bar.style.background = "linear-gradient(90deg," + palette.map(colour => colour[0]) + ")";
      scale.append(make("span", number(range[0])), bar, make("span", number(range[1])));
      section.append(scroll, scale);
      byId("grids").append(section);
    };

    const draw = () => {
      hide();
      byId("grids").replaceChildren();
      const measure = +byId("measure").value;
      const views = data.views.filter(view => view.lens === byId("lens").value);
      const all = views.flatMap(view => rows(view).flatMap(row =>
        columns().map(column => view.cells[row][column].m[measure]))).filter(x => x !== null);
      const top = measure === 0 ? 1 : Math.max(1e-6, ...all);
      for (const view of views) {
        grid(view.run, view, (cell, row, column) => {
          const own = view.cells[row][column], value = own.m[measure];
          cell.textContent = own.g[0][0];
          paint(cell, value === null ? null : value / top, data.sequential);
          listen(cell, () => guesses(own, view.sites[row] + ", after " + data.tokens[column]));
        }, [0, top], data.sequential);
      }
      for (const view of views.slice(1)) {
        const base = views[0];
        const change = (row, column) => {
          const [a, b] = [base, view].map(from => from.cells[row][column].m[measure]);
          return a === null || b === null ? null : b - a;
        };
        const most = Math.max(1e-6, ...rows(view).flatMap(row =>
          columns().map(column => Math.abs(change(row, column) ?? 0))));
        grid("difference: " + view.run, view, (cell, row, column) => {
          const before = base.cells[row][column], after = view.cells[row][column];
          const [a, b] = [before.g[0][0], after.g[0][0]], value = change(row, column);
          cell.textContent = a === b ? "=" : b;
          paint(cell, value === null ? null : 0.5 + value / most / 2, data.diverging);
          listen(cell, () => {
            tip.append(make("p", names[measure] + " " + (value > 0 ? "+" : "") + number(value)));
            guesses(before, base.run);
            guesses(after, view.run);
          });
        }, [-most, most], data.diverging);
      }
    };
    byId("controls").addEventListener("input", draw);
    byId("controls").addEventListener("submit", event => event.preventDefault());
    addEventListener("scroll", hide, true);
    draw();
    """#
}
