// Asking the server. What goes wrong comes as an ApiError whose text is for people: the API's own
// words, or ours where it could not be asked.

export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status; // 0: the server could not be reached
  }
}

let onLocked = () => {};

// What to do where the server wants a token.
export function whenLocked(then) {
  onLocked = then;
}

// The answer as JSON; null of an answer without one.
export async function ask(method, path, body, signal) {
  const sent = { method, signal, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    sent.headers["Content-Type"] = "application/json";
    sent.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
  const said = await answer.json().catch((error) => {
    if (error.name === "AbortError") throw error; // amid the answer: nobody waits for it any more
    return null;
  });
  if (answer.ok) return said;
  // A wrong token is answered by the form itself.
  if (answer.status === 401 && path !== "/api/session") onLocked();
  throw new ApiError(answer.status, problem(answer.status, said));
}

function problem(status, said) {
  if (typeof said?.detail === "string" && said.detail) return said.detail;
  if (status === 403) return "You may look, but not change anything: this needs the admin's token.";
  if (status === 404) return "There is no such thing here any more.";
  return `The server answered ${status}.`;
}

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const put = (path, body) => ask("PUT", path, body);
export const post = (path, body) => ask("POST", path, body ?? {});
export const drop = (path) => ask("DELETE", path);

// Names in paths and queries: nothing of them may be read as a part of the address.
export function path(parts, query) {
  const where = parts.map(encodeURIComponent).join("/");
  const known = Object.entries(query ?? {}).filter(([, v]) => v !== null && v !== undefined && v !== "");
  return known.length ? `/api/${where}?${new URLSearchParams(known)}` : `/api/${where}`;
}

export const MOST_EVENTS = 1000; // of one answer

// All events that a question is answered with, the newest first, however many pages they are.
export async function events(query, signal) {
  const all = [];
  for (let cursor = null; ;) {
    const page = await get(path(["events"], { limit: MOST_EVENTS, ...query, cursor }), signal);
    all.push(...page.events);
    if (!page.cursor) return all;
    cursor = page.cursor;
  }
}

// An address that the API gave, only where it is one of ours.
export function own(address) {
  return typeof address === "string" && /^\/(?![/\\])/.test(address) ? address : null;
}
