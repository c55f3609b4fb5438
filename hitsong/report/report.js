// Charts that readers can point at, tables that sort, and the table of tracks. Without JavaScript the page shows pictures.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const MANY = 1500; // dots; more are drawn on a canvas
const REACH = 9; // pixels between the pointer and the dot that it points at
const STEP = 50; // rows of the table of tracks that are added at a time

// Charts: drawn when they come into view, in place of their pictures

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

function showTip(_, event, item, value) {
  tip.hidden = value === null || value === undefined;
  if (tip.hidden) return;
  const list = document.createElement("dl");
  for (const [name, text] of Object.entries(Object(value))) {
    const row = list.appendChild(document.createElement("div"));
    row.appendChild(document.createElement("dt")).textContent = name;
    row.appendChild(document.createElement("dd")).textContent = text;
  }
  tip.replaceChildren(list);
  const box = tip.getBoundingClientRect();
  const right = event.clientX + 14 + box.width > document.documentElement.clientWidth;
  tip.style.left = `${Math.max(4, right ? event.clientX - box.width - 10 : event.clientX + 14)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 4)}px`;
}

function withColours(text) {
  const style = getComputedStyle(document.documentElement);
  return text.replace(/var\((--[a-z]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
}

async function draw(place, data) {
  const text = place.parentElement.querySelector("script.chart").textContent;
  const canvas = data && data.values.length > MANY; // which knows no variables of CSS
  const container = document.createElement("div");
  container.className = "live";
  container.ariaHidden = "true"; // its place has a description
  place.append(container);
  const { view } = await vegaEmbed(container, JSON.parse(canvas ? withColours(text) : text), {
    actions: false, renderer: canvas ? "canvas" : "svg", tooltip: showTip,
  });
  if (data) await view.data(data.name, data.values).runAsync();
  for (const other of [...place.children]) if (other !== container) other.remove();
  return view;
}

const ahead = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    ahead.unobserve(target);
    draw(target);
  }
}, { rootMargin: "200px" });
for (const place of document.querySelectorAll(".drawing.chart:not(.tracks)")) ahead.observe(place);

// Tables whose columns sort: a click on a heading, a second one for the other direction

function valueOf(cell) {
  const text = (cell.firstChild?.textContent ?? "").trim().replace("−", "-").replaceAll(",", "");
  const [, digits, unit] = text.match(/^(-?[\d.]+)\s?([kM%]?)$/) ?? [];
  return digits === undefined ? text : Number(digits) * ({ k: 1e3, M: 1e6 }[unit] ?? 1);
}

function compare(a, b) {
  const missing = (value) => value === "" || value === "–" || value === null || value === undefined;
  if (missing(a) || missing(b)) return { value: missing(a) - missing(b), last: true };
  if (typeof a === "number" && typeof b === "number") return { value: a - b };
  return { value: String(a).localeCompare(String(b), undefined, { numeric: true }) };
}

function sorted(rows, valueOfRow, direction) {
  return [...rows].sort((one, other) => {
    const { value, last } = compare(valueOfRow(one), valueOfRow(other));
    return last ? value : direction * value;
  });
}

function makeSortable(table, sort) {
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = document.createElement("button");
    const [name, ...rest] = heading.childNodes;
    const arrow = document.createElement("span");
    arrow.className = "arrow";
    button.append(name, arrow, ...rest);
    heading.append(button);
    button.addEventListener("click", () => {
      const order = heading.ariaSort === "descending" ? "ascending" : "descending";
      for (const other of table.querySelectorAll("thead th")) other.ariaSort = null;
      heading.ariaSort = order;
      sort(heading.cellIndex, order === "ascending" ? 1 : -1);
    });
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  makeSortable(table, (column, direction) => {
    const body = table.tBodies[0];
    body.append(...sorted(body.rows, (row) => valueOf(row.cells[column]), direction));
  });
}

// A link opens the section that it leads to

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const details = target && target.querySelector("details");
  if (!details) return;
  details.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();
document.querySelector("nav")?.addEventListener("click", (event) => {
  if (event.target.hash === location.hash) openTarget();
});

// The test tracks: chart, table, search and sound, all from the same rows

function explore(source) {
  const { columns, rows, outputs } = JSON.parse(source.textContent);
  const section = source.closest("section");
  rows.forEach((row, place) => { row.place = place; });
  const find = (name) => section.querySelector(`[name="${name}"]`);
  const table = section.querySelector("table"), count = section.querySelector("output");
  const player = section.querySelector("audio"), playing = section.querySelector(".playing"), more = find("more");
  let area = {}, shown = STEP, order = { key: "p", direction: -1 }, view = null;
  for (const tools of section.querySelectorAll("[hidden]")) tools.hidden = tools === playing;

  const largest = Math.max(...rows.map((row) => Math.abs(row.y)));
  const decimals = largest >= 10 ? 1 : 3;
  const style = (least) => new Intl.NumberFormat("en", largest >= 1e4
    ? { notation: "compact", maximumSignificantDigits: 3 }
    : { minimumFractionDigits: least, maximumFractionDigits: decimals });
  const truths = style(0), predictions = style(decimals); // popularity is whole, predictions are not
  const text = (value, key) => typeof value === "number"
    ? (key === "y" || key === "year" ? truths : predictions).format(value).replace("-", "−").replace("K", "k")
    : value ?? "–";
  const within = (value, range) => !range || (value >= Math.min(...range) && value <= Math.max(...range));

  function chosen() {
    const words = find("words").value.trim().toLowerCase();
    return rows.filter((row) =>
      within(row.p, area.p) && within(row.y, area.y) && `${row.title} ${row.artist}`.toLowerCase().includes(words));
  }

  function play(row) {
    if (!row.audio) return;
    player.src = `data:audio/mpeg;base64,${row.audio}`;
    playing.hidden = false;
    playing.querySelector("span").textContent = `${row.title}, ${row.artist}`;
    player.play().catch(() => {}); // browsers refuse sound before the first click
  }

  function cell(row, column) {
    const made = document.createElement(column.key === "title" ? "th" : "td");
    if (column.text) made.className = column.key === "year" ? "" : "left words";
    if (column.key === "title") made.scope = "row";
    if (column.key === "title" && row.audio) {
      const button = made.appendChild(document.createElement("button"));
      button.className = "play";
      button.ariaLabel = `Play ${row.title}`;
      button.textContent = "▶";
      button.addEventListener("click", () => play(row));
    }
    if (column.key === "title" && row.link) {
      const link = made.appendChild(document.createElement("a"));
      Object.assign(link, { href: row.link, rel: "noreferrer", textContent: row.title });
    } else made.append(text(row[column.key], column.key));
    return made;
  }

  function fill() {
    const all = sorted(chosen(), (row) => row[order.key], order.direction);
    const body = document.createElement("tbody");
    for (const row of all.slice(0, shown)) body.insertRow().append(...columns.map((column) => cell(row, column)));
    table.tBodies[0].replaceWith(body);
    count.textContent = `${all.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} tracks`;
    more.hidden = all.length <= shown;
  }

  function refill() {
    shown = STEP;
    fill();
  }

  async function drawTracks() {
    view?.finalize();
    view = await draw(section.querySelector(".drawing.tracks"), { name: source.dataset.name, values: rows });
    view.addSignalListener("brush", (_, value) => { area = value ?? {}; refill(); });
    let pointed = null;
    view.addEventListener("click", (event) => {
      const row = nearest(event);
      if (row) play(row);
    });
    view.addEventListener("mousemove", (event) => {
      const row = event.buttons ? null : nearest(event);
      const { title, artist, y, p } = row ?? {};
      showTip(null, event, null, row && { track: title, artist, actual: text(y, "y"), predicted: text(p, "p") });
      if (row && row !== pointed && find("hover").checked) play(row);
      pointed = row;
    });
    view.addEventListener("mouseout", (event) => showTip(null, event, null, null));
  }

  // The row whose dot is closest to the pointer, also below a selected area
  function nearest(event) {
    const box = view.container().querySelector("svg, canvas").getBoundingClientRect();
    const [left, top] = view.origin();
    const [x, y] = [event.clientX - box.left - left, event.clientY - box.top - top];
    const [toX, toY] = [view.scale("x"), view.scale("y")];
    let row = null, least = REACH ** 2;
    for (const other of rows) {
      const distance = (toX(other.p) - x) ** 2 + (toY(other.y) - y) ** 2;
      if (distance < least) [row, least] = [other, distance];
    }
    return row;
  }

  find("words").addEventListener("input", (event) => {
    view?.signal("words", event.target.value.trim().toLowerCase()).runAsync();
    refill();
  });
  find("clear").addEventListener("click", () => {
    find("words").value = "";
    area = {};
    drawTracks();
    refill();
  });
  more.addEventListener("click", () => { shown += STEP; fill(); });
  find("output")?.addEventListener("change", (event) => {
    const { y, p } = outputs[event.target.value];
    rows.forEach((row, place) => Object.assign(row, { y: y[place], p: p[place], d: p[place] - y[place] }));
    area = {};
    drawTracks();
    refill();
  });
  makeSortable(table, (column, direction) => {
    order = { key: columns[column].key, direction };
    refill();
  });
  dark.addEventListener("change", () => rows.length > MANY && drawTracks());
  find("hover").closest("label").hidden = !rows.some((row) => row.audio);
  fill();
  const waiting = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    waiting.disconnect();
    drawTracks();
  }, { rootMargin: "200px" });
  waiting.observe(section.querySelector(".drawing.tracks"));
}

for (const source of document.querySelectorAll("script.rows")) explore(source);
