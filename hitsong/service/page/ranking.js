// Several songs in order, each with its detail behind a button.

import {range} from "./charts.js";
import {copyOf, h} from "./dom.js";
import {headline, showSong} from "./song.js";
import {number, percent, spoken} from "./words.js";

/**
 * The table of a ranking.
 *
 * @param {{rows: object[], failed: object[], explained: string}} ranking - as the service answers it
 * @param {File[]} files - those that were sent, no two of the same name
 * @param {AbortSignal} signal - ends what the table holds
 */
export function showRanking({rows, failed, explained}, files, signal) {
  const root = h("div", {}, copyOf("ranking-template"));
  const one = (selector) => root.querySelector(selector);
  one(".failed").hidden = failed.length === 0;
  one(".failed ul").append(...failed.map(({name, detail}) => h("li", {}, h("strong", {}, name), ` ${detail}`)));
  one(".ranked").hidden = rows.length === 0;
  if (rows.length === 0) return root;
  const [{target, interval}] = rows;
  one(".explained").textContent = explained;
  one("details").hidden = rows.every((row) => row.above_next === null);
  one("th.number").textContent = HEADINGS[target.kind];
  one("th.range").textContent = target.kind === "popularity" ? `${percent(interval.level)} interval` : "";
  const domain = extent(rows);
  let close = () => {};
  for (const row of rows) {
    const [line, button] = lineOf(row, domain);
    one("tbody").append(line);
    button.addEventListener("click", () => {
      const opened = button.getAttribute("aria-expanded") === "true";
      close();
      if (!opened) close = open(row, line, button, files.find(({name}) => name === row.name), signal);
    });
  }
  const table = new Blob([csv(rows)], {type: "text/csv"});
  const url = URL.createObjectURL(table);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  one(".download").href = url;
  one(".download").download = "ranking.csv";
  return root;
}

const narrow = matchMedia("(max-width: 44rem)"); // where the style sheet leaves two columns out

const HEADINGS = {popularity: "Popularity", popular: "Popular", buckets: "Class", audio_features: ""};

function lineOf(row, domain) {
  const button = h("button", {type: "button", class: "name", "aria-expanded": "false"}, row.name);
  const above = row.above_next === null ? "" : percent(row.above_next);
  const drawn = domain ? range(row.prediction, row.interval, domain) : summary(row);
  const line = h("tr", {},
    h("td", {class: "rank"}, row.rank === null ? "" : String(row.rank)),
    h("th", {scope: "row"}, button, h("small", {class: "narrow"}, above && `${above} above the next`)),
    h("td", {class: "number"}, headline(row)),
    h("td", {class: "range"}, drawn, domain ? h("span", {class: "unseen"}, words(row)) : ""),
    h("td", {class: "above"}, above));
  return [line, button];
}

/** Show a row's detail below it; the answer closes it again. */
function open(row, line, button, file, signal) {
  const ended = new AbortController();
  signal.addEventListener("abort", () => ended.abort(), {signal: ended.signal});
  const cell = h("td", {}, showSong(row, file, ended.signal));
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

/** What the drawn intervals span: all of them, but no more than the study's tracks do; for numbers only. */
function extent(rows) {
  const [{target, distribution}] = rows;
  if (target.kind !== "popularity") return null;
  const {edges} = distribution;
  const low = Math.max(edges[0], Math.min(...rows.map((row) => row.interval.low)));
  const high = Math.min(edges.at(-1), Math.max(...rows.map((row) => row.interval.high)));
  return low < high ? [low, high] : [edges[0], edges.at(-1)];
}

const words = ({interval: {low, high}}) => `${number(low, high - low)} to ${number(high, high - low)}`;

/** Several numbers, or the shares of classes, in one line. */
function summary({prediction, target}) {
  if (target.kind === "popular") return "";
  const show = target.kind === "buckets" ? percent : (value) => number(value, 0.1);
  return target.names.map((name) => `${spoken(name)} ${show(prediction[name])}`).join(", ");
}

/** The table as CSV: a line for each song, a column for each number. */
export function csv(rows) {
  const lines = rows.map((row) => {
    const {rank, name, target, prediction, interval: {low, high}, above_next} = row;
    if (target.kind === "popularity") return {rank, name, prediction, low, high, above_next};
    return {rank, name, ...(target.kind === "popular" ? {popular: prediction} : prediction), above_next};
  });
  const columns = Object.keys(lines[0]);
  // A cell that begins like a formula would be run as one by spreadsheets.
  const cell = (value) => {
    const text = typeof value === "string" && /^[=+\-@]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...lines.map((line) => columns.map((name) => line[name]))]
    .map((cells) => cells.map(cell).join(",")).join("\n") + "\n";
}
