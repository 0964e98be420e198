/** Does what a form asks for, and shows what came of it, as long as the same key is in use. */

import { find } from "./dom.js";

const results = new Set();
let visit = 0;

/**
 * `work` gives a sentence and elements; `failed` is told of errors. Called `NAME`, the form is
 * `NAME-form`, its line `NAME-status` and the place of the elements `NAME-result`.
 */
export function onSubmit(name, work, failed) {
  const [form, line, place] = ["form", "status", "result"].map((part) => find(`${name}-${part}`));
  const button = form.querySelector("button");
  const say = (text, bad = false) => {
    line.classList.toggle("bad", bad);
    line.textContent = text;
  };
  results.add(line).add(place);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // One at a time. Not `disabled`, which would take the focus away.
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    const mine = visit;
    say("Asking …");
    try {
      const [text, ...elements] = await work();
      if (mine !== visit) return;
      place.replaceChildren(...elements);
      say(text);
    } catch (error) {
      if (mine !== visit) return;
      place.replaceChildren();
      say(error.message, true);
      failed(error);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

/** What was shown was got with a key that is not in use any more. */
export function endVisit() {
  visit += 1;
  for (const element of results) element.replaceChildren();
}
