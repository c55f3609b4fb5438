// Earlier results, kept in this browser only. The songs themselves are not kept.

const KEY = "hitsong.results";
const MOST = 20;

/** All earlier results, the latest first: `{key, time, kind, title, result}`. */
export function earlier() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return []; // the browser forbids storage, or something else wrote there
  }
}

/** Keep a result; returns its key. Of many or large ones the oldest are dropped. */
export function keep(kind, title, result) {
  const key = crypto.randomUUID?.() ?? String(Math.random()).slice(2); // pages without HTTPS lack the first
  const entries = [{key, time: new Date().toISOString(), kind, title, result}, ...earlier()].slice(0, MOST);
  while (entries.length) {
    try {
      localStorage.setItem(KEY, JSON.stringify(entries));
      break;
    } catch {
      entries.pop(); // no room
    }
  }
  return key;
}

/** The result of that key, or undefined. */
export const find = (key) => earlier().find((entry) => entry.key === key);

/** Forget all results. */
export function forget() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // nothing was kept
  }
}
