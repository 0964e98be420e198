/** Writes what to paste, for the model and the address of this page. */

import { address } from "./api.js";
import { find, make } from "./dom.js";

/** In single quotes for a shell. */
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
/** A string of JSON is one of Python, too. */
const quoted = (text) => JSON.stringify(text);

const curl = (base, path, body, guarded) =>
  [
    `curl ${shell(`${base}/${path}`)}`,
    "-H 'content-type: application/json'",
    ...(guarded ? ['-H "Authorization: Bearer $EMBEDWAY_API_KEY"'] : []),
    `-d ${shell(JSON.stringify(body))}`,
  ].join(" \\\n  ");

const openai = (base, guarded, ...call) =>
  [
    ...(guarded ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${quoted(base)}, api_key=${guarded ? 'os.environ["EMBEDWAY_API_KEY"]' : '"none"'})`,
    ...call,
  ].join("\n");

/** Our classes send no key over plain http beyond this machine unless they are told to. */
const exposed = (base, guarded) => {
  const { protocol, hostname } = new URL(base);
  const near = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  return guarded && protocol === "http:" && !near;
};
const place = (model, base, guarded) =>
  `model=${quoted(model)}, base_url=${quoted(base)}` +
  (exposed(base, guarded) ? ", insecure=True" : "");

const TEXT = "The Danube flows into the Black Sea.";
const QUERY = "Where does the Danube end?";

function embedding(model, base, guarded) {
  const ours = place(model, base, guarded);
  return {
    curl: curl(base, "embeddings", { model, input: [TEXT] }, guarded),
    openai: openai(
      base,
      guarded,
      `answer = client.embeddings.create(model=${quoted(model)}, input=[${quoted(TEXT)}])`,
      "print(len(answer.data[0].embedding))",
    ),
    LangChain: [
      "from langchain_embedway import EmbedwayEmbeddings",
      "",
      `embeddings = EmbedwayEmbeddings(${ours})`,
      `print(len(embeddings.embed_query(${quoted(QUERY)})))`,
    ].join("\n"),
    LlamaIndex: [
      "from llama_index.embeddings.embedway import EmbedwayEmbedding",
      "",
      `embedding = EmbedwayEmbedding(${ours})`,
      `print(len(embedding.get_query_embedding(${quoted(QUERY)})))`,
    ].join("\n"),
  };
}

function reranking(model, base, guarded) {
  return {
    "curl, rerank": curl(base, "rerank", { model, query: QUERY, documents: [TEXT] }, guarded),
    "LangChain, rerank": [
      "from langchain_embedway import EmbedwayRerank",
      "",
      `reranker = EmbedwayRerank(${place(model, base, guarded)})`,
      `print(reranker.rerank([${quoted(TEXT)}], ${quoted(QUERY)}))`,
    ].join("\n"),
  };
}

function chatting(model, base, guarded) {
  const messages = [{ role: "user", content: QUERY }];
  return {
    "curl, chat": curl(base, "chat/completions", { model, messages }, guarded),
    "openai, chat": openai(
      base,
      guarded,
      `messages = ${JSON.stringify(messages)}`,
      `answer = client.chat.completions.create(model=${quoted(model)}, messages=messages)`,
      "print(answer.choices[0].message.content)",
    ),
  };
}

const KINDS = { embed: embedding, rerank: reranking, chat: chatting };

/** `model` is an entry of `/v1/models`, or undefined while there is none. */
export function showSnippets(model, guarded) {
  const base = address("v1");
  const found = Object.assign(
    {},
    ...(model?.capabilities ?? []).map((kind) => KINDS[kind]?.(model.id, base, guarded)),
  );
  let note = guarded
    ? "Each takes the key from the environment variable EMBEDWAY_API_KEY."
    : "This gateway asks for no key.";
  if (exposed(base, guarded)) {
    note += " This address is plain http, so the key can be read on its way: prefer https.";
  }
  find("snippet-note").textContent = note;
  find("snippet-list").replaceChildren(...Object.entries(found).map(snippet));
}

function snippet([client, text]) {
  const code = make("pre", { tabIndex: 0, role: "region", "aria-label": client }, text);
  const button = make("button", { type: "button", "aria-label": `Copy ${client}` }, "Copy");
  button.addEventListener("click", () => copy(code, button, client));
  const head = make("div", { className: "head" }, make("h3", {}, client), button);
  return make("div", { className: "snippet" }, head, code);
}

/** Without https the clipboard is closed to pages beyond loopback: then it is selected. */
async function copy(code, button, client) {
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    done = "Selected";
  }
  button.textContent = done;
  find("copied").textContent = `${client}: ${done.toLowerCase()}.`;
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
