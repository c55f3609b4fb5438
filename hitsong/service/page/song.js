// One song: its score, the score's place in the distribution, the spectrogram, tags and measurements.

import {axis, bar, histogram, range, tickFormat} from "./charts.js";
import {copyOf, h} from "./dom.js";
import {count, date, either, number, oneNumber, percent, words} from "./format.js";
import {loudnessOf} from "./loudness.js";
import {startPlayer} from "./player.js";
import {asJson, asPicture, download, fileName} from "./save.js";
import {offerVariants} from "./what-if.js";

const TAGS = 10; // of the highest scores
const DISTRIBUTIONS = {growth: "Growth of the study’s tracks", popularity: "Popularity of the study’s tracks", popular: "The model’s predictions for other songs"};
const NOTES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

/** A song's score in a word or two: "37", "62 %", "medium, 45 %"; nothing for several numbers at once. */
export function headline({target, prediction, interval}) {
  if (oneNumber(target)) return number(prediction, interval.high - interval.low);
  if (target.kind === "popular") return percent(prediction);
  if (target.kind === "audio_features") return "";
  const [name, share] = likeliest(prediction);
  return `${words(name)}, ${percent(share)}`;
}

/**
 * The result of one song.
 *
 * @param {object} song - the service's result
 * @param {?File} file - played locally; null where the browser no longer has it
 * @param {string} quality - how good the model is, in words
 * @param {AbortSignal} signal - stops the player
 */
export function showSong(song, file, quality, signal) {
  const root = h("div", {class: "song"}, copyOf("song-template"));
  const find = (selector) => root.querySelector(selector);
  KINDS[song.target.kind](song, find(".score"), find(".place"));
  if (song.title) find(".of").append(...titleOf(song));
  find(".quality").textContent = quality;
  fillOrHide(find(".warnings"), song.warnings.map(({message}) => h("li", {class: "note"}, message)));
  fillOrHide(find(".tags"), (song.tags ?? []).slice(0, TAGS).map(({name, score}) => bar(name, score)), find(".tags ul"));
  find(".tags").append(axis([0, 1], percent));
  measurements(song.descriptors, find(".measured"), find(".all"));
  nearest(song, find(".nearest"));
  offerVariants(find(".what-if"), song, file, signal);
  offerFiles(find(".save"), song);
  find(".by").append(...modelText(song.model));
  startPlayer(root, file, song, signal);
  return root;
}

const KINDS = {
  popularity(song, score, place) {
    const {low, high, level} = song.interval;
    score.append(
      h("p", {class: "figure"}, headline(song)),
      h("p", {class: "unit"}, song.target.unit),
      h("p", {}, `${percent(level)} interval: `, h("strong", {}, between(low, high))),
      ...ranks(song.percentile),
    );
    drawPlace(song, place, song.interval, `${headline(song)}, with an interval of ${between(low, high)}`);
  },

  popular(song, score, place) {
    score.append(
      h("p", {class: "figure"}, headline(song)),
      h("p", {class: "unit"}, song.target.unit),
      h("p", {}, inSet(song.interval)),
      ...ranks(song.percentile),
    );
    drawPlace(song, place, null, headline(song));
  },

  buckets(song, score, place) {
    const [name] = likeliest(song.prediction);
    score.append(
      h("p", {class: "figure"}, words(name)),
      h("p", {class: "unit"}, `the likeliest class of ${song.target.unit}`),
      h("p", {}, inSet(song.interval)),
      ...ranks(song.percentile),
    );
    const bars = song.target.names.map((each) => bar(words(each), song.prediction[each], each === name));
    place.append(h("ul", {class: "bars"}, ...bars), axis([0, 1], percent), h("figcaption", {}, "The probability of each class."));
  },

  audio_features({target, prediction, interval}, score, place) {
    score.append(
      h("p", {class: "figure words"}, count(target.names.length, "audio feature")),
      h("p", {class: "unit"}, target.unit),
      h("p", {}, "Estimates of the audio features that Spotify publishes for songs."),
    );
    const rows = target.names.map((name) => {
      const [value, low, high] = [prediction[name], interval.low[name], interval.high[name]];
      const domain = [Math.min(0, low), Math.max(1, high)];
      const chart = h("div", {class: "drawn"}, range(value, {low, high}, domain), axis(domain, (x) => number(x, 1), 2, 4));
      const text = h("span", {class: "value"}, `${number(value, 0.1)} `, h("small", {}, between(low, high)));
      return h("li", {}, h("span", {}, words(name)), text, chart);
    });
    place.append(
      h("ul", {class: "bars"}, ...rows),
      h("figcaption", {}, `Dots are the estimates, bars their ${percent(interval.level)} intervals.`),
    );
  },
};
KINDS.growth = KINDS.popularity;

/** The classes from the likeliest on. */
const likeliest = (shares) => Object.entries(shares).sort(([, a], [, b]) => b - a)[0];

/** "18 to 59", with the digits that such a width supports. */
const between = (low, high) => `${number(low, high - low)} to ${number(high, high - low)}`;

function inSet({set, level}) {
  if (set.length === 0) return `No class reaches ${percent(level)} certainty.`;
  return `At ${percent(level)} certainty: ${either(set.map(words))}.`;
}

/** The place among other songs; the place of the number itself, which predictions near the mean crowd, stands below. */
function ranks(percentile) {
  if (!percentile) return [];
  const {among_predictions: predictions, among_tracks: tracks, explained} = percentile;
  const notes = [h("p", {}, explained)];
  if (tracks !== null) {
    notes.unshift(h("p", {}, `As a number it is above the popularity of ${percent(tracks / 100)} of the study’s tracks.`));
  }
  return [
    h("p", {class: "among"}, "Scored higher than ", h("strong", {}, percent(predictions / 100)), " of other songs"),
    h("details", {}, h("summary", {}, "How to read this"), ...notes),
  ];
}

/** The title and the artist that the file's own tags name. */
const titleOf = ({title, artist}) => [h("strong", {}, title), artist ? ` by ${artist}` : ""];

/** The study's tracks whose sound is nearest, and how popular they are. */
function nearest({neighbours}, section) {
  section.hidden = !neighbours?.length;
  if (section.hidden) return;
  const rows = neighbours.map(({name, artist, popularity}) => h("tr", {},
    h("th", {scope: "row"}, name, h("small", {}, artist)), h("td", {}, number(popularity, 10))));
  section.querySelector("tbody").append(...rows);
}

/** Buttons that save the result as a picture and as JSON. */
function offerFiles(place, song) {
  const [picture, json] = place.querySelectorAll("button");
  const title = song.title ? song.title + (song.artist ? ` – ${song.artist}` : "") : song.name;
  picture.addEventListener("click", async () => {
    const text = {title, figure: headline(song) || count(song.target.names.length, "audio feature"), lines: summaryLines(song)};
    download(await asPicture(song, text), fileName(song.name, "png"));
  });
  json.addEventListener("click", () => download(asJson(song), fileName(song.name, "json")));
}

function summaryLines({target, interval, percentile, warnings}) {
  const lines = [target.unit];
  if (interval.low !== undefined && oneNumber(target)) lines.push(`${percent(interval.level)} interval: ${between(interval.low, interval.high)}`);
  if (interval.set) lines.push(inSet(interval));
  if (percentile) lines.push(`higher than ${percent(percentile.among_predictions / 100)} of other songs`);
  return [...lines, ...warnings.filter(({code}) => code !== "no_tags").map(({message}) => message.split(/[:.]/)[0])].slice(0, 5);
}

function drawPlace(song, place, interval, text) {
  const {distribution, prediction, target} = song;
  if (!distribution) return (place.hidden = true);
  const format = target.kind === "popular" ? percent : tickFormat(distribution.edges[0], distribution.edges.at(-1));
  const label = `${DISTRIBUTIONS[target.kind]}, and this song: ${text}.`;
  const band = interval ? ` The band is the ${percent(interval.level)} interval.` : "";
  place.append(
    histogram(distribution, prediction, interval, format, label),
    h("figcaption", {}, `${DISTRIBUTIONS[target.kind]}, in grey.${band}`),
  );
}

function fillOrHide(container, items, into = container) {
  container.hidden = items.length === 0;
  into.append(...items);
}

function measurements(descriptors, few, all) {
  const value = (name) => descriptors[name].value;
  const facts = {
    Tempo: value("tempo_bpm") ? `${number(value("tempo_bpm"), 10)} BPM` : "no beat found",
    Key: value("key_strength")
      ? `${NOTES[value("key_pitch_class")]} ${value("mode_major") ? "major" : "minor"}`
      : "none found",
    Loudness: `${number(value("loudness_lufs"), 1)} LUFS`,
    "Loudness range": `${number(value("loudness_range_lu"), 1)} LU`,
    "Notes and beats": `${number(value("onset_rate_hz"), 1)} a second`,
    "Brightness": `${number(value("spectral_centroid_hz"), 10)} Hz (spectral centroid)`,
  };
  few.querySelector("dl").append(...pairs(facts));
  few.querySelector("dl").after(loudnessOf(value("loudness_lufs")));
  const rows = Object.entries(descriptors).map(([name, {value, unit}]) => {
    const plain = unit ? name.slice(0, -unit.length - 1) : name; // names end with their unit
    return h("tr", {}, h("th", {scope: "row"}, words(plain)), h("td", {}, number(value)), h("td", {}, unit ?? ""));
  });
  all.querySelector("tbody").append(...rows);
}

/** Terms and values as items of a description list. */
export const pairs = (facts) =>
  Object.entries(facts).map(([term, fact]) => h("div", {}, h("dt", {}, term), h("dd", {}, fact)));

function modelText({name, study, collected_from: data, source, snapshot, synthetic}) {
  const songs = synthetic ? `synthetic songs (${data})` : `${data}, with their popularity on ${source} on ${date(snapshot)}`;
  return ["Model ", h("strong", {}, name), ` of study ${study}, trained on ${songs}.`];
}
