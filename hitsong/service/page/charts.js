// Charts as SVG without a view box: x in percent and y in pixels, so that a chart takes any width and
// its text keeps its size.

import {h, s} from "./dom.js";
import {number, percent} from "./format.js";

const HEIGHT = 200;
const TOP = 34; // room for the label of the marker
const BOTTOM = 24; // room for the ticks
const INSET = 1.5; // percent left free at either end

/**
 * The distribution of the study's tracks or predictions, with one song marked.
 *
 * @param {{edges: number[], counts: number[]}} distribution
 * @param {number} value - the song's
 * @param {?{low: number, high: number}} interval - drawn as a band
 * @param {function(number): string} format - of values
 * @param {string} label - what the chart shows, for screen readers
 */
export function histogram({edges, counts}, value, interval, format, label) {
  // Room for a value beyond all tracks, yet not so much that the tracks shrink to nothing.
  const room = (edges.at(-1) - edges[0]) / 2;
  const low = Math.min(edges[0], Math.max(value, edges[0] - room));
  const high = Math.max(edges.at(-1), Math.min(value, edges.at(-1) + room));
  const clamp = (x) => Math.min(high, Math.max(low, x));
  const place = (x) => INSET + ((100 - 2 * INSET) * (clamp(x) - low)) / (high - low);
  const width = (a, b) => `${place(b) - place(a)}%`;

  const densities = counts.map((count, i) => count / (edges[i + 1] - edges[i]));
  const highest = Math.max(...densities);
  const floor = HEIGHT - BOTTOM;
  const chart = s("svg", {class: "histogram", height: HEIGHT, role: "img", "aria-label": label});
  if (interval) {
    const [a, b] = [interval.low, interval.high];
    chart.append(s("rect", {class: "band", x: `${place(a)}%`, width: width(a, b), y: TOP, height: floor - TOP}));
  }
  densities.forEach((density, i) => {
    const tall = density && Math.max(1, ((floor - TOP - 6) * density) / highest);
    const x = `${place(edges[i])}%`;
    chart.append(s("rect", {class: "bin", x, width: width(edges[i], edges[i + 1]), y: floor - tall, height: tall}));
  });
  chart.append(s("line", {class: "floor", x1: "0%", x2: "100%", y1: floor, y2: floor}));
  for (const tick of ticks(low, high, 6)) {
    const x = place(tick);
    chart.append(s("text", {class: "tick", x: `${x}%`, y: HEIGHT - 6, "text-anchor": anchor(x, 4)}, format(tick)));
  }
  const x = place(value);
  const name = value < low ? "← this song" : value > high ? "this song →" : "this song";
  chart.append(
    s("line", {class: "marker", x1: `${x}%`, x2: `${x}%`, y1: TOP - 10, y2: floor}),
    s("circle", {class: "marker", cx: `${x}%`, cy: TOP - 10, r: 4}),
    s("text", {class: "marker-label", x: `${x}%`, y: 14, "text-anchor": anchor(x, 16)}, name),
  );
  return chart;
}

/** A value and its interval on a line from `low` to `high`. */
export function range(value, interval, [low, high]) {
  const place = (x) => `${2 + (96 * (Math.min(high, Math.max(low, x)) - low)) / (high - low || 1)}%`;
  const chart = s("svg", {class: "range-chart", height: 20, "aria-hidden": "true", focusable: "false"});
  chart.append(s("line", {class: "floor", x1: "0%", x2: "100%", y1: 10, y2: 10}));
  if (interval) {
    chart.append(s("line", {class: "band", x1: place(interval.low), x2: place(interval.high), y1: 10, y2: 10}));
  }
  chart.append(s("circle", {class: "marker", cx: place(value), cy: 10, r: 5}));
  return chart;
}

/** One bar of a list: its name and its share from 0 to 1. */
export function bar(name, share, strong = false) {
  const drawn = s("svg", {class: "bar", height: 8, "aria-hidden": "true", focusable: "false"});
  drawn.append(
    s("rect", {class: "empty", width: "100%", height: 8, rx: 2}),
    s("rect", {class: "full", width: `${100 * share}%`, height: 8, rx: 2}),
  );
  return h("li", {class: strong ? "strong" : ""}, h("span", {}, name), h("span", {class: "value"}, percent(share)), drawn);
}

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]; // between the ticks of a time axis

/** Time along a picture, in seconds. */
export function timeAxis(axis, start, end, format) {
  axis.replaceChildren(...marks(ticks(start, end, 6, SECONDS), (x) => (100 * (x - start)) / (end - start), format));
}

/** The axis of charts that stand above it, from `low` to `high`; `inset` is their free room at either end, in percent. */
export function axis([low, high], format, inset = 0, about = 5) {
  const chart = s("svg", {class: "axis", "aria-hidden": "true", focusable: "false"});
  const place = (x) => inset + ((100 - 2 * inset) * (x - low)) / (high - low || 1);
  chart.append(...marks(ticks(low, high, about), place, format));
  return chart;
}

/** Ticks with their numbers, below the line at `y`. */
function marks(values, place, format, y = 0) {
  return values.flatMap((value) => {
    const x = place(value);
    return [
      s("line", {class: "floor", x1: `${x}%`, x2: `${x}%`, y1: y, y2: y + 4}),
      s("text", {class: "tick", x: `${x}%`, y: y + 17, "text-anchor": anchor(x, 3)}, format(value)),
    ];
  });
}

const CURVE = {height: 200, top: 10, bottom: 28, left: 8};

/**
 * One or several lines over time or frequency.
 *
 * @param {{name: string, points: number[][]}[]} lines - each a list of [x, y]
 * @param {object} options
 * @param {number[]} options.xTicks
 * @param {number[]} options.domain - of x; that of the points if not given
 * @param {function(number): number} options.scale - of x, such as Math.log
 * @param {function(number): string} options.xFormat
 * @param {function(number): string} options.yFormat
 * @param {?number[]} options.band - two values of y between which a band is drawn
 * @param {boolean} options.dots - whether each point is drawn
 * @param {string} options.label - what the chart shows, for screen readers
 */
export function curves(lines, {xTicks, domain, scale = (x) => x, xFormat, yFormat, band, dots, label}) {
  const {height, top, bottom, left} = CURVE;
  const all = lines.flatMap(({points}) => points);
  const ends = domain ?? all.map(([x]) => x);
  const [first, last] = [scale(Math.min(...ends)), scale(Math.max(...ends))];
  const values = [...all.map(([, y]) => y), ...(band ?? [])];
  const room = (Math.max(...values) - Math.min(...values)) * 0.05 || 1;
  const [low, high] = [Math.min(...values) - room, Math.max(...values) + room];
  const x = (value) => left + ((98 - left) * (scale(value) - first)) / (last - first || 1);
  const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
  const chart = s("svg", {class: "curves", height, role: "img", "aria-label": label});
  if (band) {
    chart.append(s("rect", {class: "band", x: `${left}%`, width: `${98 - left}%`, y: y(band[1]), height: y(band[0]) - y(band[1])}));
  }
  for (const tick of ticks(low, high, 4)) {
    chart.append(
      s("line", {class: "grid", x1: `${left}%`, x2: "98%", y1: y(tick), y2: y(tick)}),
      s("text", {class: "tick", x: `${left - 1}%`, y: y(tick) + 4, "text-anchor": "end"}, yFormat(tick)),
    );
  }
  const shown = xTicks.filter((tick) => scale(tick) >= first && scale(tick) <= last);
  chart.append(...marks(shown, x, xFormat, height - bottom));
  lines.forEach(({points}, n) => {
    points.slice(1).forEach(([to, height], i) => {
      const [from, start] = points[i];
      chart.append(s("line", {class: `line line-${n}`, x1: `${x(from)}%`, x2: `${x(to)}%`, y1: y(start), y2: y(height)}));
    });
    if (dots) points.forEach(([at, value]) => chart.append(s("circle", {class: `dot line-${n}`, cx: `${x(at)}%`, cy: y(value), r: 4})));
  });
  return chart;
}

/** Round times for an axis from `start` to `end`, in seconds. */
export const timeTicks = (start, end) => ticks(start, end, 6, SECONDS);

/** A change on an axis from -`most` to `most`, with the model's error as a band around 0. */
export function change(value, error, most) {
  const place = (x) => 50 + 48 * Math.min(1, Math.max(-1, x / (most || 1)));
  const chart = s("svg", {class: "change", height: 20, "aria-hidden": "true", focusable: "false"});
  if (error) chart.append(s("rect", {class: "band", x: `${place(-error)}%`, width: `${place(error) - place(-error)}%`, y: 0, height: 20}));
  const [from, to] = [Math.min(0, value), Math.max(0, value)];
  chart.append(
    s("line", {class: "floor", x1: "50%", x2: "50%", y1: 0, y2: 20}),
    s("rect", {class: "full", x: `${place(from)}%`, width: `${place(to) - place(from)}%`, y: 6, height: 8}),
    s("circle", {class: "marker", cx: `${place(value)}%`, cy: 10, r: 4}),
  );
  return chart;
}

/** Round numbers from `low` to `high`, about `about` of them. */
export function ticks(low, high, about, steps) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = (steps ?? [1, 2, 5, 10].map((n) => n * power)).find((n) => n >= rough * 0.999) ?? rough;
  const first = Math.ceil(low / step - 0.01); // ticks at the very ends count
  const last = Math.floor(high / step + 0.01);
  return Array.from({length: last - first + 1}, (_, i) => (first + i) * step);
}

/** Text near an edge of the chart is aligned towards its middle. */
function anchor(x, margin) {
  if (x < margin) return "start";
  return x > 100 - margin ? "end" : "middle";
}

/** A formatter for the ticks of a range. */
export const tickFormat = (low, high) => (x) => number(x, (high - low) / 5);
