// Light up an appliance wherever it has a row, name what is below the pointer, reach wide tables.
(() => {
  const KEY = /^#?a\d+$/;
  const places = new Map(); // elements of each appliance, by the id of its row
  const owners = new Map(); // the other way round
  const add = (key, element) => {
    if (!places.has(key)) places.set(key, []);
    places.get(key).push(element);
    owners.set(element, key);
  };
  for (const row of document.querySelectorAll("tr[id]")) if (KEY.test(row.id)) add(row.id, row);
  for (const link of document.querySelectorAll("th[scope=row] > a, .chips a")) {
    const href = link.getAttribute("href");
    if (KEY.test(href)) add(href.slice(1), link.closest("tr, .chips li"));
  }
  document.querySelectorAll(".dots i").forEach((dot, n) => add(`a${n}`, dot));

  let lit = null;
  const light = (key) => {
    if (key === lit) return;
    for (const element of places.get(lit) ?? []) element.classList.remove("lit");
    for (const element of places.get(key) ?? []) element.classList.add("lit");
    lit = key;
  };
  const describe = (key) => {
    const row = document.getElementById(key);
    return row ? [0, 2, 3].map((n) => row.cells[n].textContent.trim()).join(", ") : "";
  };
  const days = [...document.querySelectorAll("#nights thead .cells i")].map((day) => day.dataset.day);
  const dayAt = (cells, x) => {
    const { left } = cells.firstElementChild.getBoundingClientRect();
    const { right } = cells.lastElementChild.getBoundingClientRect();
    return days[Math.floor(((x - left) / (right - left)) * days.length)] ?? "";
  };
  document.addEventListener("pointermove", (event) => {
    const { target } = event;
    if (!(target instanceof Element)) return;
    const owner = target.closest("tr, .chips li, .dots i");
    const key = owners.get(owner) ?? owners.get(owner?.previousElementSibling) ?? null;
    light(key);
    if (owner?.matches(".dots i")) owner.title = describe(key);
    const cells = target.closest("tbody td.cells");
    if (cells) cells.title = dayAt(cells, event.clientX);
  });
  document.addEventListener("pointerleave", () => light(null));
  document.addEventListener("click", ({ target }) => {
    const dot = target instanceof Element && target.closest(".dots i");
    if (dot) location.hash = owners.get(dot);
  });

  // what has to be scrolled can be reached with the keyboard
  const reach = () => {
    for (const part of document.querySelectorAll(".scroll:not([role]), .inner")) {
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  reach();
})();
