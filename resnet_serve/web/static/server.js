/* Requests to the server of this page: the token for a cookie, and errors as one line. */

export class ServerError extends Error {
  constructor(status, message, retryAfterS) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The web server does not answer. Start it with: resnet-serve web", 2);
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const text = await response.text();
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = JSON.parse(text).detail ?? detail;
  } catch { /* not ours: a proxy's page */ }
  throw new ServerError(response.status, detail, Number(response.headers.get("Retry-After") ?? 0));
}

export const get = (path) => request(path);

export const post = (path, value) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

/** What every version with the labels of `model` makes of an image file. */
export function compare(file, model, signal) {
  const path = `/compare?model=${encodeURIComponent(model)}`;
  const type = "application/octet-stream";
  return request(path, { method: "POST", headers: { "Content-Type": type }, body: file, signal });
}

/** The token of the address, which then no longer shows it, for the cookie of this page. */
export async function open() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return;
  history.replaceState(null, "", location.pathname);
  await post("/session", { token: found });
}

export const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
