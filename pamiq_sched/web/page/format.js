// How names, numbers and times are written. Pure functions; no document.

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Four significant digits; whole numbers whole, with thousands apart; null for what is not finite. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not a number";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (Number.isInteger(value) && size < 1e9) return GROUPED.format(value);
  if (size >= 1e6 || size < 1e-3)
    return value
      .toExponential(3)
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  if (size >= 1e4) return GROUPED.format(value);
  return Number(value.toPrecision(4)).toString();
}

// A unit is what a value is multiplied by for people, and what is written after it. Only names that the runtime
// gives have one: what users log is theirs.
const PLAIN = { factor: 1, suffix: "" };
const UNITS = [
  [/^interaction\/(step_time|lateness)_p\d+$|\/(cycle_time|sync_time)$/, { factor: 1000, suffix: " ms" }],
  [/^models\/.*\/seconds_behind$/, { factor: 1, suffix: " s" }],
  [/^interaction\/steps_per_second$/, { factor: 1, suffix: " /s" }],
  [/^buffers\/.*\/fill$/, { factor: 100, suffix: " %" }],
];

export function unitOf(name) {
  for (const [pattern, unit] of UNITS) if (pattern.test(name)) return unit;
  return PLAIN;
}

/** A value with its unit: "12.3 ms". */
export function quantity(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not a number";
  return number(value * unit.factor) + unit.suffix;
}

/** Three significant digits of it, in ms. */
export function milliseconds(seconds) {
  return `${number(Number((seconds * 1000).toPrecision(3)))} ms`;
}

/** Its two largest parts: "2 h 5 min". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([amount], index) => index === 0 || amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}

const two = (value) => String(value).padStart(2, "0");

/** The time of day here, of unix seconds. */
export function clock(time, seconds = true) {
  const date = new Date(time * 1000);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return seconds ? `${text}:${two(date.getSeconds())}` : text;
}

export function day(time) {
  const date = new Date(time * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The time of day, with the date unless it is today's. */
export function moment(time, now) {
  return day(time) === day(now) ? clock(time) : `${day(time)} ${clock(time)}`;
}

export function iso(time) {
  return Number.isFinite(time) ? new Date(time * 1000).toISOString() : "";
}

/** The last part of a path. */
export function fileName(path) {
  return path.split(/[/\\]/).filter(Boolean).pop() ?? path;
}
