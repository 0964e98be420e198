/** Shows who used how much; for admins. */

import { ask } from "./api.js";
import { find, table } from "./dom.js";
import { onSubmit } from "./form.js";
import { count } from "./format.js";

const COUNTS = ["requests", "texts", "tokens", "errors", "cached", "limited"];
const DAY = 86_400_000;

export function startUsage(failed) {
  onSubmit("usage", show, failed);
}

/** Asked for at once by whoever may; others are told. */
export function openUsage({ admin }) {
  find("usage-form").hidden = !admin;
  if (admin) find("usage-form").requestSubmit();
  else find("usage-status").textContent = "Usage is shown to keys with admin rights.";
}

async function show() {
  const by = find("usage-by").value.split(" ");
  const days = Number(find("usage-days").value);
  const since = new Date(Date.now() - (days - 1) * DAY).toISOString().slice(0, 10);
  const query = new URLSearchParams([["since", since], ...by.map((one) => ["by", one])]);
  const { data } = (await ask(`admin/usage?${query}`)).json;
  if (!data.length) return [`Nothing was used since ${since}.`];
  const sum = (name) => count(data.reduce((total, row) => total + row[name], 0));
  const found = table({
    caption: `Usage since ${since}, by ${by.join(" and ")}`,
    columns: [...by, ...COUNTS],
    numeric: COUNTS.map((_, place) => by.length + place),
    rows: data.map((row) => [
      ...by.map((name) => row[name] || "(no key)"),
      ...COUNTS.map((name) => count(row[name])),
    ]),
    foot: ["All", ...by.slice(1).map(() => ""), ...COUNTS.map(sum)],
  });
  return ["", found];
}
