// What the score becomes with another level, another sound colour, or another excerpt of the song.

import {Problem, post, retryWhileBusy} from "./api.js";
import {axis, change, curves, timeTicks} from "./charts.js";
import {h} from "./dom.js";
import {clock, number, percent, sentence} from "./format.js";

const NAMES = {
  louder: "3 dB louder", softer: "3 dB softer", brighter: "Brighter: +3 dB treble", darker: "Darker: −3 dB treble",
  "more bass": "More bass: +3 dB", "less bass": "Less bass: −3 dB",
};

/**
 * Let the reader ask for the variants of a song.
 *
 * @param {Element} section - with a button, a status and a place for the result
 * @param {object} song - the service's result
 * @param {?File} file - null where the browser no longer has it
 * @param {AbortSignal} signal
 */
export function offerVariants(section, song, file, signal) {
  const [button, status, place] = ["button", ".status", ".outcome"].map((selector) => section.querySelector(selector));
  if (song.target.kind === "audio_features") return (section.hidden = true);
  if (!file) {
    button.hidden = true;
    status.textContent = "Choose the file again to try this: the browser keeps results, and no songs.";
    return;
  }
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.textContent = "Computing. For a long song this takes some seconds.";
    try {
      const listener = {uploading() {}, uploaded() {}};
      const result = await retryWhileBusy(() => post("/what-if", "file", [file], listener, signal), signal);
      place.replaceChildren(...variantsOf(result, song));
      status.textContent = "";
      button.hidden = true;
      place.focus();
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      if (!(error instanceof Problem)) throw error;
      status.textContent = `This did not work: ${sentence(error.detail || "the service did not respond")}`;
    }
  });
}

/** The elements that show a result of /what-if. */
export function variantsOf(result, song) {
  return [...soundsOf(result, song), ...excerptsOf(result, song)];
}

function soundsOf({sound, noise, error}, {target}) {
  const units = unitsOf(target);
  const most = Math.max(error ?? 0, ...sound.map((each) => Math.abs(each.change)), noise) || 1;
  const rows = sound.map((each) => {
    const text = each.beyond_noise ? units.change(each.change) : "no clear change";
    return h("li", {class: each.beyond_noise ? "" : "unclear"},
      h("span", {}, NAMES[each.name]), h("span", {class: "value"}, text), change(each.change, error, most));
  });
  const errorText = error === null ? "" : ` The band is the model’s error: half of all songs are further off than ${units.size(error)}.`;
  return [
    h("h4", {}, "The same song with another sound"),
    h("ul", {class: "bars changes"}, ...rows),
    axis([-most, most], units.tick, 2),
    h("p", {class: "muted"}, `Change of the score. Beginning half a second or a second earlier or later moves it by about ${units.size(noise)}: `
      + `“no clear change” is less than twice that.${errorText} The level is changed as if there were room for it; `
      + "most streaming services set all songs to one level, whatever you deliver."),
  ];
}

function excerptsOf({curve, noise, error, score}, {target, seconds}) {
  if (curve.length < 2) return [];
  const units = unitsOf(target);
  const best = curve.reduce((top, each) => (each.score > top.score ? each : top));
  const lengths = curve[0].end - curve[0].start;
  const clear = Math.abs(best.score - score) > 2 * noise;
  const points = curve.map((each) => [(each.start + each.end) / 2, each.score]);
  const label = `Score of ${curve.length} excerpts along the song, from ${units.value(Math.min(...curve.map((each) => each.score)))} `
    + `to ${units.value(best.score)}.`;
  const chart = curves([{name: "score", points}], {
    xTicks: timeTicks(0, seconds), domain: [0, seconds], xFormat: clock, yFormat: units.tick, dots: true, label,
    band: error === null ? null : [score - error, score + error],
  });
  const advice = clear
    ? `${clock(best.start)} to ${clock(best.end)} scores highest: ${units.value(best.score)}, and the middle ${units.value(score)}.`
    : "No excerpt scores clearly higher than the middle.";
  const band = error === null ? "" : " The band is the model’s error around the score of the middle.";
  return [
    h("h4", {}, `Other excerpts of ${Math.round(lengths)} s`),
    chart,
    h("p", {}, h("strong", {}, advice)),
    h("p", {class: "muted"}, `Each dot stands at the middle of its excerpt.${band}`),
  ];
}

/** Numbers of a target as text: scores, changes of them, and sizes of changes. */
export function unitsOf({kind}) {
  if (kind === "popular") {
    const points = (share) => number(100 * share, Math.abs(100 * share) * 4);
    return {
      value: percent, tick: (x) => `${Math.round(100 * x)}\u00a0%`,
      size: (x) => `${points(x)} points of percent`, change: (x) => `${x > 0 ? "+" : ""}${points(x)} points of percent`,
    };
  }
  const digits = (x) => number(x, 4 * Math.abs(x));
  const word = kind === "buckets" ? "classes" : "points";
  return {
    value: (x) => number(x, 5), tick: (x) => number(x, Number.isInteger(x) ? 10 : 2),
    size: (x) => `${digits(x)} ${word}`, change: (x) => `${x > 0 ? "+" : ""}${digits(x)}`,
  };
}
