// The page: choose or record songs, send them, wait, show the result or the error.

import {Problem, abortable, get, hasToken, post, retryWhileBusy, setToken} from "./api.js";
import {markdown} from "./card.js";
import {byId, h} from "./dom.js";
import {clock, count, date, megabytes, sentence} from "./format.js";
import {ADVICE, HEADLINES, OTHERWISE} from "./messages.js";
import {showRanking} from "./ranking.js";
import {LONGEST, record} from "./recorder.js";
import {pairs, showSong} from "./song.js";

const SHOWN = "descriptors,distribution"; // parts of a result that come only where they are asked for

let sending = null; // AbortController of the running request
let showing = new AbortController(); // of the result on the page
let recording = null;
let limits = null; // of the service, once known

/** Show one of the panels, hide the others. */
function showPanel(name) {
  for (const id of ["drop", "recording", "progress", "access"]) byId(id).hidden = id !== name;
  byId("problem").replaceChildren();
}

/** Announce to screen readers. */
const announce = (text) => (byId("live").textContent = text);

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

async function analyse(chosen) {
  const files = withUniqueNames(chosen);
  stopSending();
  if (recording) discardRecording();
  sending = new AbortController();
  const {signal} = sending;
  try {
    const result = await sendUntilAccepted(files, signal);
    sending = null;
    showResult(result, files);
  } catch (error) {
    if (signal.aborted) return;
    sending = null;
    if (!(error instanceof Problem)) throw error;
    const [title, advice] = ADVICE[error.status] ?? OTHERWISE;
    const temporary = error.status === 0 || error.status >= 500; // the same songs may succeed later
    const name = files.length === 1 && error.detail ? `${files[0].name}: ` : "";
    showError(title, name + error.detail, advice, temporary && (() => analyse(chosen)));
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
async function sendUntilAccepted(files, signal) {
  checkLimits(files);
  for (;;) {
    try {
      return await retryWhileBusy(() => send(files, signal), signal, waiting);
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForToken(signal);
    }
  }
}

/** Refuse what the service would refuse, before sending it. */
function checkLimits(files) {
  if (limits === null) return;
  const {largest_bytes: largest, most_files: most} = limits;
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

async function send(files, signal) {
  showPanel("progress");
  byId("waiting").hidden = true;
  byId("cancel").focus();
  byId("result").hidden = true;
  byId("what").textContent = files.length === 1 ? files[0].name : count(files.length, "song");
  byId("elapsed").textContent = "";
  step("upload");
  announce("Uploading.");
  let ticking;
  const listener = {
    uploading(sent, total) {
      byId("uploaded").textContent = `${megabytes(sent)} of ${megabytes(total)} MB`;
      byId("bar").value = sent / total;
    },
    uploaded() {
      step("analysis");
      announce("Uploaded. The service analyses it.");
      const began = performance.now();
      ticking = setInterval(() => {
        byId("elapsed").textContent = `${Math.round((performance.now() - began) / 1000)} s`;
      }, 1000);
    },
  };
  try {
    return files.length === 1
      ? await post(`/predict?fields=${SHOWN}`, "file", files, listener, signal)
      : await post(`/rank?fields=${SHOWN}`, "files", files, listener, signal);
  } finally {
    clearInterval(ticking);
  }
}

/** Mark the current step. The service reports no progress of the analysis: the bar then has no value. */
function step(current) {
  for (const name of ["upload", "analysis"]) {
    const line = byId(`step-${name}`);
    line.classList.toggle("done", name === "upload" && current === "analysis");
    if (name === current) line.setAttribute("aria-current", "step");
    else line.removeAttribute("aria-current");
  }
  if (current === "upload") byId("bar").value = 0;
  else byId("bar").removeAttribute("value");
}

function waiting(left) {
  byId("waiting").hidden = false;
  byId("waiting").textContent = `The service is busy. Next try in ${left} s.`;
  announce("The service is busy. The page waits and tries again.");
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
  describeModel();
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

function showResult(result, files) {
  showing.abort();
  showing = new AbortController();
  showPanel("drop");
  document.body.classList.add("has-result");
  const {signal} = showing;
  const single = files.length === 1;
  byId("song-or-ranking").replaceChildren(
    single ? showSong(result, files[0], signal) : showRanking(result, files, signal),
  );
  byId("result-title").textContent = single ? result.name : rankingTitle(result.rows);
  byId("result").hidden = false;
  byId("result-title").focus();
  announce(single ? "The result is ready." : "The ranking is ready.");
}

function rankingTitle(rows) {
  if (rows.length === 0) return "None of these files could be read as music";
  return count(rows.length, "song") + (rows[0].rank === null ? "" : ", ranked");
}

// ---- the model

async function describeModel() {
  let model;
  try {
    model = await get("/model", "json");
  } catch (error) {
    if (error instanceof Problem) return; // the page shows that the model is not known
    throw error;
  }
  const {train, validation} = model.trained_on;
  limits = model;
  byId("limits").textContent =
    `, up to ${megabytes(model.largest_bytes)} MB and ${count(model.longest_seconds / 60, "minute")} each`;
  byId("question").textContent = HEADLINES[model.target.kind];
  byId("synthetic").hidden = !model.synthetic;
  byId("lead").textContent =
    `The model was trained on ${count(train, "track")} and uses the sound alone, not who made a song. `
    + "Choose several songs to rank them.";
  byId("model-missing").hidden = true;
  byId("model-facts").replaceChildren(...pairs({
    Model: model.name,
    Study: model.study,
    Data: model.collected_from,
    "Trained on": `${count(train, model.synthetic ? "synthetic track" : "track")}; validated on ${validation.toLocaleString("en")} more`,
    Popularity: `from ${model.source}, read on ${date(model.snapshot)}`,
    Version: model.version,
  }));
  byId("card").hidden = !model.card;
  byId("card").querySelector("div").replaceChildren(...markdown(model.card ?? ""));
}

describeModel();
