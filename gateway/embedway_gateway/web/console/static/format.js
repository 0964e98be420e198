/** Numbers as they are read. */

const whole = new Intl.NumberFormat("en");

export const count = (value) => whole.format(Math.round(value));

/** A few digits, whatever the size; `null` is unknown. */
export function rate(value) {
  if (value === null) return "–";
  return value === 0 || value >= 100 ? count(value) : value.toPrecision(2);
}

export function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.0995) return `${(seconds * 1000).toPrecision(2)} ms`;
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toPrecision(2)} s`;
}

export const percent = (part, all) => (all ? `${Math.round((100 * part) / all)} %` : "–");
