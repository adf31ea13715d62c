// The charts: one for each name, or for a few that belong together. One is drawn while it can be seen, at most four
// times a second; out of sight it has no canvas, so that hundreds of names cost no more than those on the screen.

import { element, setText } from "./dom.js";
import { clock, number, quantity, unitOf } from "./format.js";

const HEIGHT = 150;
const DRAW_EVERY = 250; // ms
const MOST_LINES = 4; // as many as colours and dashes tell apart
const MOST_ROWS = 100;
const MANY = 12;

const GROUPS = ["Learning", "Schedules", "Acting", "Training", "Buffers"];

// A chart of one name is called as that, or by a title; one that is shared has a line for each of its names.
const alone = (group, rank, name, title = name) => ({ group, rank, key: name, title, line: title });
const shared = (group, rank, title, line) => ({ group, rank, key: `${group}: ${title}`, title, line });
const spaced = (text) => text.replaceAll("_", " ");
const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** In which chart a name is drawn, and how its line is called there; rank is the order within a group. */
function placeOf(name) {
  const parts = name.split("/");
  const [first, last] = [parts[0], parts.at(-1)];
  if (first === "interaction") {
    if (/^(step_time|lateness)_p\d+$/.test(last)) return shared("Acting", 0, "Inference latency", spaced(last));
    return alone("Acting", 1, name, capital(spaced(last)));
  }
  const owner = parts.slice(1, -1).join("/");
  if (first === "models" && owner) return shared("Training", 1, capital(spaced(last)), owner);
  if (first === "buffers" && owner)
    return shared("Buffers", last === "fill" ? 0 : 1, `Buffer ${spaced(last)}`, owner);
  if (parts.includes("scheduled")) return alone("Schedules", 0, name);
  const trainer = parts.slice(0, -1).join("/");
  if (last === "replay_ratio") return shared("Training", 0, "Replay ratio", trainer);
  if (/^(cycle|sync)_time$/.test(last))
    return shared("Training", 2, `${trainer}: cycle and sync time`, spaced(last));
  if (isLoss(name)) return alone("Learning", 0, name);
  return alone("Learning", /return|reward|score/i.test(last) ? 1 : 2, name);
}

const isLoss = (name) => /loss|error/i.test(name.split("/").at(-1));

const nullable = (values, from) => {
  const result = new Array(values.length - from);
  for (let i = from; i < values.length; i++) result[i - from] = Number.isFinite(values[i]) ? values[i] : null;
  return result;
};

function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    lines: [1, 2, 3, 4].map((index) => read(`--line-${index}`)),
    band: read("--band"),
    grid: read("--grid"),
    text: read("--muted"),
    paused: read("--paused"),
    saved: read("--saved"),
  };
}

const DASHES = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];

class Chart {
  #board;
  #plot = null;
  #drawn = null;
  #lines = [];

  constructor(board, place) {
    this.#board = board;
    this.title = place.title;
    this.rank = place.rank;
    this.isShown = false;
    this.names = [];
    this.labels = [];
    const heading = element("h4", { textContent: place.title });
    this.lineList = element("ul", { className: "lines", role: "list" });
    this.canvas = element("div", { className: "plot", role: "img" });
    this.range = element("p", { className: "range" });
    this.body = element("tbody");
    this.head = element("tr");
    this.asOf = element("caption");
    this.details = element(
      "details",
      {},
      element(
        "summary",
        {},
        "Values",
        element("span", { className: "visually-hidden", textContent: ` of ${place.title}` }),
      ),
      element(
        "div",
        { className: "scroll tall", tabIndex: 0, role: "region", "aria-label": `Values of ${place.title}` },
        element("table", {}, this.asOf, element("thead", {}, this.head), this.body),
      ),
    );
    this.details.addEventListener("toggle", () => this.#fillTable());
    this.figure = element(
      "figure",
      { className: "chart" },
      element("figcaption", {}, heading, this.lineList),
      this.canvas,
      element("div", { className: "below" }, this.range, this.details),
    );
    this.figure.chart = this;
  }

  get isLogarithmic() {
    return this.#board.isLogarithmic && isLoss(this.names[0]);
  }

  addLine(name, label) {
    const value = element("span", { className: "reading" });
    const item = element("li", {}, value);
    this.names.push(name);
    this.labels.push(label);
    this.#lines.push(value);
    this.lineList.append(item);
    // A line that is called as its chart needs no key.
    if (label !== this.title) {
      item.prepend(
        element("span", { className: `swatch line-${this.names.length}`, "aria-hidden": "true" }),
        element("span", { className: "label", textContent: label }),
      );
    }
    this.forget();
  }

  /** Called when it comes into sight, and when it goes out of it. */
  show(isShown) {
    this.isShown = isShown;
    if (!isShown) this.forget();
  }

  /** Gives the canvas back; it is made anew when the chart is drawn next. */
  forget() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#drawn = null;
  }

  resize() {
    if (this.#plot && this.canvas.clientWidth > 0) {
      this.#plot.setSize({ width: this.canvas.clientWidth, height: HEIGHT });
    }
  }

  #tables(from) {
    const positive = (values) => (this.isLogarithmic ? values.map((value) => (value > 0 ? value : null)) : values);
    const found = this.names.map((name) => this.#board.history.series.get(name)).filter(Boolean);
    if (this.names.length === 1) {
      const [series] = found;
      if (!series) return [[], [], [], []];
      // One point before the window too, so that the line comes in from the left.
      const start = from === null ? 0 : Math.max(0, series.indexOf(from) - 1);
      const columns = [series.value, series.greatest, series.least].map((values) =>
        positive(nullable(values, start)),
      );
      return [series.time.slice(start), ...columns];
    }
    const tables = this.names.map((name) => {
      const series = this.#board.history.series.get(name);
      if (!series) return [[], []];
      const start = from === null ? 0 : Math.max(0, series.indexOf(from) - 1);
      return [series.time.slice(start), nullable(series.value, start)];
    });
    return uPlot.join(tables);
  }

  draw() {
    const [from, to] = this.#board.span();
    if (from === null || this.canvas.clientWidth === 0) return;
    const data = this.#tables(this.#board.window === null ? null : from);
    this.#drawn = data;
    if (this.#plot) this.#plot.setData(data);
    else this.#plot = this.#make(data);
    this.#describe(data, from, to);
  }

  /** Says in words what it shows, without drawing it. */
  describe() {
    const [from, to] = this.#board.span();
    if (from !== null) this.#describe(this.#tables(null), from, to);
  }

  #make(data) {
    const colours = this.#board.palette;
    const unit = unitOf(this.names[0]);
    const font = "11px system-ui, sans-serif";
    const axis = {
      stroke: () => colours.text,
      font,
      grid: { stroke: () => colours.grid, width: 1 },
      ticks: { show: false },
    };
    const line = (index) => ({
      stroke: () => colours.lines[index],
      width: 1.5,
      dash: DASHES[index],
      points: { show: (plot, series, first, last) => last - first < 2, size: 5 },
    });
    const isFill = this.names.every((name) => /^buffers\/.*\/fill$/.test(name));
    const options = {
      width: this.canvas.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: "board" },
        points: { size: 6 },
      },
      scales: {
        x: { time: true, range: () => this.#board.span() },
        y: this.isLogarithmic ? { distr: 3 } : { range: isFill ? [0, 1] : padded },
      },
      axes: [
        {
          ...axis,
          size: 24,
          gap: 4,
          space: 76,
          values: (plot, splits, index, space, step) => {
            // A label at the right end would be cut in two.
            const [from, to] = this.#board.span();
            const last = to - ((to - from) * 20) / Math.max(plot.width - 70, 70);
            return splits.map((time) => (time > last ? "" : clock(time, step < 60)));
          },
        },
        {
          ...axis,
          size: (plot, texts) => Math.max(36, 14 + 6.5 * Math.max(0, ...(texts ?? []).map((text) => text.length))),
          gap: 6,
          space: 28,
          values: (plot, splits) =>
            splits.map((value) => (value === null ? "" : number(round(value * unit.factor)))),
        },
      ],
      series: [{}],
      hooks: {
        drawClear: [(plot) => this.#shade(plot)],
        setCursor: [() => this.#read()],
      },
    };
    if (this.names.length === 1) {
      const edge = { stroke: "transparent", width: 0, points: { show: false } };
      options.series.push(line(0), edge, edge);
      options.bands = [{ series: [2, 3], fill: () => colours.band }];
    } else {
      this.names.forEach((name, index) => options.series.push(line(index)));
    }
    return new uPlot(options, data, this.canvas);
  }

  /** Shades the pauses, marks the saves; under the lines. */
  #shade(plot) {
    const { ctx, bbox } = plot;
    const [from, to] = this.#board.span();
    const colours = this.#board.palette;
    const x = (time) => plot.valToPos(Math.min(Math.max(time, from), to), "x", true);
    ctx.save();
    ctx.fillStyle = colours.paused;
    for (const [begin, end] of this.#board.history.pauses) {
      if (begin > to || (end !== null && end < from)) continue;
      const left = x(begin);
      ctx.fillRect(left, bbox.top, Math.max(x(end ?? to) - left, 1), bbox.height);
    }
    const size = 4 * devicePixelRatio;
    ctx.strokeStyle = ctx.fillStyle = colours.saved;
    ctx.lineWidth = devicePixelRatio;
    for (const { time } of this.#board.history.saves) {
      if (time < from || time > to) continue;
      const at = Math.round(x(time));
      ctx.globalAlpha = 0.35;
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.beginPath();
      ctx.moveTo(at - size, bbox.top);
      ctx.lineTo(at + size, bbox.top);
      ctx.lineTo(at, bbox.top + 1.5 * size);
      ctx.fill();
    }
    ctx.restore();
  }

  /** Writes the values at the cursor, or the latest. */
  #read() {
    const index = this.#plot?.cursor.idx ?? null;
    this.names.forEach((name, line) => {
      const unit = unitOf(name);
      const latest = this.#board.history.latest.get(name);
      let text = latest ? quantity(latest.value, unit) : "";
      if (index !== null) {
        const column = this.#drawn[line + 1];
        // Where lines have points at different times, the one before counts.
        let at = index;
        while (at > 0 && column[at] === undefined) at -= 1;
        text = `${quantity(column[at], unit)} at ${clock(this.#drawn[0][index])}`;
      }
      setText(this.#lines[line], text);
    });
  }

  #describe([times, ...columns], from, to) {
    this.#read();
    const texts = this.names.map((name, line) => {
      const unit = unitOf(name);
      const latest = this.#board.history.latest.get(name);
      const highs = this.names.length === 1 ? columns[1] : columns[line];
      const lows = this.names.length === 1 ? columns[2] : columns[line];
      let least = Infinity;
      let greatest = -Infinity;
      for (let i = 0; i < times.length; i++) {
        if (typeof lows[i] === "number" && lows[i] < least) least = lows[i];
        if (typeof highs[i] === "number" && highs[i] > greatest) greatest = highs[i];
      }
      const range =
        least <= greatest ? `${quantity(least, unit)} to ${quantity(greatest, unit)}` : "nothing to draw";
      return { latest: latest ? quantity(latest.value, unit) : "none", range };
    });
    setText(this.range, this.names.length === 1 ? texts[0].range : "");
    const lines = texts.map(({ latest, range }, line) => `${this.labels[line]}: latest ${latest}, range ${range}`);
    const kind = this.isLogarithmic ? "Line chart on a logarithmic scale" : "Line chart";
    const text = `${kind} from ${clock(from)} to ${clock(to)}. ${lines.join("; ")}.`;
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }

  #fillTable() {
    this.figure.classList.toggle("open", this.details.open);
    this.body.replaceChildren();
    this.head.replaceChildren();
    if (!this.details.open) return;
    const column = (text) => element("th", { scope: "col", textContent: text });
    const isAlone = this.names.length === 1;
    this.head.append(...["Time", ...(isAlone ? [] : ["Line"]), "Step", "Value"].map(column));
    const rows = [];
    this.names.forEach((name, line) => {
      const series = this.#board.history.series.get(name);
      const unit = unitOf(name);
      for (let i = Math.max(0, (series?.length ?? 0) - MOST_ROWS); i < (series?.length ?? 0); i++) {
        const cells = [number(series.step[i]), quantity(series.value[i], unit)].map((text) =>
          element("td", { textContent: text }),
        );
        if (!isAlone) cells.unshift(element("td", { textContent: this.labels[line] }));
        rows.push([
          series.time[i],
          element("tr", {}, element("th", { scope: "row", textContent: clock(series.time[i]) }), ...cells),
        ]);
      }
    });
    rows.sort(([a], [b]) => b - a);
    setText(this.asOf, `The newest ${Math.min(rows.length, MOST_ROWS)}, as of ${clock(this.#board.now())}`);
    this.body.append(...rows.slice(0, MOST_ROWS).map(([, row]) => row));
  }
}

/** The span of an axis of values, a little wider than they are. */
function padded(plot, least, greatest) {
  return least === null || (least === 0 && greatest === 0) ? [0, 1] : uPlot.rangeNum(least, greatest, 0.1, true);
}

// Ticks are sums of steps: 0.30000000000000004 is 0.3.
const round = (value) => Number(value.toPrecision(12));

export class Board {
  #root;
  #groups = new Map();
  #charts = new Map();
  #places = new Map();
  #observer;
  #timer = null;
  #lastDrawn = 0;
  #isDirty = false;

  /**
   * @param {HTMLElement} root Where the charts go.
   * @param {History} history What they show.
   * @param {() => number} now The time of the run's machine, in unix seconds.
   */
  constructor(root, history, now) {
    this.#root = root;
    this.history = history;
    this.now = now;
    this.end = null;
    this.window = null;
    this.isLogarithmic = false;
    this.palette = palette();
    this.#observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) target.chart.show(isIntersecting);
        this.changed();
      },
      { rootMargin: "100px" },
    );
    const resizes = new ResizeObserver(() => {
      for (const chart of this.#charts.values()) chart.resize();
    });
    resizes.observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.palette = palette();
      this.remake();
    });
    document.addEventListener("visibilitychange", () => this.changed());
  }

  get hasMany() {
    return this.#places.size > MANY;
  }

  get size() {
    return this.#places.size;
  }

  /** What the charts span, in unix seconds; nulls while there is nothing to show. */
  span() {
    const begin = this.history.begin;
    if (begin === null) return [null, null];
    const to = Math.max(this.end ?? this.now(), begin + 1);
    return [this.window === null ? begin : Math.max(begin, to - this.window), to];
  }

  /** Something is to be drawn: soon, not more than four times a second, and not while nobody can see it. */
  changed() {
    this.#isDirty = true;
    if (this.#timer !== null || document.hidden) return;
    const wait = Math.max(0, this.#lastDrawn + DRAW_EVERY - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#isDirty || document.hidden) return;
      this.#isDirty = false;
      this.#lastDrawn = performance.now();
      this.#place();
      for (const chart of this.#charts.values()) if (chart.isShown) chart.draw();
    }, wait);
  }

  /** Makes the charts anew that are on the screen: colours or scales have changed. */
  remake() {
    for (const chart of this.#charts.values()) chart.forget();
    this.changed();
  }

  /** Shows only the charts with a name that contains the text. */
  find(text) {
    const wanted = text.trim().toLowerCase();
    for (const { section, grid } of this.#groups.values()) {
      let isEmpty = true;
      for (const figure of grid.children) {
        const { names, title } = figure.chart;
        const isFound = [title, ...names].some((name) => name.toLowerCase().includes(wanted));
        figure.hidden = !isFound;
        if (isFound) isEmpty = false;
      }
      section.hidden = isEmpty;
    }
    this.changed();
  }

  #group(title) {
    let group = this.#groups.get(title);
    if (group) return group;
    const grid = element("div", { className: "grid" });
    const section = element("div", { className: "group" }, element("h3", { textContent: title }), grid);
    group = { section, grid };
    this.#groups.set(title, group);
    const after = GROUPS.slice(GROUPS.indexOf(title) + 1).find((later) => this.#groups.has(later));
    this.#root.insertBefore(section, after ? this.#groups.get(after).section : null);
    return group;
  }

  /** Gives a chart to the names that have none. */
  #place() {
    if (this.#places.size === this.history.series.size) return;
    const grown = new Set();
    for (const name of [...this.history.series.keys()].sort()) {
      if (this.#places.has(name)) continue;
      const place = placeOf(name);
      let key = place.key;
      for (let more = 2; (this.#charts.get(key)?.names.length ?? 0) >= MOST_LINES; more++)
        key = `${place.key} (${more})`;
      let chart = this.#charts.get(key);
      if (!chart) {
        chart = new Chart(this, place);
        this.#charts.set(key, chart);
        const { grid } = this.#group(place.group);
        const after = [...grid.children].find(({ chart: { rank, title } }) =>
          rank === place.rank ? title > place.title : rank > place.rank,
        );
        grid.insertBefore(chart.figure, after ?? null);
        this.#observer.observe(chart.figure);
      }
      chart.addLine(name, place.line);
      this.#places.set(name, chart);
      grown.add(chart);
    }
    // Those out of sight are drawn when they come into it; who does not look has their words from the beginning.
    for (const chart of grown) chart.describe();
    this.onPlaced?.();
  }
}
