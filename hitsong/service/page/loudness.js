// How loud a song is beside the level that streaming services play songs at.

import {axis, range} from "./charts.js";
import {h} from "./dom.js";
import {number} from "./format.js";

// Each service's own documentation of its loudness normalisation, with its default setting.
const SERVICES = "Spotify, YouTube, TIDAL and Amazon Music at −14 LUFS, Deezer at −15, Apple Music at −16";
const USUAL = -14;
const DOMAIN = [-30, 0];

/** A chart and a sentence; `lufs` is measured over the part that is scored. */
export function loudnessOf(lufs) {
  const turned = USUAL - lufs;
  const advice = turned <= -1
    ? `Most services turn a song of this level down by about ${number(-turned, 1)} dB.`
    : turned >= 1
      ? `It is ${number(turned, 1)} dB below the level of most services; not all of them turn songs up.`
      : "That is about the level of most services.";
  return h("div", {class: "loudness"}, h("h4", {}, "Loudness beside streaming services"),
    range(lufs, {low: -16, high: -14}, DOMAIN), axis(DOMAIN, (x) => number(x, 10), 2),
    h("p", {class: "muted"}, `${advice} In LUFS, of the part that is scored; the band is where they play songs: ${SERVICES}.`));
}
