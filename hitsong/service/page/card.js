// The model card: the part of Markdown that cards use, as elements.

import {h} from "./dom.js";

/** Headings, paragraphs, lists, tables, **strong**, *emphasis*, `code`; anything else stays as written. */
export function markdown(text) {
  return text.replaceAll("\r", "").split(/\n{2,}|\n(?=#)|(?<=^#.*)\n/m).filter((block) => block.trim()).map(block);
}

function block(text) {
  const lines = text.trim().split("\n");
  const heading = /^(#+)\s+(.*)$/.exec(lines[0]);
  if (heading) return h(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2])); // below the page's own
  if (lines.every((line) => line.startsWith("|"))) return table(lines);
  if (/^[-*] /.test(lines[0])) {
    const items = text.trim().split(/\n(?=[-*] )/);
    return h("ul", {}, ...items.map((item) => h("li", {}, ...inline(item.slice(2)))));
  }
  return h("p", {}, ...inline(text));
}

function table(lines) {
  const [head, , ...body] = lines.map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const row = (tag, cells, attributes) => h("tr", {}, ...cells.map((cell) => h(tag, attributes, ...inline(cell))));
  return h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": `Table: ${head.join(", ")}`},
    h("table", {},
      h("thead", {}, row("th", head, {scope: "col"})),
      h("tbody", {}, ...body.map((cells) => row("td", cells)))));
}

function inline(text) {
  const parts = text.split(/(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`)/);
  return parts.map((part) => {
    if (/^\*\*.+\*\*$/s.test(part)) return h("strong", {}, part.slice(2, -2));
    if (/^\*.+\*$/s.test(part)) return h("em", {}, part.slice(1, -1));
    if (/^`.+`$/s.test(part)) return h("code", {}, part.slice(1, -1));
    return part;
  });
}
