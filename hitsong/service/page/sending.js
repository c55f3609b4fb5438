// Sending songs: the panels of the intake, and the progress of an upload.

import {post} from "./api.js";
import {byId} from "./dom.js";
import {count, left, megabytes} from "./format.js";

const LONG = 5000; // milliseconds from which the progress of an upload is announced

/** Show one of the panels, hide the others. */
export function showPanel(name) {
  for (const id of ["drop", "recording", "progress", "access"]) byId(id).hidden = id !== name;
  byId("problem").replaceChildren();
}

/** Announce to screen readers. */
export const announce = (text) => (byId("live").textContent = text);

/**
 * Send files, showing the progress, and read the response.
 *
 * @param {string[]} target - path, and field of the form
 * @param {File[]} files
 * @param {AbortSignal} signal
 */
export async function send([path, field], files, signal) {
  showPanel("progress");
  byId("waiting").hidden = true;
  byId("cancel").focus();
  byId("result").hidden = true;
  byId("what").textContent = files.length === 1 ? files[0].name : count(files.length, "song");
  byId("elapsed").textContent = "";
  step("upload");
  announce("Uploading.");
  let ticking;
  let quarter = 0; // of the upload, as announced
  const began = performance.now();
  const listener = {
    uploading(sent, total) {
      const share = sent / total;
      byId("uploaded").textContent =
        `${megabytes(sent)} of ${megabytes(total)} MB${left(share, (performance.now() - began) / 1000)}`;
      byId("bar").value = share;
      if (Math.floor(4 * share) > quarter && share < 1 && performance.now() - began > LONG) {
        quarter = Math.floor(4 * share);
        announce(`Uploaded ${25 * quarter} percent.`);
      }
    },
    uploaded() {
      step("analysis");
      announce("Uploaded. The service analyses it.");
      const uploaded = performance.now();
      ticking = setInterval(() => {
        byId("elapsed").textContent = `${Math.round((performance.now() - uploaded) / 1000)} s`;
      }, 1000);
    },
  };
  try {
    return await post(path, field, files, listener, signal);
  } finally {
    clearInterval(ticking);
  }
}

/** Mark the current step. The service reports no progress of the analysis: the bar then has no value. */
function step(current) {
  for (const name of ["upload", "analysis"]) {
    const line = byId(`step-${name}`);
    line.classList.toggle("done", name === "upload" && current === "analysis");
    if (name === current) line.setAttribute("aria-current", "step");
    else line.removeAttribute("aria-current");
  }
  if (current === "upload") byId("bar").value = 0;
  else byId("bar").removeAttribute("value");
}

/** Show that the service is busy, and the seconds until the next try. */
export function showWaiting(left) {
  byId("waiting").hidden = false;
  byId("waiting").textContent = `The service is busy. Next try in ${left} s.`;
  announce("The service is busy. The page waits and tries again.");
}
