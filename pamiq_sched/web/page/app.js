// The page's conversation with the run: its stream of events, its commands. What is shown is told by panels.js and
// charts.js.
//
// The stream is opened first and the history fetched then, so that nothing falls between the two; what comes
// meanwhile waits. After a lost connection both are done again: the history takes the place of all that was kept.

import { Board } from "./charts.js";
import { element, find, setText } from "./dom.js";
import { clock, fileName } from "./format.js";
import { History } from "./history.js";
import * as panels from "./panels.js";

const DRAW_EVERY = 250; // ms
const SILENCE = 30; // s; a run says something every 10 s
const LEAVE_AFTER = 60; // s out of sight, after which the stream is closed: a browser has six connections to a host
const RETRY_AFTER = [0.5, 1, 2, 5, 10]; // s
const ASK_AGAIN = 2; // s, for a command that is not over

const history = new History();
let status = null;
let offset = 0; // s that the run's machine is ahead of this one
let isEnded = false;

const now = () => Date.now() / 1000 + offset;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const board = new Board(find("board"), history, now);

// -- what is shown

function applyStatus(next) {
  status = next;
  showState();
  panelsChanged();
}

function showState() {
  const state = isEnded ? "ended" : status.state;
  panels.showState(state);
  const title = `${state} · ${status.program}`;
  if (document.title !== title) document.title = title;
  const isOver = isEnded || ["shutting down", "offline"].includes(state);
  allow("pause", !isOver && ["active", "saving"].includes(state));
  allow("resume", !isOver && ["paused", "saving"].includes(state));
  allow("save", !isOver && state !== "saving");
  allow("shutdown", !isOver);
}

// A button that cannot be used keeps the focus, and says that it cannot.
function allow(id, isAllowed) {
  find(id).setAttribute("aria-disabled", String(!isAllowed));
}

let panelTimer = null;
let lastPanels = 0;

/** Writes the panels soon, and not more than four times a second; nobody reads a hidden page. */
function panelsChanged() {
  if (panelTimer !== null || document.hidden) return;
  const wait = Math.max(0, lastPanels + DRAW_EVERY - performance.now());
  panelTimer = setTimeout(() => {
    panelTimer = null;
    lastPanels = performance.now();
    showPanels();
  }, wait);
}

let shownEvents = "";

function showPanels() {
  if (!status) return;
  panels.showOverview(status);
  panels.showTables(status);
  showEditor();
  if (find("number-details").open) panels.showNumbers(history, now());
  panels.showErrors(history, status, now());
  // Lists are made anew only when there is something new in them: a reader may be in the middle of one.
  const newest = [history.log, history.changes, history.saves]
    .map((list) => `${list.length} ${list.at(-1)?.time}`)
    .join();
  if (newest !== shownEvents) {
    shownEvents = newest;
    panels.showLog(history, now());
    panels.showChanges(history, now());
    panels.showSaves(history, now());
  }
  tick();
}

/** Once a second: what grows older by itself. */
function tick() {
  if (document.hidden || !status) return;
  // The event of a save may be here before a status that knows of it, and after the last one.
  const saved = Math.max(status.last_saved_at ?? 0, history.saves.at(-1)?.time ?? 0);
  panels.showSince(saved || null, now(), status.is_saving && !isEnded);
}

// -- the stream

let stream = null;
let waiting = null; // what came while the history was on its way
let failures = 0;
let lastHeard = 0;
let leaveTimer = null;

function receive(kind, data) {
  lastHeard = performance.now();
  if (kind === "status") applyStatus(data);
  else if (kind === "ended") end(data.errors);
  else if (waiting) waiting.push([kind, data]);
  else take(kind, data);
}

function take(kind, data) {
  if (kind === "points") history.addPoints(data);
  else history.addEvent(data);
  board.changed();
  panelsChanged();
}

function connect() {
  disconnect();
  waiting = [];
  const opened = new EventSource("/api/events");
  stream = opened;
  for (const kind of ["status", "points", "event", "ended"]) {
    opened.addEventListener(kind, (message) => receive(kind, JSON.parse(message.data)));
  }
  opened.addEventListener("open", () => loadHistory(opened));
  opened.addEventListener("error", () => lose(opened));
  lastHeard = performance.now();
}

function disconnect() {
  stream?.close();
  stream = null;
  waiting = null;
}

async function loadHistory(opened) {
  let answer;
  try {
    const response = await fetch("/api/history");
    if (!response.ok) throw new Error(`history: ${response.status}`);
    answer = await response.json();
  } catch {
    lose(opened);
    return;
  }
  if (stream !== opened) return;
  offset = answer.now - Date.now() / 1000;
  history.load(answer);
  for (const [kind, data] of waiting) take(kind, data);
  waiting = null;
  failures = 0;
  shownEvents = "";
  setText(find("connection"), "");
  board.changed();
  panelsChanged();
}

async function lose(lost) {
  if (stream !== lost || isEnded) return;
  disconnect();
  failures += 1;
  const wait = RETRY_AFTER[Math.min(failures, RETRY_AFTER.length) - 1];
  if (failures === 1) setText(find("connection"), `No connection to the run since ${clock(now())}. Trying again.`);
  try {
    const response = await fetch("/api/status");
    if (response.status === 401) {
      setText(
        find("connection"),
        "This page is no longer let in: its token is of another run. Open the address that the program printed.",
      );
      return;
    }
  } catch {
    // Nobody answers; that is what is shown already.
  }
  await sleep(wait);
  if (stream === null && !isEnded && !document.hidden) connect();
}

function end(errors) {
  isEnded = true;
  // The clocks of the two machines are not compared to the millisecond: what came last lies before the end.
  board.end = Math.max(now(), history.saves.at(-1)?.time ?? 0);
  disconnect();
  history.end(now());
  for (const text of errors) {
    // What was told before as an error of its own is not told twice.
    if (!history.errors.some((known) => known.text === text)) {
      history.addEvent({
        kind: "error",
        time: now(),
        text,
        details: { type: text.trim().split("\n").at(-1).split(":")[0] },
      });
    }
  }
  const how =
    errors.length === 0
      ? "without errors"
      : errors.length === 1
        ? "with an error"
        : `with ${errors.length} errors`;
  setText(find("connection"), `The run ended at ${clock(now())}, ${how}. What is shown is its last.`);
  if (status) showState();
  board.changed();
  panelsChanged();
}

setInterval(() => {
  if (stream && performance.now() - lastHeard > SILENCE * 1000) lose(stream);
  tick();
}, 1000);

document.addEventListener("visibilitychange", () => {
  clearTimeout(leaveTimer);
  if (isEnded) return;
  if (document.hidden) leaveTimer = setTimeout(disconnect, LEAVE_AFTER * 1000);
  else if (stream === null) connect();
  else panelsChanged();
});

// -- commands

/** Sends a command and waits until it is over. Returns its answer; an answer with an `error` has failed. */
async function post(path, body) {
  try {
    const options = { method: "POST" };
    if (body)
      Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    let answer = await (await fetch(path, options)).json();
    while (answer.state === "pending") {
      await sleep(ASK_AGAIN);
      answer = await (await fetch(`/api/commands/${answer.id}`)).json();
    }
    return answer;
  } catch {
    return { error: "no answer: the connection was lost before the command was over" };
  }
}

const failure = (what, answer) => `${what} failed: ${answer.error}`;

async function command(path, doing, done) {
  const output = find("answer");
  setText(output, `${doing} …`);
  const answer = await post(path);
  output.classList.toggle("failed", Boolean(answer.error));
  setText(output, answer.error ? failure(doing, answer) : done(answer.value));
}

function onPress(id, action) {
  find(id).addEventListener("click", () => {
    if (find(id).getAttribute("aria-disabled") !== "true") action();
  });
}

onPress("pause", () => command("/api/pause", "Pausing", () => "Paused."));
onPress("resume", () => command("/api/resume", "Resuming", () => "Resumed."));
onPress("save", () =>
  command("/api/save-state", "Saving", (path) => (path ? `Saved as ${fileName(path)}.` : "Saved.")),
);
onPress("shutdown", async () => {
  const program = status.program;
  if (
    !(await ask(
      `Shut down ${program}?`,
      "The agent stops acting and learning. The state is saved at the end.",
      "Shut down",
    ))
  )
    return;
  const since = find("last-saved")?.textContent ?? "not yet";
  if (
    !(await ask(
      "Really?",
      `${program} ends; from here it cannot be started again. Last saved: ${since}.`,
      "Yes, end the run",
    ))
  )
    return;
  await command("/api/shutdown", "Shutting down", () => "Shutdown accepted.");
});

/** Asks in a dialog; the focus is on the answer that does nothing. */
function ask(title, text, yes) {
  const dialog = find("confirm");
  setText(find("confirm-title"), title);
  setText(find("confirm-text"), text);
  setText(find("confirm-yes"), yes);
  return new Promise((resolve) => {
    const answer = { yes: () => dialog.close("yes"), no: () => dialog.close("no") };
    find("confirm-yes").onclick = answer.yes;
    find("confirm-no").onclick = answer.no;
    dialog.returnValue = "no"; // Escape leaves it as it is
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    find("confirm-no").focus();
  });
}

// -- changing a hyperparameter, moving a horizon

let targets = new Map(); // from the value of an option to what is sent
let targetsShown = "";

function showEditor() {
  targets = new Map();
  for (const [trainer, { hyperparameters, schedules }] of Object.entries(status.trainers)) {
    for (const parameter of hyperparameters.filter((one) => one.schedule === null)) {
      const { optimizer, group, name, value } = parameter;
      const label = `${trainer}: ${panels.hyperparameterName(parameter, hyperparameters)}`;
      targets.set(label, {
        path: "/api/hyperparameters",
        key: "value",
        body: { trainer, name, optimizer, group },
        value,
      });
    }
    for (const { name, horizon } of schedules.filter((one) => one.horizon !== null)) {
      const label = `${trainer}: horizon of ${name}`;
      targets.set(label, {
        path: "/api/horizon",
        key: "horizon",
        body: { trainer, schedule: name },
        value: horizon,
      });
    }
  }
  find("edit").hidden = targets.size === 0 || isEnded;
  const labels = [...targets.keys()];
  if (labels.join("\n") === targetsShown) return;
  targetsShown = labels.join("\n");
  find("edit-target").replaceChildren(
    ...labels.map((label) => element("option", { value: label, textContent: label })),
  );
  proposeValue();
}

/** The value as it is now, to be changed. */
function proposeValue() {
  const target = targets.get(find("edit-target").value);
  if (target) find("edit-value").value = JSON.stringify(target.value);
}

find("edit-target").addEventListener("change", proposeValue);
find("edit").addEventListener("submit", async (event) => {
  event.preventDefault();
  const label = find("edit-target").value;
  const target = targets.get(label);
  const output = find("edit-answer");
  const text = find("edit-value").value.trim();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    output.classList.add("failed");
    setText(output, `${label} must be a number, got ${text}; write it as 0.001 or 1e-3.`);
    return;
  }
  setText(output, `Setting ${label} …`);
  const answer = await post(target.path, { ...target.body, [target.key]: value });
  output.classList.toggle("failed", Boolean(answer.error));
  setText(output, answer.error ? failure(label, answer) : `${label} is ${text} now.`);
});

// -- the tools of the charts

board.onPlaced = () => {
  find("no-charts").hidden = board.size > 0;
  find("key").hidden = board.size === 0;
  find("find-box").hidden = !board.hasMany;
  board.find(find("find").value);
};
find("find").addEventListener("input", () => board.find(find("find").value));
find("window").addEventListener("change", () => {
  board.window = Number(find("window").value) || null;
  board.changed();
});
find("logarithmic").addEventListener("change", () => {
  board.isLogarithmic = find("logarithmic").checked;
  board.remake();
});
find("number-details").addEventListener("toggle", panelsChanged);

// -- the page is taken over

for (const id of ["controls", "contents", "charts"]) find(id).hidden = false;
find("number-details").open = false;
connect();
