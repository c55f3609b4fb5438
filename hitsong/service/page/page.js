// The page: choose or record songs, send them, wait, show the result or the error.

import {Problem, abortable, hasToken, retryWhileBusy, setToken} from "./api.js";
import {byId, h} from "./dom.js";
import {listEarlier} from "./earlier.js";
import {clock, count, megabytes, sentence} from "./format.js";
import {ADVICE, OTHERWISE} from "./messages.js";
import {describeModel, quality} from "./model.js";
import {showRanking} from "./ranking.js";
import {announce, send, showPanel, showWaiting} from "./sending.js";
import {LONGEST, record} from "./recorder.js";
import {showSong} from "./song.js";
import * as store from "./store.js";
import {showVersions} from "./versions.js";

const SHOWN = "fields=descriptors,distribution"; // parts of a result that come only where they are asked for
const PATHS = {
  song: [`/predict?${SHOWN}`, "file"], ranking: [`/rank?${SHOWN}`, "files"], versions: [`/versions?${SHOWN}`, "files"],
};
const MOST_VERSIONS = 4;

let sending = null; // AbortController of the running request
let showing = new AbortController(); // of the result on the page
let recording = null;
let model = null; // of the service, once known
let shownKey = null; // of the result on the page
const filesOf = new Map(); // by key of a result: the songs of this visit

// ---- choosing

byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({target}) => {
  const files = [...target.files];
  target.value = ""; // so that the same file can be chosen again
  if (files.length) analyse(files);
});

// The whole window accepts files: dropped beside the frame, the browser would open them instead of the page.
let depth = 0;
const hover = (change) => (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  depth = change(depth);
  byId("drop").classList.toggle("over", depth > 0);
};
addEventListener("dragenter", hover((n) => n + 1));
addEventListener("dragleave", hover((n) => n - 1));
addEventListener("dragover", hover((n) => n));
addEventListener("drop", hover(() => 0));
addEventListener("drop", ({dataTransfer}) => dataTransfer.files.length && analyse([...dataTransfer.files]));

// ---- recording

byId("record").addEventListener("click", async () => {
  byId("record").disabled = true; // while the browser asks for the microphone
  try {
    recording = await record((seconds, level) => {
      byId("recorded").textContent = clock(seconds);
      byId("level").setAttribute("width", `${100 * Math.min(1, level)}%`);
      if (seconds >= LONGEST) finishRecording();
    });
    stopSending();
    showPanel("recording");
    byId("stop").focus();
    announce("Recording.");
  } catch (error) {
    showError("Recording is not possible", error.message);
  }
  byId("record").disabled = false;
});
byId("stop").addEventListener("click", finishRecording);
byId("discard").addEventListener("click", discardRecording);

function finishRecording() {
  const file = recording.finish();
  recording = null;
  analyse([file]);
}

function discardRecording() {
  recording.discard();
  recording = null;
  back("Recording discarded.");
}

// ---- sending

async function analyse(chosen, kind = chosen.length === 1 ? "song" : "ranking") {
  const files = withUniqueNames(chosen);
  stopSending();
  if (recording) discardRecording();
  sending = new AbortController();
  const {signal} = sending;
  try {
    const result = await sendUntilAccepted(kind, files, signal);
    sending = null;
    showNew(kind, result, files);
  } catch (error) {
    if (signal.aborted) return;
    sending = null;
    if (!(error instanceof Problem)) throw error;
    const [title, advice] = ADVICE[error.status] ?? OTHERWISE;
    const temporary = error.status === 0 || error.status >= 500; // the same songs may succeed later
    const name = files.length === 1 && error.detail ? `${files[0].name}: ` : "";
    showError(title, name + error.detail, advice, temporary && (() => analyse(chosen, kind)));
  }
}

/** The files with unique names that the service returns unchanged: rows are matched to files by name. */
function withUniqueNames(files) {
  const taken = new Set();
  return files.map((file) => {
    const clean = [...file.name.replace(/[\p{C}\\/]/gu, "").trim()].slice(0, 100).join("") || "song";
    let name = clean;
    for (let n = 2; taken.has(name); n++) name = `${clean} (${n})`;
    taken.add(name);
    return new File([file], name, {type: file.type});
  });
}

/** Send the files until they are accepted: waits for a busy service, asks for a token. */
async function sendUntilAccepted(kind, files, signal) {
  checkLimits(files);
  for (;;) {
    try {
      return await retryWhileBusy(() => send(PATHS[kind], files, signal), signal, showWaiting);
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForToken(signal);
    }
  }
}

/** Refuse what the service would refuse, before sending it. */
function checkLimits(files) {
  if (model === null) return;
  const {largest_bytes: largest, most_files: most} = model;
  const large = files.find((file) => file.size > largest);
  if (large) {
    const name = files.length === 1 ? "" : `${large.name}: `;
    const detail = `${name}${megabytes(large.size)} MB; a song may have up to ${megabytes(largest)} MB`;
    throw new Problem(413, {detail});
  }
  if (files.length > most) {
    throw new Problem(413, {detail: `${files.length} files; a ranking may have up to ${most}`});
  }
}

async function askForToken(signal) {
  showPanel("access");
  byId("access-refused").hidden = !hasToken();
  byId("token").value = "";
  byId("token").focus();
  await abortable((resolve) => {
    byId("access").onsubmit = (event) => {
      event.preventDefault();
      setToken(byId("token").value);
      resolve();
    };
  }, signal);
  model = await describeModel();
}

function stopSending() {
  sending?.abort();
  sending = null;
}

function cancel() {
  stopSending();
  byId("result").hidden = !byId("song-or-ranking").hasChildNodes();
  back("Cancelled.");
}

byId("cancel").addEventListener("click", cancel);
addEventListener("keydown", ({key}) => {
  if (key !== "Escape") return;
  if (recording) discardRecording();
  else if (sending) cancel();
});

// ---- results and errors

function back(text) {
  showPanel("drop");
  byId("choose").focus();
  announce(text);
}

function showError(title, detail, advice = "", again = false) {
  showPanel("drop");
  const lines = [h("h2", {}, title)];
  if (detail) lines.push(h("p", {}, sentence(detail)));
  if (advice) lines.push(h("p", {}, advice));
  if (again) {
    const button = h("button", {type: "button"}, "Try again");
    button.addEventListener("click", again);
    lines.push(h("div", {class: "buttons"}, button));
  }
  byId("problem").replaceChildren(h("div", {class: "panel problem"}, ...lines));
  announce("");
  (again ? byId("problem").querySelector("button") : byId("choose")).focus();
}

/** Show a result that has just arrived, keep it in this browser, and give it an address. */
function showNew(kind, result, files) {
  const names = kind === "song" ? titleOf(kind, result) : result.rows.map(({name}) => name).join(", ");
  const key = store.keep(kind, names, result);
  filesOf.set(key, files);
  history.pushState(null, "", `?result=${key}`);
  listEarlier(openEarlier);
  showResult({key, kind, result});
  announce(kind === "song" ? "The result is ready." : kind === "ranking" ? "The ranking is ready." : "The comparison is ready.");
}

/** Show a result of this browser. */
function showResult({key, kind, result}) {
  stopSending();
  showing.abort();
  showing = new AbortController();
  showPanel("drop");
  shownKey = key;
  document.body.classList.add("has-result");
  byId("song-or-ranking").replaceChildren(...views[kind](result, filesOf.get(key) ?? [], showing.signal));
  const title = titleOf(kind, result);
  document.title = `${title} – Hitsong`;
  byId("result-title").textContent = title;
  byId("result").hidden = false;
  byId("result-title").focus();
}

const views = {
  song: (song, [file = null], signal) => [showSong(song, file, qualityText(), signal)],
  ranking: (ranking, files, signal) => [showRanking(ranking, files, qualityText(), signal), ...offerVersions(ranking, files)],
  versions: (versions) => [showVersions(versions)],
};

const qualityText = () => (model ? quality(model) : "");

function titleOf(kind, result) {
  if (kind === "song") return result.name;
  if (kind === "versions") return `${count(result.rows.length, "version")}, side by side`;
  return rankingTitle(result.rows);
}

/** A few songs may be versions of one. */
function offerVersions({rows}, files) {
  if (rows.length < 2 || rows.length > MOST_VERSIONS || files.length > MOST_VERSIONS || rows[0].rank === null) return [];
  const button = h("button", {type: "button"}, "Compare them side by side");
  button.addEventListener("click", () => analyse(files, "versions"));
  return [h("p", {class: "offer"}, "Are these versions of one song, such as two mixes? ", button)];
}

/** Show the start of the page. */
function showStart() {
  stopSending();
  showing.abort();
  shownKey = null;
  document.body.classList.remove("has-result");
  document.title = "Hitsong: try a song";
  byId("result").hidden = true;
  byId("song-or-ranking").replaceChildren();
  showPanel("drop");
}

/** Show what the address names: a result of this browser, or the start. */
function showAddressed() {
  const key = new URLSearchParams(location.search).get("result");
  if (key === shownKey) return; // a link within the page
  const entry = key && store.find(key);
  if (entry) showResult(entry);
  else showStart();
}

addEventListener("popstate", showAddressed);

function openEarlier(entry) {
  history.pushState(null, "", `?result=${entry.key}`);
  showResult(entry);
}

function rankingTitle(rows) {
  if (rows.length === 0) return "None of these files could be read as music";
  return count(rows.length, "song") + (rows[0].rank === null ? "" : ", ranked");
}

// ---- the model, and what was shown before

async function start() {
  listEarlier(openEarlier);
  model = await describeModel();
  showAddressed();
}

start();
