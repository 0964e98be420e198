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

  /** How much a total grew in a second; null while it is not known. */
  rate(place) {
    const [first, last] = this.#ends(place);
    if (last === undefined || last.at === first.at) return null;
    return (last.numbers.get(place) - first.numbers.get(place)) / (last.at - first.at);
  }

  /** The mean of the last minute, else of all time; null where nothing was measured. */
  mean(place) {
    const [first, last] = this.#ends(`${place}.count`);
    if (last === undefined) return null;
    const [sum, number] = ["sum", "count"].map((name) => last.numbers.get(`${place}.${name}`));
    const before = first.numbers.get(`${place}.count`);
    if (number > before) {
      return (sum - first.numbers.get(`${place}.sum`)) / (number - before);
    }
    return number ? sum / number : null;
  }

  /** Those that know it. A gateway that was restarted counts from nothing: only what came after. */
  #ends(place) {
    const known = this.#kept.filter(({ numbers }) => numbers.has(place));
    let start = 0;
    for (let i = 1; i < known.length; i += 1) {
      if (known[i].numbers.get(place) < known[i - 1].numbers.get(place)) start = i;
    }
    return [known[start], known.at(-1)];
  }
}

/** Every number of an answer by its place: "org/m", then upstream, then field. */
function totals(state) {
  const found = new Map();
  const walk = (place, value) => {
    if (typeof value === "number") found.set(place, value);
    else if (value !== null && typeof value === "object") {
      for (const [name, inner] of Object.entries(value)) walk(`${place}.${name}`, inner);
    }
  };
  for (const { id, upstreams = [], ...facts } of state.models) {
    walk(id, facts);
    for (const { name, ...inner } of upstreams) walk(`${id}/${name}`, inner);
  }
  return found;
}
