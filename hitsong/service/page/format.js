// Numbers, dates and names as text.

const LOCALE = "en";

/** Seconds as a clock: 75 is 1:15. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Bytes as megabytes. */
export const megabytes = (bytes) => (bytes / 1e6).toLocaleString(LOCALE, {maximumFractionDigits: 1});

/** A share from 0 to 1 in percent; never rounded to 0 or 100 %. */
export function percent(share) {
  const whole = Math.round(100 * share);
  if (whole === 100 && share < 1) return "over 99\u00a0%";
  if (whole === 0 && share > 0) return "under 1\u00a0%";
  return `${whole}\u00a0%`;
}

/** A number with as many digits as the width of its interval supports. */
export function number(value, width = Math.abs(value)) {
  const digits = width >= 10 ? 0 : width >= 1 ? 1 : 2;
  const plain = value.toLocaleString(LOCALE, {minimumFractionDigits: digits, maximumFractionDigits: digits});
  return plain.replace("-", "\u2212");
}

/** What is left of an upload, by its share so far and its seconds; nothing for a quick one. */
export function left(share, seconds) {
  const rest = share > 0 ? (seconds * (1 - share)) / share : 0;
  return seconds < 2 || rest < 3 ? "" : `, ${percent(share)}, about ${clock(rest)} left`;
}

/** "3 songs", "1 song". */
export const count = (n, noun) => `${n.toLocaleString(LOCALE)} ${noun}${n === 1 ? "" : "s"}`;

/** "a, b, or c". */
export const either = (items) => new Intl.ListFormat(LOCALE, {type: "disjunction"}).format(items);

/** Whether a target is one number. */
export const oneNumber = ({kind}) => ["popularity", "growth"].includes(kind);

/** A name from the API as words: not_popular is "not popular". */
export const words = (name) => name.replaceAll("_", " ");

/** A date, day first: 2025-11-20 is 20 November 2025. */
export function date(iso) {
  const day = new Date(iso);
  if (Number.isNaN(day.getTime())) return iso;
  return day.toLocaleDateString("en-GB", {day: "numeric", month: "long", year: "numeric", timeZone: "UTC"});
}

/** With a full stop at its end. */
export const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
