// A result as a file: JSON, or a picture to show to others.

import {h} from "./dom.js";
import {date, percent} from "./format.js";
import {tickFormat, ticks} from "./charts.js";

const WIDTH = 1200;
const HEIGHT = 630; // as pages show pictures of links
const MARGIN = 64;

/** Let the browser save a blob under a name. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the browser reads it after the click
}

export const asJson = (result) => new Blob([JSON.stringify(result, null, 2)], {type: "application/json"});

/** The name of a file for a song's result: "song.mp3" and "png" give "song.hitsong.png". */
export const fileName = (name, ending) => `${name.replace(/\.[^.]+$/, "")}.hitsong.${ending}`;

/**
 * A song's result as PNG.
 *
 * @param {object} song - the service's result
 * @param {{title: string, figure: string, lines: string[]}} text
 * @returns {Promise<Blob>}
 */
export function asPicture(song, {title, figure, lines}) {
  const canvas = h("canvas", {width: WIDTH, height: HEIGHT});
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const half = song.distribution ? WIDTH / 2 : WIDTH - MARGIN; // the chart stands on the right
  const write = (text, x, y, size, name, weight = 400, right = WIDTH - MARGIN) => {
    pen.font = `${weight} ${size}px system-ui, sans-serif`;
    pen.fillStyle = colour(name);
    pen.fillText(shorten(pen, text, right - x), x, y);
  };
  pen.fillStyle = colour("paper");
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  write(title, MARGIN, 100, 44, "ink", 650);
  write(figure, MARGIN, 240, figure.length > 8 ? 72 : 120, "accent", 700, half);
  lines.forEach((line, n) => write(line, MARGIN, 300 + 38 * n, 26, n ? "muted" : "ink", 400, half));
  if (song.distribution) drawDistribution(pen, song, colour);
  const {model} = song;
  write(
    `Hitsong, model ${model.name} of study ${model.study}${model.synthetic ? " (synthetic songs)" : ""}, data of ${date(model.snapshot)}`,
    MARGIN, HEIGHT - 64, 22, "muted",
  );
  write("From the sound alone: a score helps to sort many songs and says little about one.", MARGIN, HEIGHT - 32, 22, "muted");
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function drawDistribution(pen, {distribution: {edges, counts}, prediction, interval, target}, colour) {
  const [left, right, top, floor] = [WIDTH / 2 + 20, WIDTH - MARGIN, 150, 480];
  const [low, high] = [edges[0], edges.at(-1)];
  const place = (x) => left + ((right - left) * (Math.min(high, Math.max(low, x)) - low)) / (high - low);
  if (interval.low !== undefined) {
    pen.fillStyle = colour("tint");
    pen.fillRect(place(interval.low), top, place(interval.high) - place(interval.low), floor - top);
  }
  pen.fillStyle = colour("bin");
  const highest = Math.max(...counts);
  counts.forEach((count, n) => {
    const tall = ((floor - top - 10) * count) / highest;
    pen.fillRect(place(edges[n]) + 1, floor - tall, place(edges[n + 1]) - place(edges[n]) - 2, tall);
  });
  pen.fillStyle = colour("accent");
  pen.fillRect(place(prediction) - 2, top - 12, 4, floor - top + 12);
  pen.fillStyle = colour("muted");
  pen.font = "400 20px system-ui, sans-serif";
  pen.textAlign = "center";
  const format = target.kind === "popular" ? percent : tickFormat(low, high);
  for (const tick of ticks(low, high, 5)) pen.fillText(format(tick), place(tick), floor + 28);
  pen.textAlign = "start";
}

/** A text that is at most so wide, with an ellipsis where it was cut. */
function shorten(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let letters = [...text];
  while (letters.length > 1 && pen.measureText(`${letters.join("")}…`).width > width) letters = letters.slice(0, -1);
  return `${letters.join("")}…`;
}
