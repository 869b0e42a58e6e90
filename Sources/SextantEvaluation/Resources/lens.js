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
