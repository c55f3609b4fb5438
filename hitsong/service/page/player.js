// The player of a song the user chose, over the picture of what the model heard.

import {Problem, get, patiently} from "./api.js";
import {timeAxis} from "./charts.js";
import {h} from "./dom.js";
import {clock, sentence, spoken} from "./words.js";

const KEY = "Time runs from left to right, pitch from low to high; bright is loud.";
const MATTERED = "What mattered was found by hiding one part after the other and judging the song anew.";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Bring the player in `root` (a copy of the song's template) to life.
 *
 * @param {Element} root
 * @param {Blob} file - the song, played from here and not fetched again
 * @param {object} song - as the service answers it
 * @param {AbortSignal} signal - ends the player and frees what it holds
 */
export function startPlayer(root, file, song, signal) {
  const [audio, button, shown, picture, playhead, caption] = [
    "audio", ".play", ".controls .clock", ".picture", ".playhead", ".caption",
  ].map((selector) => root.querySelector(selector));
  const {start, end} = song.heard;
  const held = [URL.createObjectURL(file)];
  audio.src = held[0];
  signal.addEventListener("abort", () => {
    audio.pause();
    held.forEach((url) => URL.revokeObjectURL(url));
  });
  const step = Math.min(5, (end - start) / 6); // seconds by an arrow key
  const within = (seconds) => Math.min(end, Math.max(start, seconds));
  const follow = () => {
    const now = within(audio.currentTime);
    playhead.style.left = `${(100 * (now - start)) / (end - start)}%`;
    shown.textContent = `${clock(now)} / ${clock(end)}`;
    picture.setAttribute("aria-valuenow", now.toFixed(1));
    picture.setAttribute("aria-valuetext", `${clock(now)} of ${clock(end)}`);
    if (!audio.paused && audio.currentTime >= end) audio.pause();
  };
  const glide = () => {
    follow();
    if (!audio.paused) requestAnimationFrame(glide);
  };
  const seek = (seconds) => {
    audio.currentTime = within(seconds);
    follow();
  };
  const toggle = () => {
    if (!audio.paused) return audio.pause();
    if (audio.currentTime < start || audio.currentTime >= end) audio.currentTime = start;
    audio.play().catch(() => {}); // what cannot be played raises "error" too
  };
  const state = () => {
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    button.classList.toggle("playing", !audio.paused);
  };

  picture.setAttribute("aria-valuemin", start.toFixed(1));
  picture.setAttribute("aria-valuemax", end.toFixed(1));
  timeAxis(root.querySelector(".axis"), start, end, clock);
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, state);
  for (const event of ["timeupdate", "seeked"]) audio.addEventListener(event, follow); // four times a second
  audio.addEventListener("play", () => calm.matches || glide());
  audio.addEventListener("loadedmetadata", () => seek(start), {once: true});
  audio.addEventListener("error", () => {
    button.disabled = true;
    shown.textContent = "This browser cannot play this file.";
  });
  button.addEventListener("click", toggle);

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
  follow();
  showPictures(root, song, caption, held, signal);
}

/** Fetch the spectrogram, then what mattered in it, and let the second be switched and dimmed. */
async function showPictures(root, {id, target, heard, seconds}, caption, held, signal) {
  const [spectrogram, overlay, mattered] = [".spectrogram", ".overlay", ".mattered"].map((one) => root.querySelector(one));
  const [shown, strength] = mattered.querySelectorAll("input");
  const output = mattered.querySelector("select");
  const legend = root.querySelector(".legend");
  const part = `The model hears ${clock(heard.start)} to ${clock(heard.end)} of ${clock(seconds)}.`;
  const key = heard.end - heard.start < seconds - 1 ? `${part} ${KEY}` : KEY;
  const place = async (image, path) => {
    const blob = await patiently(() => get(path, "blob", signal), signal);
    held.push(URL.createObjectURL(blob));
    if (signal.aborted) return URL.revokeObjectURL(held.at(-1));
    image.src = held.at(-1);
  };
  const dim = () => {
    const visible = shown.checked && overlay.naturalWidth > 0;
    overlay.style.opacity = visible ? strength.value / 100 : 0;
    overlay.parentElement.classList.toggle("explained", visible);
    legend.hidden = !visible;
    strength.disabled = !visible;
  };
  const explain = async () => {
    caption.textContent = `${key} Working out what mattered …`;
    const wanted = output.value ? `?output=${encodeURIComponent(output.value)}` : "";
    await place(overlay, `/explain/${id}.png${wanted}`);
    mattered.hidden = false;
    caption.textContent = `${key} ${MATTERED}`;
  };
  const failed = (error) => {
    if (!(error instanceof Problem)) return;
    caption.textContent = `${key} What mattered cannot be shown: ${sentence(error.detail || "the service did not answer")}`;
  };

  if (target.kind === "audio_features") {
    output.append(...target.names.map((name) => h("option", {value: name}, spoken(name))));
    output.parentElement.hidden = false;
    output.addEventListener("change", () => explain().catch(failed));
  }
  for (const input of [shown, strength]) input.addEventListener("input", dim);
  overlay.addEventListener("load", dim);
  mattered.hidden = true;
  caption.textContent = key;
  try {
    await Promise.all([place(spectrogram, `/spectrogram/${id}.png`), explain()]);
  } catch (error) {
    failed(error);
  }
}
