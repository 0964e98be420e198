/** Asks this gateway; the key is in this module's memory, and nowhere else. */

let key = "";

/** Sent from now on; empty is none. */
export function useKey(secret) {
  key = secret;
}

/** What the gateway refused, or that it did not answer, with status 0. */
export class Refused extends Error {
  constructor(status, message, code = null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Relative to the page: a proxy may have put the gateway below a path. */
export const address = (path) => new URL(path, document.baseURI).href;

/** The answer's JSON and headers; with a `body` it is a POST. Throws `Refused`. */
export async function ask(path, body = undefined) {
  const headers = { accept: "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer, json;
  try {
    answer = await fetch(address(path), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    json = await answer.json();
  } catch {
    throw new Refused(answer?.status ?? 0, "The gateway does not answer, or not in JSON.");
  }
  if (!answer.ok) {
    const { message, code } = json.error ?? {};
    throw new Refused(answer.status, message ?? `Status ${answer.status}.`, code);
  }
  return { json, headers: answer.headers };
}
