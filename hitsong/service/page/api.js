// Requests to the service. A token, where one is needed, is kept in memory only.

const TRIES = 6; // while the service is busy
const PAUSE = 5; // seconds before another try, where the service does not say

let token = null;

/** A failed request: `status` (0: no response), `title`, `detail`, `retryAfter` in seconds. */
export class Problem extends Error {
  constructor(status, {title = "", detail = ""} = {}, retryAfter = null) {
    super(title);
    Object.assign(this, {status, title, detail, retryAfter});
  }
}

export const hasToken = () => token !== null;

export function setToken(value) {
  token = value;
}

/** Get a resource. `type` is how to read it: "json" or "blob". */
export async function get(path, type, signal) {
  let response;
  try {
    response = await fetch(path, {headers: authorization(), signal});
  } catch (error) {
    throw signal?.aborted ? error : new Problem(0);
  }
  if (!response.ok) {
    throw new Problem(response.status, await readProblem(response), seconds(response.headers.get("Retry-After")));
  }
  return response[type]();
}

/**
 * Send files, and read the response.
 *
 * @param {string} path
 * @param {string} field - the form's field that holds the files
 * @param {File[]} files
 * @param {object} listener - `uploading(sent, total)` while bytes are sent, `uploaded()` after the last
 * @param {AbortSignal} signal
 */
export function post(path, field, files, {uploading, uploaded}, signal) {
  const form = new FormData();
  for (const file of files) form.append(field, file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch reports no progress of uploads
    request.open("POST", path);
    request.responseType = "json";
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => uploading(event.loaded, event.total));
    request.upload.addEventListener("load", uploaded);
    request.addEventListener("load", () => {
      const {status, response} = request;
      if (status === 200 && response) return resolve(response);
      reject(new Problem(status, response ?? {}, seconds(request.getResponseHeader("Retry-After"))));
    });
    request.addEventListener("error", () => reject(new Problem(0)));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/**
 * Send a request again while the service is busy.
 *
 * @param {function(): Promise} send
 * @param {AbortSignal} signal
 * @param {function(number)} waiting - called every second with the seconds left until the next try
 */
export async function retryWhileBusy(send, signal, waiting = () => {}) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (error.status !== 503 || attempt === TRIES) throw error;
      for (let left = Math.ceil(error.retryAfter ?? PAUSE); left > 0; left--) {
        waiting(left);
        await abortable((resolve) => setTimeout(resolve, 1000), signal);
      }
    }
  }
}

/** A promise that rejects when the signal is aborted. */
export const abortable = (start, signal) =>
  new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), {once: true});
    start(resolve);
  });

const authorization = () => (token ? {Authorization: `Bearer ${token}`} : {});

const seconds = (header) => (Number.isFinite(parseFloat(header)) ? parseFloat(header) : null);

async function readProblem(response) {
  try {
    return await response.json();
  } catch {
    return {}; // a proxy's response need not be JSON
  }
}
