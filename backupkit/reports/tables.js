// Sort, find and page the rows of long tables. Without scripts all rows are there, the worst first.
"use strict";
(() => {
  const isNarrow = matchMedia("(max-width: 640px)").matches;
  const PAGE = isNarrow ? 20 : 100;
  const UNITS = { d: 86400, h: 3600, min: 60, s: 1 };

  // what a cell says, as something that can be ordered; what is not known comes last
  const keyOf = (text) => {
    const plain = text.trim();
    if (!plain || plain === "no data") return null;
    if (/^\d{4}-\d\d-\d\d/.test(plain)) return Date.parse(plain.slice(0, 16).replace(" ", "T") + "Z");
    const spans = plain.includes("%") ? [] : [...plain.matchAll(/(\d+) (d|h|min|s)\b/g)];
    if (spans.length && /^(over )?\d/.test(plain)) return spans.reduce((sum, [, n, unit]) => sum + n * UNITS[unit], 0);
    if (plain.startsWith("< ")) return parseFloat(plain.slice(2)) / 2;
    const number = parseFloat(plain.replaceAll(",", ""));
    return Number.isNaN(number) ? plain.toLowerCase() : number;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  };
  const make = (name, text, of, kind) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    if (of) of.append(made);
    return made;
  };

  // browsers whose style sheets cannot open them
  if (!isNarrow) for (const fold of document.querySelectorAll(".fold")) fold.open = true;

  for (const table of document.querySelectorAll("table[data-sift]")) {
    const heads = [...table.tHead.rows[0].cells];
    const units = [...table.tBodies]; // one per row and what belongs to it
    const texts = new Map(units.map((unit) => [unit, unit.textContent.toLowerCase()]));
    let order = units.slice();
    let shown = PAGE;
    let sortedBy = -1;
    let down = false;

    const bar = document.createElement("div");
    bar.className = "sift";
    bar.setAttribute("role", "search");
    const label = make("label", "Find ", bar);
    const find = make("input", "", label);
    find.type = "search";
    find.setAttribute("autocomplete", "off");
    const choices = make("label", "State ", bar);
    const state = make("select", "", choices);
    const stateOf = (unit) => unit.querySelector(".s").textContent.trim();
    for (const word of ["all", ...new Set(units.map(stateOf))]) make("option", word, state);
    const told = make("span", "", bar, "quiet");
    told.setAttribute("role", "status");
    const more = make("button", "", null, "sift-more");
    more.type = "button";
    table.parentElement.before(bar);
    table.parentElement.after(more);

    const fits = (unit) =>
      (state.selectedIndex === 0 || stateOf(unit) === state.value) &&
      find.value.toLowerCase().split(/\s+/).every((word) => texts.get(unit).includes(word));
    const show = () => {
      const fitting = order.filter(fits);
      const visible = new Set(fitting.slice(0, shown));
      for (const unit of units) unit.hidden = !visible.has(unit);
      told.textContent = `${visible.size} of ${units.length} shown`;
      const left = fitting.length - visible.size;
      more.hidden = left <= 0;
      more.textContent = `Show ${Math.min(left, PAGE)} more of ${left}`;
    };
    const sort = (column) => {
      down = sortedBy === column && !down;
      sortedBy = column;
      const keys = new Map(units.map((unit) => [unit, keyOf(unit.rows[0].cells[column].textContent)]));
      order = units.slice().sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        const known = (x === null) - (y === null);
        return known || (down ? -1 : 1) * compare(x, y);
      });
      table.append(...order);
      heads.forEach((head, n) => head.setAttribute("aria-sort", n !== column ? "none" : down ? "descending" : "ascending"));
      show();
    };
    heads.forEach((head, column) => {
      const button = make("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(column));
    });
    const again = () => { shown = PAGE; show(); };
    find.addEventListener("input", again);
    state.addEventListener("change", again);
    more.addEventListener("click", () => { shown += PAGE; show(); });

    // a link may lead to a row that is not shown
    const reveal = () => {
      const unit = document.getElementById(location.hash.slice(1))?.closest("tbody");
      if (!unit || !texts.has(unit)) return;
      if (unit.hidden) {
        find.value = "";
        state.selectedIndex = 0;
        shown = Math.max(shown, order.indexOf(unit) + 1);
        show();
      }
      for (let part = unit.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
      unit.scrollIntoView();
    };
    addEventListener("hashchange", reveal);
    addEventListener("beforeprint", () => { for (const unit of units) unit.hidden = !fits(unit); });
    addEventListener("afterprint", show);
    show();
    if (location.hash) reveal();
  }
})();
