/** Elements out of names, attributes and text; what a server says is never read as markup. */

export const find = (id) => document.getElementById(id);

/** `className` and the like are properties; strings among the children become text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A table that can be scrolled, also by keyboard; `numeric` are the columns with numbers. */
export function table({ caption, columns, rows, foot = null, numeric = [] }) {
  const cells = (row, head) =>
    row.map((content, place) =>
      make(
        place === 0 || head ? "th" : "td",
        {
          className: numeric.includes(place) ? "number" : "",
          ...(head ? { scope: "col" } : place === 0 ? { scope: "row" } : {}),
        },
        content,
      ),
    );
  const body = rows.map((row) => make("tr", {}, ...cells(row, false)));
  return make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    make(
      "table",
      {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...cells(columns, true))),
      make("tbody", {}, ...body),
      foot && make("tfoot", {}, make("tr", {}, ...cells(foot, false))),
    ),
  );
}

/**
 * Makes `old` what `fresh` is, and leaves alone what is the same: whoever has the focus there, or
 * scrolled or selected something, does not lose it.
 */
export function renew(old, fresh) {
  if (old.nodeName !== fresh.nodeName) old.replaceWith(fresh);
  else if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else {
    for (const name of fresh.getAttributeNames()) {
      const value = fresh.getAttribute(name);
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    renewChildren(old, Array.from(fresh.childNodes));
  }
}

export function renewChildren(element, fresh) {
  if (element.childNodes.length !== fresh.length) element.replaceChildren(...fresh);
  else fresh.forEach((child, place) => renew(element.childNodes[place], child));
}

/** The choices of a select, with what was chosen kept where it is still there. */
export function offer(select, names, { first = null } = {}) {
  const before = select.value;
  const wanted = (first === null ? [] : [["", first]]).concat(names.map((name) => [name, name]));
  const now = Array.from(select.options, (option) => option.value);
  if (wanted.map(([value]) => value).join("\n") === now.join("\n")) return;
  select.replaceChildren(...wanted.map(([value, text]) => make("option", { value }, text)));
  if (wanted.some(([value]) => value === before)) select.value = before;
}

/** The lines of a text area that hold something. */
export const lines = (area) => area.value.split("\n").map((line) => line.trim()).filter(Boolean);
