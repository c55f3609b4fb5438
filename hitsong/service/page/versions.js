// Versions of one song side by side: score, sections, loudness, spectrum and tags.

import {axis, curves, range, timeTicks} from "./charts.js";
import {copyOf, h} from "./dom.js";
import {clock, number, percent, words} from "./format.js";
import {extent, warningMarks} from "./ranking.js";
import {unitsOf} from "./what-if.js";

const LONGEST_NAME = 24; // characters
const TAGS = 6; // of each version's highest
const HERTZ = [50, 100, 200, 500, 1000, 2000, 5000, 10000];

/** The comparison of versions, a result of /versions: rows with the highest score first. */
export function showVersions({rows, failed, explained}) {
  const root = h("div", {class: "versions"}, copyOf("versions-template"));
  const find = (selector) => root.querySelector(selector);
  find(".failed").hidden = failed.length === 0;
  find(".failed ul").append(...failed.map(({name, detail}) => h("li", {}, h("strong", {}, name), ` ${detail}`)));
  find(".compared").hidden = rows.length === 0;
  if (rows.length === 0) return root;
  find(".verdict").append(...verdict(rows));
  find(".explained").textContent = explained;
  find(".key").append(...rows.map((row, n) => h("li", {class: `line-${n}`}, row.name, warningMarks(row))));
  find(".scores").append(...scores(rows));
  sections(rows, find(".sections"));
  find(".spectra").append(spectra(rows));
  find(".levels tbody").append(...levels(rows));
  tags(rows, find(".tags"));
  for (const table of root.querySelectorAll("table")) {
    table.querySelector("thead tr").append(...rows.map((row) => h("th", {scope: "col"}, short(row))));
  }
  return root;
}

/** A version's name without its ending, at most so long. */
function short({name}) {
  const letters = [...name.replace(/\.[^.]{1,5}$/, "")];
  return letters.length > LONGEST_NAME ? `${letters.slice(0, LONGEST_NAME - 1).join("")}…` : letters.join("");
}

/** What to conclude, in sentences. */
function verdict(rows) {
  if (rows.length < 2) return [];
  const [first, second] = rows;
  const units = unitsOf(first.target);
  const difference = first.score - second.score;
  const [a, b] = [`“${short(first)}”`, `“${short(second)}”`];
  const chance = h("p", {}, `The probability that ${a} ${first.target.kind === "growth" ? "grows more" : "becomes more popular"} than ${b}, if they were two different songs: `,
    h("strong", {}, percent(first.above_next)), ". A probability of 50\u00a0% says nothing.");
  if (first.within_noise) {
    return [
      h("p", {class: "headline"}, `The model does not tell ${a} and ${b} apart.`),
      h("p", {}, `Their scores differ by ${units.size(difference)}. That is within the model’s noise: the score of one file moves about as much `
        + "when it is read from half a second later. Choose by ear."),
      chance,
    ];
  }
  return [
    h("p", {class: "headline"}, `${a} scores ${units.size(difference)} more than ${b}.`),
    h("p", {}, `That is more than the model’s noise (${units.size(Math.hypot(first.noise, second.noise))}), so it comes from the sound. `
      + "Whether listeners agree is far less certain."),
    chance,
  ];
}

function scores(rows) {
  const domain = extent(rows);
  const items = rows.map((row) => h("li", {},
    h("span", {}, short(row)),
    h("span", {class: "value"}, unitsOf(row.target).value(row.score), h("small", {}, ` ± ${unitsOf(row.target).size(row.noise)} noise`)),
    domain ? range(row.prediction, row.interval, domain) : ""));
  const note = domain ? [axis(domain, (x) => number(x, 10), 2), h("p", {class: "muted"}, `Bars are the ${percent(rows[0].interval.level)} intervals.`)] : [];
  return [h("ul", {class: "bars"}, ...items), ...note];
}

function sections(rows, place) {
  const length = Math.max(...rows.map(({seconds}) => seconds));
  const lines = rows.map(({name, curve}) => ({name, points: curve.map(({start, end, score}) => [(start + end) / 2, score])}));
  place.hidden = lines.every(({points}) => points.length < 2);
  if (place.hidden) return;
  const units = unitsOf(rows[0].target);
  place.append(curves(lines, {
    xTicks: timeTicks(0, length), domain: [0, length], xFormat: clock, yFormat: units.tick, dots: true,
    label: "Score along each version.",
  }), h("p", {class: "muted"}, `Each dot stands at the middle of an excerpt of ${Math.round(excerptSeconds(rows))} s.`));
}

function excerptSeconds(rows) {
  const [{start, end}] = rows.find(({curve}) => curve.length).curve;
  return end - start;
}

function spectra(rows) {
  const lines = rows.map(({name, spectrum: {hertz, decibels}}) => ({name, points: hertz.map((x, n) => [x, decibels[n]])}));
  return curves(lines, {
    xTicks: HERTZ, scale: Math.log, xFormat: (hertz) => (hertz < 1000 ? `${hertz}` : `${hertz / 1000}k`),
    yFormat: (level) => number(level, 10), label: "Mean level by frequency of each version, in decibels.",
  });
}

const LEVELS = {
  "Loudness, LUFS": "loudness_lufs", "Loudness range, LU": "loudness_range_lu", "Level, dBFS": "rms_dbfs",
  "Tempo, BPM": "tempo_bpm", "Brightness, Hz": "spectral_centroid_hz",
};

function levels(rows) {
  return Object.entries(LEVELS)
    .filter(([, name]) => name in rows[0].descriptors)
    .map(([term, name]) => {
      const width = name.endsWith("_hz") || name.endsWith("_bpm") ? 10 : 1;
      return h("tr", {}, h("th", {scope: "row"}, term), ...rows.map(({descriptors}) => h("td", {}, number(descriptors[name].value, width))));
    });
}

function tags(rows, place) {
  place.hidden = rows.some((row) => !row.tags);
  if (place.hidden) return;
  const names = [...new Set(rows.flatMap((row) => row.tags.slice(0, TAGS).map(({name}) => name)))];
  const share = (row, name) => row.tags.find((tag) => tag.name === name)?.score;
  place.querySelector("tbody").append(...names.map((name) => h("tr", {}, h("th", {scope: "row"}, words(name)),
    ...rows.map((row) => h("td", {}, share(row, name) === undefined ? "–" : percent(share(row, name)))))));
}
