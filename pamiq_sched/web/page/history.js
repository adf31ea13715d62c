// What is kept of a run: bounded, however long the page stays open. No document.

const MOST_POINTS = 2000;
const MOST_NAMES = 2000; // as many as the server keeps, which tells of the others in the log
const MOST_SAVES = 500;
const MOST_PAUSES = 500;
const MOST_LOG = 200;
const MOST_ERRORS = 50;
const MOST_CHANGES = 100;

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

function mean(a, countA, b, countB) {
  if (missing(a)) return b;
  if (missing(b)) return a;
  return (a * countA + b * countB) / (countA + countB);
}

function choose(pick, a, b) {
  if (missing(a)) return b;
  if (missing(b)) return a;
  return pick(a, b);
}

/** The points of one name. Full, it merges its pairs: the whole run stays, half as fine. */
export class Series {
  constructor() {
    this.clear();
  }

  clear() {
    this.time = [];
    this.step = [];
    this.value = [];
    this.least = [];
    this.greatest = [];
    this.count = [];
  }

  get length() {
    return this.time.length;
  }

  get last() {
    return this.length - 1;
  }

  add(time, step, value, least, greatest, count) {
    if (this.length >= MOST_POINTS) this.#merge();
    // A wall clock may be set back; charts need times that do not go back.
    this.time.push(this.length ? Math.max(time, this.time[this.last]) : time);
    this.step.push(step);
    this.value.push(missing(value) ? NaN : value);
    this.least.push(missing(least) ? NaN : least);
    this.greatest.push(missing(greatest) ? NaN : greatest);
    this.count.push(count);
  }

  #merge() {
    const half = this.length >> 1;
    for (let to = 0; to < half; to++) {
      const a = 2 * to;
      const b = a + 1;
      this.value[to] = mean(this.value[a], this.count[a], this.value[b], this.count[b]);
      this.least[to] = choose(Math.min, this.least[a], this.least[b]);
      this.greatest[to] = choose(Math.max, this.greatest[a], this.greatest[b]);
      this.count[to] = this.count[a] + this.count[b];
      this.time[to] = this.time[b];
      this.step[to] = this.step[b];
    }
    for (const column of [this.time, this.step, this.value, this.least, this.greatest, this.count]) {
      column.length = half;
    }
  }

  /** The index of the first point at or after a time; the length if there is none. */
  indexOf(time) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function keep(list, most) {
  if (list.length > most) list.splice(0, list.length - most);
}

/** Everything that the page tells about the past; lists are oldest first. */
export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.begin = null; // the time of the first point
    this.series = new Map();
    this.latest = new Map();
    this.pauses = [];
    this.saves = [];
    this.log = [];
    this.errors = [];
    this.changes = [];
  }

  /** The answer of /api/history, in the place of what was kept. */
  load(answer) {
    this.clear();
    for (const [name, columns] of Object.entries(answer.series)) {
      for (let i = 0; i < columns.time.length; i++) {
        this.#add(
          name,
          columns.time[i],
          columns.step[i],
          columns.value[i],
          columns.least[i],
          columns.greatest[i],
          columns.count[i],
        );
      }
    }
    this.pauses = answer.pauses.slice(-MOST_PAUSES);
    this.saves = answer.saves.slice(-MOST_SAVES);
    this.log = answer.log.slice(-MOST_LOG);
    this.errors = answer.errors.slice(-MOST_ERRORS);
    this.changes = answer.changes.slice(-MOST_CHANGES);
  }

  /** Points that came live; those that the loaded history held already are left out. */
  addPoints(points) {
    for (const [name, time, step, value, least, greatest, count] of points) {
      const known = this.series.get(name);
      if (known?.length && time <= known.time[known.last] && step <= known.step[known.last]) continue;
      this.#add(name, time, step, value, least, greatest, count);
    }
  }

  #add(name, time, step, value, least, greatest, count) {
    let series = this.series.get(name);
    if (!series) {
      if (this.series.size >= MOST_NAMES) return;
      series = new Series();
      this.series.set(name, series);
    }
    series.add(time, step, value, least, greatest, count);
    if (this.begin === null || time < this.begin) this.begin = time;
    // Merging changes the newest point too; what a table shows is what was logged last.
    this.latest.set(name, { time, step, value });
  }

  /** One event that came live; one that the loaded history held already is left out. */
  addEvent(event) {
    const [list, most] = { error: [this.errors, MOST_ERRORS], changed: [this.changes, MOST_CHANGES] }[
      event.kind
    ] ?? [this.log, MOST_LOG];
    if (list.some((known) => known.time === event.time && known.kind === event.kind && known.text === event.text))
      return;
    list.push(event);
    keep(list, most);
    if (event.kind === "saved") {
      this.saves.push({ time: event.time, path: event.details.path });
      keep(this.saves, MOST_SAVES);
    }
    if (event.kind === "state") this.#changeState(event.details.state, event.time);
  }

  /** Nothing comes after this; a pause that lasts is over too. */
  end(time) {
    this.#changeState("offline", time);
  }

  #changeState(state, time) {
    const open = this.pauses.at(-1);
    const isPaused = open !== undefined && open[1] === null;
    if (state === "paused" && !isPaused) {
      this.pauses.push([time, null]);
      keep(this.pauses, MOST_PAUSES);
    }
    // A save in a pause does not end it.
    if (isPaused && ["resuming", "active", "shutting down", "offline"].includes(state)) open[1] = time;
  }
}
