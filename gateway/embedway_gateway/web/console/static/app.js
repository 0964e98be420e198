/** Keeps the page up to date, and the key in memory while it is good. */

import { Refused, ask, useKey } from "./api.js";
import { find, make, offer } from "./dom.js";
import { endVisit } from "./form.js";
import { forgetModels, showModels } from "./models.js";
import { startPlayground } from "./playground.js";
import { showSnippets } from "./snippets.js";
import { openUsage, startUsage } from "./usage.js";

const SECONDS = 5;

let held = false;
let who = null;
let listed = [];
let guarded = false;
let shownAt = null;
/** Why the last key was refused. */
let ended = "";
let timer;
/** What is under way. Another key makes another one: answers to the old key are of no use then. */
let asking = null;

/** At once; who asks while it is under way waits for that. */
function refresh() {
  clearTimeout(timer);
  if (asking === null) {
    const mine = {};
    asking = mine;
    mine.done = look(() => mine === asking).finally(() => {
      if (mine === asking) asking = null;
    });
  }
  return asking.done;
}

async function look(wanted) {
  try {
    // Sequential: where the list is open to all, it is shown without a key, too.
    const { data } = (await ask("v1/models")).json;
    if (!wanted()) return;
    listed = data;
    if (who === null) show(null);
    const state = (await ask("console/state")).json;
    if (!wanted()) return;
    admitted(state);
  } catch (error) {
    if (!wanted()) return;
    if (!(error instanceof Refused)) throw error;
    refused(error);
    // Each question without a good key would be counted as a refused caller.
    if (error.status === 401) return;
  }
  if (find("follow").checked && !document.hidden) timer = setTimeout(refresh, SECONDS * 1000);
}

function show(state) {
  open(true);
  showModels(listed, state);
  const can = (kind) => listed.filter((one) => one.capabilities.includes(kind)).map(({ id }) => id);
  offer(find("embed-model"), can("embed"));
  offer(find("embed-beside"), can("embed"), { first: "no other" });
  offer(find("rerank-model"), can("rerank"));
  offer(find("snippet-model"), listed.map(({ id }) => id));
  lack("embed-form", can("embed"), "No model here embeds.");
  lack("rerank-form", can("rerank"), "No model here reranks.");
  snippets();
}

/** Without a list of models there is nothing to be done. */
function open(is) {
  for (const section of ["playground", "rerank", "snippets"]) find(section).hidden = !is;
  document.querySelector("nav").hidden = !is;
}

/** A form without a model says so instead. */
function lack(form, names, text) {
  const status = find(form.replace("form", "status"));
  if (find(form).hidden === !names.length) return;
  find(form).hidden = !names.length;
  status.textContent = names.length ? "" : text;
}

let written = "";
function snippets() {
  const model = listed.find(({ id }) => id === find("snippet-model").value);
  // Written anew only when they change, so that a selection and the focus stay.
  const now = JSON.stringify([model?.id, model?.capabilities, guarded]);
  if (now === written) return;
  written = now;
  showSnippets(model, guarded);
}

function admitted(state) {
  ({ guarded } = state);
  find("alert").replaceChildren();
  find("version").textContent = state.version;
  shownAt = Date.now();
  age();
  show(state);
  find("usage").hidden = false;
  askForKey(state.guarded && !held);
  find("key-held").hidden = !held;
  const first = who === null || who.admin !== state.admin;
  who = state;
  if (held) find("key-whose").textContent = state.admin ? "An admin's key" : "A key";
  if (first) openUsage(state);
}

function refused(error) {
  if (error.status === 401) {
    guarded = true;
    const wrong = held;
    if (wrong) ended = error.message;
    forget({ models: listed.length > 0 && !wrong });
    alert("This gateway asks for an API key.", ended, [
      "Paste yours above. Whoever runs the gateway makes one with ",
      make("code", {}, "embedway keys create --name NAME"),
      "; with ",
      make("code", {}, "--admin"),
      " it also shows upstreams and usage.",
    ]);
    return;
  }
  if (shownAt !== null) find("age").textContent = `${told()}; no news since`;
  alert(error.message, "", ["It is asked again every few seconds."]);
}

/** Said again only when it is something else. */
function alert(title, detail, advice) {
  const notice = make(
    "div",
    { className: "notice" },
    make("p", {}, make("strong", {}, title), detail ? ` ${detail}` : ""),
    make("p", {}, ...advice),
  );
  if (find("alert").textContent !== notice.textContent) find("alert").replaceChildren(notice);
}

/** What a form was refused; a key that is good no more ends the visit. */
function failed(error) {
  if (error.status === 401) refused(error);
}

function askForKey(is) {
  find("key-form").hidden = !is;
  find("key-note").hidden = !is;
}

/** The key, and what was got with it; the models stay where they are open to all. */
function forget({ models }) {
  held = false;
  who = null;
  shownAt = null;
  useKey("");
  asking = null;
  find("key-held").hidden = true;
  find("usage").hidden = true;
  find("age").textContent = "";
  askForKey(true);
  endVisit();
  forgetModels();
  open(models);
  if (models) show(null);
  else listed = [];
}

const told = () => `As of ${new Date(shownAt).toLocaleTimeString("en-GB")}`;

function age() {
  find("age").textContent = told();
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(find("key").value.trim());
  asking = null;
  find("key").value = "";
  held = true;
  ended = "";
  refresh().then(() => find(held ? "key-forget" : "key").focus());
});
find("key-forget").addEventListener("click", () => {
  ended = "";
  forget({ models: false });
  find("alert").replaceChildren();
  find("key").focus();
  refresh();
});
find("refresh").addEventListener("click", refresh);
find("follow").addEventListener("change", refresh);
find("snippet-model").addEventListener("change", snippets);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
startPlayground(failed);
startUsage(failed);
refresh();
