/** Makes rates of totals: what was told in the last minute is kept, and subtracted. */

const SECONDS = 60;

export class History {
  #kept = [];

  /** A new answer of `/console/state`, and when it came, in seconds. */
  add(state, now) {
    const oldest = now - SECONDS - 1;
    this.#kept = this.#kept.filter(({ at }) => at >= oldest);
    this.#kept.push({ at: now, numbers: totals(state) });
  }

  clear() {
    this.#kept = [];
  }

  /** How much `texts` or `tokens` grew in a second; null while it is not known. */
  rate(model, upstream, field) {
    const where = place(model, upstream, field);
    const [first, last] = this.#ends(where);
    if (last === undefined || last.at === first.at) return null;
    return (last.numbers.get(where) - first.numbers.get(where)) / (last.at - first.at);
  }

  /** Seconds: the mean of the last minute, else of all time; null where nothing was measured. */
  latency(model, upstream) {
    const [sums, counts] = ["seconds.sum", "seconds.count"].map((name) => {
      const where = place(model, upstream, name);
      const [first, last] = this.#ends(where);
      return [first?.numbers.get(where) ?? 0, last?.numbers.get(where) ?? 0];
    });
    if (counts[1] > counts[0]) return (sums[1] - sums[0]) / (counts[1] - counts[0]);
    return counts[1] ? sums[1] / counts[1] : null;
  }

  /** Those that know it. A gateway that was restarted counts from nothing: only what came after. */
  #ends(where) {
    const known = this.#kept.filter(({ numbers }) => numbers.has(where));
    let start = 0;
    for (let i = 1; i < known.length; i += 1) {
      if (known[i].numbers.get(where) < known[i - 1].numbers.get(where)) start = i;
    }
    return [known[start], known.at(-1)];
  }
}

/** Where a number stands. */
const place = (model, upstream, field) => [model, upstream, field].join("\0");

/** Every number of an answer by its place. */
function totals(state) {
  const found = new Map();
  const add = (model, upstream, { seconds, texts, tokens }) => {
    if (seconds === undefined) return;
    const numbers = { texts, tokens, "seconds.sum": seconds.sum, "seconds.count": seconds.count };
    for (const [name, value] of Object.entries(numbers)) found.set(place(model, upstream, name), value);
  };
  for (const model of state.models) {
    add(model.id, "", model);
    for (const upstream of model.upstreams ?? []) add(model.id, upstream.name, upstream);
  }
  return found;
}
