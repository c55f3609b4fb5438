// The page's course: songs are chosen, sent, waited for and shown; or something goes wrong and is said.

import {Problem, get, hasToken, patiently, post, setToken, settled} from "./api.js";
import {markdown} from "./card.js";
import {byId, h} from "./dom.js";
import {showRanking} from "./ranking.js";
import {LONGEST, record} from "./recorder.js";
import {pairs, showSong} from "./song.js";
import {ADVICE, OTHERWISE, QUESTIONS} from "./texts.js";
import {clock, count, date, megabytes, sentence} from "./words.js";

let sending = null; // AbortController of what is on its way
let showing = new AbortController(); // of the result that is shown
let recording = null;
let limits = null; // of the service, as soon as it has told them

/** Show one of the panels that take each other's place. */
function panel(name) {
  for (const id of ["drop", "recording", "progress", "access"]) byId(id).hidden = id !== name;
  byId("problem").replaceChildren();
}

/** Tell those who cannot see it. */
const say = (words) => (byId("live").textContent = words);

// ---- choosing

byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({target}) => {
  const files = [...target.files];
  target.value = ""; // so that the same file can be chosen again
  if (files.length) analyse(files);
});

// The whole window takes what is dropped: beside the frame, the browser would leave the page for the file.
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
    panel("recording");
    byId("stop").focus();
    say("Recording.");
  } catch (error) {
    complain("Recording is not possible", error.message);
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
  const files = named(chosen);
  stopSending();
  if (recording) discardRecording();
  sending = new AbortController();
  const {signal} = sending;
  try {
    const answer = await insist(files, signal);
    sending = null;
    show(answer, files);
  } catch (error) {
    if (signal.aborted) return;
    sending = null;
    if (!(error instanceof Problem)) throw error;
    const [title, advice] = ADVICE[error.status] ?? OTHERWISE;
    const passing = error.status === 0 || error.status >= 500; // the same songs may do another time
    const whose = files.length === 1 && error.detail ? `${files[0].name}: ` : "";
    complain(title, whose + error.detail, advice, passing && (() => analyse(chosen)));
  }
}

/** The files under names that the service gives back as they are, each with its own: rows are told apart by them. */
function named(files) {
  const taken = new Set();
  return files.map((file) => {
    const clean = [...file.name.replace(/[\p{C}\\/]/gu, "").trim()].slice(0, 100).join("") || "song";
    let name = clean;
    for (let n = 2; taken.has(name); n++) name = `${clean} (${n})`;
    taken.add(name);
    return new File([file], name, {type: file.type});
  });
}

/** Send the files until there is an answer: waits for a busy service, asks for a token. */
async function insist(files, signal) {
  refuse(files);
  for (;;) {
    try {
      return await patiently(() => send(files, signal), signal, waiting);
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForToken(signal);
    }
  }
}

/** Refuse what the service would refuse, before it is sent. */
function refuse(files) {
  if (limits === null) return;
  const {largest_bytes: largest, most_files: most} = limits;
  const large = files.find((file) => file.size > largest);
  if (large) {
    const whose = files.length === 1 ? "" : `${large.name}: `;
    const detail = `${whose}${megabytes(large.size)} MB; a song may have up to ${megabytes(largest)} MB`;
    throw new Problem(413, {detail});
  }
  if (files.length > most) {
    throw new Problem(413, {detail: `${files.length} files; a ranking may have up to ${most}`});
  }
}

async function send(files, signal) {
  panel("progress");
  byId("waiting").hidden = true;
  byId("cancel").focus();
  byId("result").hidden = true;
  byId("what").textContent = files.length === 1 ? files[0].name : count(files.length, "song");
  byId("elapsed").textContent = "";
  step("upload");
  say("Uploading.");
  let ticking;
  const listener = {
    uploading(sent, total) {
      byId("uploaded").textContent = `${megabytes(sent)} of ${megabytes(total)} MB`;
      byId("bar").value = sent / total;
    },
    uploaded() {
      step("analysis");
      say("Uploaded. The service decodes and analyses.");
      const began = performance.now();
      ticking = setInterval(() => {
        byId("elapsed").textContent = `${Math.round((performance.now() - began) / 1000)} s`;
      }, 1000);
    },
  };
  try {
    return files.length === 1
      ? await post("/predict", "file", files, listener, signal)
      : await post("/rank", "files", files, listener, signal);
  } finally {
    clearInterval(ticking);
  }
}

/** Mark where the work stands. How far the analysis is, the service does not tell: the bar then has no value. */
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
  say("The service is busy. The page waits and tries again.");
}

async function askForToken(signal) {
  panel("access");
  byId("access-refused").hidden = !hasToken();
  byId("token").value = "";
  byId("token").focus();
  await settled((resolve) => {
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
  byId("result").hidden = !byId("answer").hasChildNodes();
  back("Cancelled.");
}

byId("cancel").addEventListener("click", cancel);
addEventListener("keydown", ({key}) => {
  if (key !== "Escape") return;
  if (recording) discardRecording();
  else if (sending) cancel();
});

// ---- what comes of it

function back(words) {
  panel("drop");
  byId("choose").focus();
  say(words);
}

function complain(title, detail, advice = "", again = false) {
  panel("drop");
  const lines = [h("h2", {}, title)];
  if (detail) lines.push(h("p", {}, sentence(detail)));
  if (advice) lines.push(h("p", {}, advice));
  if (again) {
    const button = h("button", {type: "button"}, "Try again");
    button.addEventListener("click", again);
    lines.push(h("div", {class: "buttons"}, button));
  }
  byId("problem").replaceChildren(h("div", {class: "panel problem"}, ...lines));
  say("");
  (again ? byId("problem").querySelector("button") : byId("choose")).focus();
}

function show(answer, files) {
  showing.abort();
  showing = new AbortController();
  panel("drop");
  document.body.classList.add("answered");
  const {signal} = showing;
  const single = files.length === 1;
  byId("answer").replaceChildren(
    single ? showSong(answer, files[0], signal) : showRanking(answer, files, signal),
  );
  byId("result-title").textContent = single ? answer.name : titleOf(answer.rows);
  byId("result").hidden = false;
  byId("result-title").focus();
  say(single ? "Here is the answer." : "Here is the ranking.");
}

function titleOf(rows) {
  if (rows.length === 0) return "None of these could be read as music";
  return count(rows.length, "song") + (rows[0].rank === null ? "" : ", ranked");
}

// ---- the model

async function describeModel() {
  let model;
  try {
    model = await get("/model", "json");
  } catch (error) {
    if (error instanceof Problem) return; // the page says so until the service tells
    throw error;
  }
  const {train, validation} = model.trained_on;
  limits = model;
  byId("limits").textContent =
    `, up to ${megabytes(model.largest_bytes)} MB and ${count(model.longest_seconds / 60, "minute")} each`;
  byId("question").textContent = QUESTIONS[model.target.kind];
  byId("synthetic").hidden = !model.synthetic;
  byId("lead").textContent =
    `The model has listened to ${count(train, "track")}, and judges from sound alone: it knows nothing of who made a song. `
    + "Choose several to have them ranked.";
  byId("model-missing").hidden = true;
  byId("model-facts").replaceChildren(...pairs({
    Model: model.name,
    Study: model.study,
    "Learnt from": `${count(train, model.synthetic ? "made-up track" : "track")}, and ${validation.toLocaleString("en")} more to check it`,
    "Popularity as of": date(model.snapshot),
    Version: model.version,
  }));
  byId("card").hidden = !model.card;
  byId("card").querySelector("div").replaceChildren(...markdown(model.card ?? ""));
}

describeModel();
