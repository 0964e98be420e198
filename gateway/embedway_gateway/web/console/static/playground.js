/** The two things to try: how close texts are, and documents in the order of relevance. */

import { ask } from "./api.js";
import { find, lines, make, table } from "./dom.js";
import { onSubmit } from "./form.js";
import { count, duration } from "./format.js";
import { cosines, heatMap, vectors } from "./heatmap.js";

const MOST = 40;

export function startPlayground(failed) {
  onSubmit("embed", compare, failed);
  onSubmit("rerank", rank, failed);
}

async function compare() {
  const texts = lines(find("texts"));
  if (texts.length < 2 || texts.length > MOST) {
    throw new Error(`Give from 2 to ${MOST} texts, one a line; there are ${texts.length}.`);
  }
  const type = find("embed-form").elements["input-type"].value;
  const beside = find("embed-beside").value;
  const models = [find("embed-model").value, ...(beside ? [beside] : [])];
  const found = await Promise.all(models.map((model) => embed(model, texts, type)));
  const said = [`Compared ${texts.length} texts.`];
  if (found.length > 1) {
    said.push("Each map has the cosines of one model; look at their order, for numbers of two");
    said.push("models are not comparable.");
  }
  return [said.join(" "), ...found.map((one) => figure(one, texts))];
}

async function embed(model, texts, type) {
  const started = performance.now();
  const { json, headers } = await ask("v1/embeddings", {
    model,
    input: texts,
    input_type: type,
    encoding_format: "base64",
  });
  const seconds = (performance.now() - started) / 1000;
  return { model, rows: vectors(json.data), usage: json.usage, headers, seconds };
}

function figure({ model, rows, usage, headers, seconds }, texts) {
  const facts = [
    `${rows[0].length} dimensions`,
    `${count(usage.total_tokens)} tokens`,
    duration(seconds),
    `answered by ${headers.get("x-embedway-upstream")}`,
  ];
  const space = headers.get("x-embedway-vector-space");
  if (space) facts.push(`space ${space}`);
  return make(
    "figure",
    {},
    make(
      "figcaption",
      {},
      make("strong", {}, model),
      make("span", { className: "quiet" }, facts.join(" · ")),
    ),
    heatMap(cosines(rows), texts, `Cosines by ${model}`),
  );
}

async function rank() {
  const documents = lines(find("documents"));
  const model = find("rerank-model").value;
  if (!documents.length) throw new Error("Give at least one document.");
  const { json, headers } = await ask("v1/rerank", {
    model,
    query: find("query").value,
    documents,
  });
  const ranking = table({
    caption: `Relevance by ${model}`,
    columns: ["rank", "score", "document", "line"],
    numeric: [0, 1, 3],
    rows: json.results.map(({ index, relevance_score: score }, place) => [
      String(place + 1),
      score.toPrecision(4),
      documents[index],
      String(index + 1),
    ]),
  });
  const upstream = headers.get("x-embedway-upstream");
  return [`Ranked ${documents.length} documents; answered by ${upstream}.`, ranking];
}
