/** Draws the cosines of vectors as a table whose cells have a colour. */

import { make } from "./dom.js";

/** Vectors of an answer in base64, little-endian float32. */
export function vectors(data) {
  const rows = [];
  for (const { index, embedding } of data) {
    const bytes = Uint8Array.from(atob(embedding), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    rows[index] = Float32Array.from({ length: bytes.length / 4 }, (_, place) =>
      view.getFloat32(4 * place, true),
    );
  }
  return rows;
}

/** Of all pairs of rows of one model; rows of two models have no cosine. */
export function cosines(rows) {
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)));
  return rows.map((a, i) => rows.map((b, j) => dot(a, b) / (lengths[i] * lengths[j])));
}

/** From blue over grey to red, as in `embedway similarity --out`; 1 is the end of it. */
const STOPS = [[59, 76, 192], [221, 221, 221], [180, 4, 38]];

function colour(share) {
  const place = Math.min(1, Math.max(0, share)) * 2;
  const [from, to] = place < 1 ? [STOPS[0], STOPS[1]] : [STOPS[1], STOPS[2]];
  const part = place < 1 ? place : place - 1;
  return from.map((value, channel) => Math.round(value + (to[channel] - value) * part));
}

/** Black or white, whichever has more contrast: of the two, one has 4.5 : 1 on any colour. */
function ink(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function paint(element, rgb) {
  element.style.backgroundColor = `rgb(${rgb.join(" ")})`;
  element.style.color = ink(rgb);
  return element;
}

/** The table and the legend of its colours, which begin at 0, or below where a cosine is. */
export function heatMap(matrix, texts, caption) {
  const least = Math.min(0, ...matrix.flat());
  const share = (value) => (value - least) / (1 - least);
  const number = (place) => String(place + 1);
  const row = (values, i) =>
    make(
      "tr",
      {},
      make(
        "th",
        { scope: "row", title: texts[i] },
        make("span", { className: "ordinal" }, `${number(i)} `),
        texts[i],
      ),
      ...values.map((value, j) =>
        paint(
          make("td", { title: `${number(i)} and ${number(j)}: ${value.toFixed(6)}` }, value.toFixed(3)),
          colour(share(value)),
        ),
      ),
    );
  const head = texts.map((text, i) => make("th", { scope: "col", title: text }, number(i)));
  return make(
    "div",
    {},
    make(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
      make(
        "table",
        { className: "heat" },
        make("caption", {}, caption),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "text"), ...head)),
        make("tbody", {}, ...matrix.map(row)),
      ),
    ),
    legend(least),
  );
}

function legend(least) {
  const canvas = make("canvas", { width: 128, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${colour(x / (canvas.width - 1)).join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
  return make("p", { className: "legend" }, least.toFixed(2), canvas, "1.00");
}
