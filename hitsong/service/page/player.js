// The player of a song, over the spectrogram of the excerpt that the model uses.

import {Problem, get, retryWhileBusy} from "./api.js";
import {timeAxis} from "./charts.js";
import {h} from "./dom.js";
import {clock, sentence, words} from "./format.js";

const KEY = "Time runs from left to right, pitch from low to high; bright is loud.";
const METHOD = "The coloured parts were found by hiding one part after the other and computing the score again.";
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Start the player in `root` (a copy of the song's template).
 *
 * @param {Element} root
 * @param {?Blob} file - the song, played locally; null where the browser no longer has it
 * @param {object} song - the service's result
 * @param {AbortSignal} signal - stops the player and frees its URLs
 */
export function startPlayer(root, file, song, signal) {
  const [audio, button, shown, picture, playhead, caption] = [
    "audio", ".play", ".controls .clock", ".picture", ".playhead", ".caption",
  ].map((selector) => root.querySelector(selector));
  const {start, end} = song.excerpt;
  const urls = file ? [URL.createObjectURL(file)] : [];
  if (file) audio.src = urls[0];
  signal.addEventListener("abort", () => {
    audio.pause();
    urls.forEach((url) => URL.revokeObjectURL(url));
  });
  const step = Math.min(5, (end - start) / 6); // seconds for an arrow key
  const within = (seconds) => Math.min(end, Math.max(start, seconds));
  const update = () => {
    const now = within(audio.currentTime);
    playhead.style.left = `${(100 * (now - start)) / (end - start)}%`;
    shown.textContent = file ? `${clock(now)} / ${clock(end)}` : "Choose the file again to play it.";
    picture.setAttribute("aria-valuenow", now.toFixed(1));
    picture.setAttribute("aria-valuetext", `${clock(now)} of ${clock(end)}`);
    if (!audio.paused && audio.currentTime >= end) audio.pause();
  };
  const animate = () => {
    update();
    if (!audio.paused) requestAnimationFrame(animate);
  };
  const seek = (seconds) => {
    audio.currentTime = within(seconds);
    update();
  };
  const toggle = () => {
    if (!file) return;
    if (!audio.paused) return audio.pause();
    if (audio.currentTime < start || audio.currentTime >= end) audio.currentTime = start;
    audio.play().catch(() => {}); // the "error" event reports it
  };
  const state = () => {
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    button.classList.toggle("playing", !audio.paused);
  };

  picture.setAttribute("aria-valuemin", start.toFixed(1));
  picture.setAttribute("aria-valuemax", end.toFixed(1));
  timeAxis(root.querySelector(".listen .axis"), start, end, clock);
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, state);
  for (const event of ["timeupdate", "seeked"]) audio.addEventListener(event, update); // four times a second
  audio.addEventListener("play", () => reducedMotion.matches || animate());
  audio.addEventListener("loadedmetadata", () => seek(start), {once: true});
  audio.addEventListener("error", () => {
    button.disabled = true;
    shown.textContent = "This browser cannot play this file.";
  });
  button.addEventListener("click", toggle);
  button.disabled = !file;

  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return start + ((event.clientX - box.left) / box.width) * (end - start);
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    seek(at(event));
  });
  picture.addEventListener("pointermove", (event) => event.buttons && seek(at(event)));
  picture.addEventListener("keydown", (event) => {
    const now = audio.currentTime;
    const places = {
      ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
      PageDown: now - 3 * step, PageUp: now + 3 * step, Home: start, End: end,
    };
    if (event.key in places) seek(places[event.key]);
    else if (event.key === " " || event.key === "Enter") toggle();
    else return;
    event.preventDefault();
  });
  update();
  showPictures(root, song, caption, urls, signal);
}

/** Fetch the spectrogram and the overlay of what raises and lowers the score, with its controls. */
async function showPictures(root, {id, target, excerpt, seconds}, caption, urls, signal) {
  const [spectrogram, overlay, controls] = [".spectrogram", ".overlay", ".map-controls"].map((name) => root.querySelector(name));
  const [shown, strength] = controls.querySelectorAll("input");
  const output = controls.querySelector("select");
  const legend = root.querySelector(".legend");
  const part = `The model uses ${clock(excerpt.start)} to ${clock(excerpt.end)} of ${clock(seconds)}.`;
  const key = excerpt.end - excerpt.start < seconds - 1 ? `${part} ${KEY}` : KEY;
  const place = async (image, path) => {
    const blob = await retryWhileBusy(() => get(path, "blob", signal), signal);
    urls.push(URL.createObjectURL(blob));
    if (signal.aborted) return URL.revokeObjectURL(urls.at(-1));
    image.src = urls.at(-1);
  };
  const show = () => {
    const visible = shown.checked && overlay.naturalWidth > 0;
    overlay.style.opacity = visible ? strength.value / 100 : 0;
    overlay.parentElement.classList.toggle("explained", visible);
    legend.hidden = !visible;
    strength.disabled = !visible;
  };
  const explain = async () => {
    caption.textContent = `${key} Computing what raises and lowers the score …`;
    const query = output.value ? `?output=${encodeURIComponent(output.value)}` : "";
    await place(overlay, `/explain/${id}.png${query}`);
    controls.hidden = false;
    caption.textContent = `${key} ${METHOD}`;
  };
  const failed = (error) => {
    if (!(error instanceof Problem)) return;
    caption.textContent = `${key} No map of the score: ${sentence(error.detail || "the service did not respond")}`;
  };

  if (target.kind === "audio_features") {
    output.append(...target.names.map((name) => h("option", {value: name}, words(name))));
    output.parentElement.hidden = false;
    output.addEventListener("change", () => explain().catch(failed));
  }
  for (const input of [shown, strength]) input.addEventListener("input", show);
  overlay.addEventListener("load", show);
  controls.hidden = true;
  caption.textContent = key;
  try {
    await Promise.all([place(spectrogram, `/spectrogram/${id}.png`), explain()]);
  } catch (error) {
    failed(error);
  }
}
