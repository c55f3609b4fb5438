// The list of earlier results of this browser.

import {byId, h} from "./dom.js";
import {headline} from "./song.js";
import {earlier, forget} from "./store.js";

/** Show the list; `open` is called with the entry that the reader chooses. */
export function listEarlier(open) {
  const entries = earlier();
  byId("earlier").hidden = entries.length === 0;
  byId("earlier").querySelector("ol").replaceChildren(...entries.map((entry) => lineOf(entry, open)));
}

function lineOf(entry, open) {
  const {kind, result, title, time} = entry;
  const button = h("button", {type: "button", class: "plain"}, title);
  button.addEventListener("click", () => open(entry));
  const when = new Date(time).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "short"});
  return h("li", {}, button, h("span", {class: "value"}, kind === "song" ? headline(result) : kind), h("small", {}, when));
}

byId("forget").addEventListener("click", () => {
  forget();
  byId("earlier").hidden = true;
  byId("live").textContent = "The earlier songs are forgotten.";
  byId("choose").focus();
});
