// Everything on the page that is text: overview, tables, saves, log, errors. Written from the status and the history.

import { element, find, setRows, setText } from "./dom.js";
import { clock, day, duration, fileName, iso, milliseconds, moment, number } from "./format.js";

const MOST_SAVES = 50;

/** How an answer's hyperparameter is called in one line: "lr", "adamw[1] lr" where it must be told apart. */
export function hyperparameterName(parameter, all) {
  const others = all.filter((other) => other.name === parameter.name);
  if (others.length < 2) return parameter.name;
  return `${parameter.name} (${parameter.optimizer}, group ${parameter.group})`;
}

const horizonText = (schedule) =>
  schedule.horizon === null ? "none" : `${number(schedule.t)} / ${number(schedule.horizon)} ${schedule.by}`;

export function showState(state) {
  setText(find("state"), state);
  find("lamp").dataset.state = state;
}

export function showOverview(status) {
  const isPaced = status.interval !== null;
  const rows = [
    ["Uptime", duration(status.uptime)],
    ["Steps", number(status.steps)],
    [
      "Steps per second",
      isPaced
        ? `${number(round(status.steps_per_second))} of ${number(round(1 / status.interval))}`
        : number(round(status.steps_per_second)),
    ],
    ["Step time p99", status.step_times.count ? milliseconds(status.step_times.p99) : "none yet"],
    ["Lateness p99", isPaced && status.lateness.count ? milliseconds(status.lateness.p99) : "not paced"],
    ["Deadline misses", number(status.deadline_misses)],
    ["Pauses", number(status.pauses)],
    ["Last saved", ""],
  ];
  if (status.time_scale !== 1) rows.splice(1, 0, ["Time scale", `× ${number(status.time_scale)}`]);
  const list = find("summary");
  if (list.children.length !== rows.length) {
    list.replaceChildren(
      ...rows.map(([term]) => element("div", {}, element("dt", { textContent: term }), element("dd"))),
    );
  }
  rows.forEach(([term, text], at) => {
    const [name, value] = list.children[at].children;
    setText(name, term);
    if (term === "Last saved") value.id = "last-saved";
    else setText(value, text);
  });
}

const round = (value) => Number(value.toPrecision(3));

export function showTables(status) {
  const trainers = Object.entries(status.trainers);
  setRows(
    find("trainer-rows"),
    trainers.map(([name, trainer]) => [
      name,
      number(trainer.steps),
      number(trainer.sessions),
      trainer.is_in_session ? "yes" : "no",
      trainer.cycle_times.count ? milliseconds(trainer.cycle_times.p50) : "–",
      trainer.cycle_times.count ? milliseconds(trainer.cycle_times.p99) : "–",
      trainer.replay_ratio === null ? "–" : number(trainer.replay_ratio),
    ]),
    "No trainer.",
  );
  setRows(
    find("model-rows"),
    Object.entries(status.models).map(([name, model]) => [
      name,
      number(model.version),
      number(model.versions_behind),
      `${number(round(model.seconds_behind))} s`,
    ]),
    "No model.",
  );
  setRows(
    find("buffer-rows"),
    Object.entries(status.buffers).map(([name, buffer]) => [
      name,
      number(buffer.items),
      buffer.max_size === null ? "no limit" : number(buffer.max_size),
      number(buffer.dropped),
    ]),
    "No buffer.",
  );
  const rows = [];
  for (const [name, trainer] of trainers) {
    const unused = new Map(trainer.schedules.map((schedule) => [schedule.name, schedule]));
    for (const parameter of trainer.hyperparameters) {
      const schedule = trainer.schedules.find((other) => other.name === parameter.schedule);
      unused.delete(parameter.schedule);
      rows.push([
        name,
        hyperparameterName(parameter, trainer.hyperparameters),
        number(parameter.value),
        parameter.schedule ?? "–",
        schedule ? horizonText(schedule) : "–",
      ]);
    }
    for (const schedule of unused.values()) {
      rows.push([name, "–", schedule.values.map(number).join(", "), schedule.name, horizonText(schedule)]);
    }
  }
  setRows(find("hyperparameter-rows"), rows, "No hyperparameter.");
}

export function showNumbers(history, now) {
  const names = [...history.latest.keys()].sort();
  setRows(
    find("number-rows"),
    names.map((name) => {
      const { value, step, time } = history.latest.get(name);
      return [name, number(value), number(step), moment(time, now)];
    }),
    "Nothing was logged yet.",
  );
}

/** What ticks: how long ago the last save was. */
export function showSince(lastSavedAt, now, isSaving) {
  const age = find("last-saved");
  const text = isSaving ? "saving now" : lastSavedAt === null ? "not yet" : `${duration(now - lastSavedAt)} ago`;
  if (age) setText(age, text);
  setText(find("since"), isSaving || lastSavedAt === null ? "" : `The last was ${text}.`);
}

const time = (at, now) =>
  element("time", { dateTime: iso(at), title: `${day(at)} ${clock(at)}`, textContent: moment(at, now) });

export function showSaves(history, now) {
  const saves = history.saves.slice(-MOST_SAVES).reverse();
  find("save-list").replaceChildren(
    ...(saves.length
      ? saves.map((save) =>
          element(
            "li",
            {},
            time(save.time, now),
            " ",
            element("span", { className: "path", title: save.path, textContent: fileName(save.path) }),
          ),
        )
      : [element("li", { className: "empty", textContent: "No save yet." })]),
  );
}

function line(event, now) {
  const level = event.details?.level ?? (event.kind === "save failed" ? "ERROR" : "");
  const item = element("li", {}, time(event.time, now), " ");
  if (level) item.append(element("span", { className: `level ${level.toLowerCase()}`, textContent: level }), " ");
  item.append(element("span", { className: "text", textContent: event.text }));
  return item;
}

export function showLog(history, now) {
  const list = find("log-list");
  list.replaceChildren(
    ...(history.log.length
      ? history.log.toReversed().map((event) => line(event, now))
      : [element("li", { className: "empty", textContent: "Nothing yet." })]),
  );
}

export function showChanges(history, now) {
  find("changes").hidden = history.changes.length === 0;
  find("change-list").replaceChildren(...history.changes.toReversed().map((event) => line(event, now)));
}

let errorsShown = null;

/** Errors newest first, threads that are stuck, and what could not be put back. */
export function showErrors(history, status, now) {
  const articles = [];
  const article = (title, stack) => {
    articles.push(
      element(
        "article",
        {},
        element("h3", { textContent: title }),
        element("pre", { tabIndex: 0, role: "region", "aria-label": title, textContent: stack }),
      ),
    );
  };
  for (const [thread, stack] of Object.entries(status?.stuck ?? {})) article(`Stuck: ${thread}`, stack);
  for (const error of history.errors.toReversed()) {
    const type = error.details?.type ?? "Error";
    article(`${type}, ${moment(error.time, now)}`, error.text);
  }
  const missing = status?.not_restored ?? [];
  if (missing.length) articles.push(element("p", { textContent: `Not restored: ${missing.join("; ")}` }));
  find("errors").hidden = articles.length === 0;
  const text = articles.map((node) => node.textContent).join("\n");
  if (text === errorsShown) return;
  errorsShown = text;
  find("error-list").replaceChildren(...articles);
  // What is announced is which error there is, not its traceback.
  setText(find("error-news"), articles.length ? articles[0].firstChild.textContent : "");
}
