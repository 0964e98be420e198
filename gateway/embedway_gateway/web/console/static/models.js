/** Shows the models and their upstreams, and tells when one begins or ceases to serve. */

import { find, make, renewChildren, table } from "./dom.js";
import { count, duration, percent, rate } from "./format.js";
import { History } from "./history.js";

const history = new History();
const ready = new Map();

/** `listed` is what `/v1/models` says, `state` what `/console/state` does; null without a key. */
export function showModels(listed, state) {
  if (state === null) history.clear();
  else history.add(state, performance.now() / 1000);
  const live = new Map((state?.models ?? []).map((model) => [model.id, model]));
  const none = make("p", { className: "quiet" }, "There are no models yet.");
  const cards = listed.map((model) => card(model, live.get(model.id)));
  renewChildren(find("model-list"), cards.length ? cards : [none]);
  tellChanges(live);
}

export function forgetModels() {
  history.clear();
  ready.clear();
  find("model-list").replaceChildren();
}

function tellChanges(live) {
  const changes = [];
  for (const [id, model] of live) {
    if (ready.has(id) && ready.get(id) !== model.ready) {
      changes.push(`${id} is ${model.ready ? "ready again" : "no longer ready"}.`);
    }
    ready.set(id, model.ready);
  }
  if (changes.length) find("changes").textContent = changes.join(" ");
}

function card(model, live) {
  return make(
    "article",
    { className: "model", "aria-label": model.id },
    make("div", { className: "title" }, make("h3", {}, model.id), live ? badge(live) : null),
    make("dl", { className: "facts" }, ...facts(model, live).map(fact)),
    live?.upstreams ? upstreams(model.id, live.upstreams) : null,
  );
}

const badge = ({ ready: is }) =>
  make("span", { className: `state ${is ? "good" : "bad"}` }, is ? "ready" : "not ready");

const fact = ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value));

function facts(model, live) {
  const found = [["capabilities", model.capabilities.join(", ")]];
  if (model.aliases.length) found.push(["also called", model.aliases.join(", ")]);
  if (model.dimensions !== null) found.push(["dimensions", String(model.dimensions)]);
  if (model.max_tokens !== null) found.push(["most tokens", count(model.max_tokens)]);
  if (model.dimensions !== null && model.vector_space) {
    found.push(["vector space", make("code", {}, model.vector_space)]);
  }
  if (live?.requests === undefined) return found;
  const { requests, cache } = live;
  found.push(
    ["requests", count(requests.ok + requests.failed)],
    ["failed", count(requests.failed)],
    ["latency", duration(history.latency(model.id, ""))],
    ["texts/s", rate(history.rate(model.id, "", "texts"))],
    ["tokens/s", rate(history.rate(model.id, "", "tokens"))],
  );
  if (cache !== null) {
    found.push(["texts from the cache", percent(cache.hits, cache.hits + cache.misses)]);
  }
  return found;
}

function upstreams(id, found) {
  return table({
    caption: `Upstreams of ${id}`,
    columns: [
      ...["upstream", "state", "breaker", "engine", "priority", "in flight"],
      ...["calls", "failed", "latency", "texts/s"],
    ],
    numeric: [4, 5, 6, 7, 8, 9],
    rows: found.map((one) => [
      one.name,
      standing(one),
      one.breaker,
      one.engine,
      String(one.priority),
      count(one.in_flight),
      count(one.calls.ok + one.calls.failed),
      count(one.calls.failed),
      duration(history.latency(id, one.name)),
      rate(history.rate(id, one.name, "texts")),
    ]),
  });
}

/** The state in a word, and why. */
function standing({ problem, quarantined, breaker }) {
  const [word, kind] = quarantined
    ? ["quarantined", "bad"]
    : problem
      ? ["not serving", "bad"]
      : breaker === "half-open"
        ? ["on trial", "warn"]
        : ["serving", "good"];
  const why = quarantined || problem;
  return make(
    "div",
    {},
    make("span", { className: `state ${kind}` }, word),
    why ? make("span", { className: "why" }, why) : null,
  );
}
