// Several songs in order, each with its details behind a button.

import {axis, range} from "./charts.js";
import {copyOf, h} from "./dom.js";
import {headline, showSong} from "./song.js";
import {number, oneNumber, percent, words} from "./format.js";

/**
 * The table of a ranking.
 *
 * @param {{rows: object[], failed: object[], explained: string}} ranking - the service's result
 * @param {File[]} files - the files sent, all names different
 * @param {string} quality - how good the model is, in words
 * @param {AbortSignal} signal - stops players and frees URLs
 */
export function showRanking({rows, failed, explained}, files, quality, signal) {
  const root = h("div", {}, copyOf("ranking-template"));
  const find = (selector) => root.querySelector(selector);
  find(".failed").hidden = failed.length === 0;
  find(".failed ul").append(...failed.map(({name, detail}) => h("li", {}, h("strong", {}, name), ` ${detail}`)));
  find(".ranked").hidden = rows.length === 0;
  if (rows.length === 0) return root;
  const [{target, interval}] = rows;
  find(".explained").textContent = explained;
  find("details").hidden = rows.every((row) => row.above_next === null);
  find("th.number").textContent = HEADINGS[target.kind];
  find("th.range").textContent = oneNumber(target) ? `${percent(interval.level)} interval` : "";
  const domain = extent(rows);
  if (domain) find("th.range").append(axis(domain, (x) => number(x, 10), 2, 3));
  find(".quality").textContent = quality;
  let close = () => {};
  for (const row of rows) {
    const [line, button] = lineOf(row, domain);
    find("tbody").append(line);
    button.addEventListener("click", () => {
      const opened = button.getAttribute("aria-expanded") === "true";
      close();
      if (!opened) close = open(row, line, button, files.find(({name}) => name === row.name) ?? null, quality, signal);
    });
  }
  const table = new Blob([csv(rows)], {type: "text/csv"});
  const url = URL.createObjectURL(table);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  find(".download").href = url;
  find(".download").download = "ranking.csv";
  return root;
}

const narrow = matchMedia("(max-width: 44rem)"); // the style sheet hides two columns there

const HEADINGS = {popularity: "Popularity", growth: "Growth", popular: "Popular", buckets: "Class", audio_features: ""};

function lineOf(row, domain) {
  const button = h("button", {type: "button", class: "name", "aria-expanded": "false"}, row.name);
  const above = row.above_next === null ? "" : percent(row.above_next);
  const drawn = domain ? range(row.prediction, row.interval, domain) : summary(row);
  const line = h("tr", {},
    h("td", {class: "rank"}, row.rank === null ? "" : String(row.rank)),
    h("th", {scope: "row"}, button, warningMarks(row), h("small", {class: "narrow"}, narrowText(row, above))),
    h("td", {class: "number"}, headline(row)),
    h("td", {class: "range"}, drawn, domain ? h("span", {class: "unseen"}, intervalText(row)) : ""),
    h("td", {class: "above"}, above));
  return [line, button];
}

/** Show a row's details below it; returns a function that closes them. */
function open(row, line, button, file, quality, signal) {
  const ended = new AbortController();
  signal.addEventListener("abort", () => ended.abort(), {signal: ended.signal});
  const cell = h("td", {}, showSong(row, file, quality, ended.signal));
  const detail = h("tr", {class: "detail"}, cell);
  const span = () => (cell.colSpan = narrow.matches ? 3 : 5);
  span();
  narrow.addEventListener("change", span, {signal: ended.signal});
  line.after(detail);
  line.classList.add("open");
  button.setAttribute("aria-expanded", "true");
  return () => {
    ended.abort();
    detail.remove();
    line.classList.remove("open");
    button.setAttribute("aria-expanded", "false");
  };
}

const MARKS = {clipped: "clipped", too_short: "short", unusual: "unusual sound"};

/** The reasons to doubt a song's score, in a word each. */
export function warningMarks({warnings}) {
  const texts = warnings.filter(({code}) => code in MARKS).map(({code}) => MARKS[code]);
  return texts.length ? h("small", {class: "mark"}, `⚠ ${texts.join(", ")}`) : "";
}

/** What the hidden columns hold, for narrow windows. */
function narrowText(row, above) {
  const parts = [];
  if (oneNumber(row.target)) parts.push(`${percent(row.interval.level)} interval ${intervalText(row)}`);
  if (above) parts.push(`${above} above the next`);
  return parts.join("; ");
}

/** The axis of the drawn intervals: all of them, but at most the range of the study's tracks; for numbers only. */
export function extent(rows) {
  const [{target, distribution}] = rows;
  if (!oneNumber(target)) return null;
  const {edges} = distribution;
  const low = Math.max(edges[0], Math.min(...rows.map((row) => row.interval.low)));
  const high = Math.min(edges.at(-1), Math.max(...rows.map((row) => row.interval.high)));
  return low < high ? [low, high] : [edges[0], edges.at(-1)];
}

const intervalText = ({interval: {low, high}}) => `${number(low, high - low)} to ${number(high, high - low)}`;

/** Several numbers, or the shares of classes, in one line. */
function summary({prediction, target}) {
  if (target.kind === "popular") return "";
  const show = target.kind === "buckets" ? percent : (value) => number(value, 0.1);
  return target.names.map((name) => `${words(name)} ${show(prediction[name])}`).join(", ");
}

/** The table as CSV: a line for each song, a column for each number. */
export function csv(rows) {
  const lines = rows.map((row) => {
    const {rank, name, target, prediction, interval: {low, high}, above_next} = row;
    const warnings = row.warnings.filter(({code}) => code in MARKS).map(({code}) => code).join(" ");
    if (oneNumber(target)) return {rank, name, prediction, low, high, above_next, warnings};
    return {rank, name, ...(target.kind === "popular" ? {popular: prediction} : prediction), above_next, warnings};
  });
  const columns = Object.keys(lines[0]);
  // Spreadsheets would run a cell that begins like a formula.
  const cell = (value) => {
    const text = typeof value === "string" && /^[=+\-@]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...lines.map((line) => columns.map((name) => line[name]))]
    .map((cells) => cells.map(cell).join(",")).join("\n") + "\n";
}
