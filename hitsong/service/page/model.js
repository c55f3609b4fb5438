// The model that the service uses: its card, its limits, and how good it is in a sentence.

import {Problem, get} from "./api.js";
import {markdown} from "./card.js";
import {byId} from "./dom.js";
import {count, date, megabytes, number, oneNumber, percent} from "./format.js";
import {HEADLINES} from "./messages.js";
import {pairs} from "./song.js";

/** Fetch and show the model; null if the service does not report it. */
export async function describeModel() {
  let model;
  try {
    model = await get("/model", "json");
  } catch (error) {
    if (error instanceof Problem) return null; // the page shows that the model is not known
    throw error;
  }
  const {train, validation} = model.trained_on;
  byId("limits").textContent =
    `, up to ${megabytes(model.largest_bytes)} MB and ${count(model.longest_seconds / 60, "minute")} each`;
  byId("question").textContent = HEADLINES[model.target.kind];
  byId("synthetic").hidden = !model.synthetic;
  byId("lead").textContent =
    `The model was trained on ${count(train, "track")} and uses the sound alone, not who made a song. `
    + "Choose several songs to rank them, or versions of one song to compare them.";
  byId("model-missing").hidden = true;
  byId("model-facts").replaceChildren(...pairs({
    Model: model.name,
    Study: model.study,
    Data: model.collected_from,
    "Trained on": `${count(train, model.synthetic ? "synthetic track" : "track")}; validated on ${validation.toLocaleString("en")} more`,
    Popularity: `from ${model.source}, read on ${date(model.snapshot)}`,
    "How good it is": quality(model),
    Version: model.version,
  }));
  byId("card").hidden = !model.card;
  byId("card").querySelector("div").replaceChildren(...markdown(model.card ?? ""));
  return model;
}

/** How good a model is, from its metrics on songs that it was not trained on: a sentence or two. */
export function quality({target, validation, trained_on: {validation: songs}}) {
  const on = `Measured on ${count(songs, "song")} that it was not trained on: `;
  if (oneNumber(target)) {
    const explained = validation.r2 > 0 ? percent(validation.r2) : "none";
    const top = target.kind === "growth" ? "the one that grows more" : "the more popular one";
    return `${on}of two songs it puts ${top} on top ${inPairs((1 + validation.kendall) / 2)}. `
      + `It is off by ${number(validation.mae, validation.mae)} on average, and explains ${explained} of the differences in ${target.kind}.`;
  }
  if (target.kind === "popular") {
    return `${on}of a popular and an unpopular song it puts the popular one on top ${inPairs(validation.roc_auc)}.`;
  }
  if (target.kind === "buckets") {
    return `${on}it names the right class of ${percent(validation.accuracy)} of the songs. `
      + `Beyond chance it agrees to ${percent(Math.max(0, validation.quadratic_kappa))} with the true classes.`;
  }
  const explained = validation.r2 > 0 ? percent(validation.r2) : "none";
  return `${on}it explains ${explained} of the differences in these features.`;
}

const inPairs = (share) => `in ${Math.round(100 * share)} of 100 pairs (guessing: 50)`;
