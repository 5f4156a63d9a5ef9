// Table whose headers sort, with a filter for each column; the kernel sends the rows of one page.
const DELAY = 200; // after a key press in a filter, in milliseconds

function build(tag, traits = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(traits)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

async function writeClipboard(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const put = (event) => { // a page of plain HTTP has no other way
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("copy", put, { capture: true, once: true });
  if (!document.execCommand("copy")) throw new Error("refused");
}

function render({ model, el }) {
  const filtering = build("button", { type: "button", "aria-expanded": "false" }, "Column filters");
  const copying = build("button", { type: "button" }, "Copy rows");
  copying.title = "Copy the marked rows, or else this page. Ctrl and click or Space marks a row.";
  const clearing = build("button", { type: "button" }, "Clear sort and filters");
  const said = build("span", { className: "quiet", role: "status" });
  const tools = build("div", { className: "tools" }, filtering, copying, clearing, said);
  const place = build("div");
  const frame = build("div", { className: "bk mathjax_ignore tex2jax_ignore backupkit-table" }, tools, place);
  frame.dataset.lmSuppressShortcuts = "true"; // the keys below are not commands of JupyterLab
  el.append(frame);

  let table = null;
  let shape = ""; // of the head: it is built again only if the columns change
  let isFiltering = false;
  let marked = new Set(); // numbers of rows
  let anchor = null; // row from which a range is marked
  let current = 0; // row that the Tab key reaches
  let timer = 0;

  const headers = () => [...table.tHead.rows[0].querySelectorAll("button")];
  const rows = () => (table ? [...table.tBodies[0].rows] : []);
  const numberOf = (row) => Number(row.dataset.number);

  function load() {
    const template = document.createElement("template");
    template.innerHTML = model.get("value");
    const fresh = template.content.querySelector("table");
    frame.style.display = model.get("value") ? "" : "none";
    tools.style.display = fresh ? "" : "none";
    if (!fresh) {
      table = null;
      shape = "";
      place.replaceChildren(template.content);
      return;
    }
    const head = model.get("head");
    const newShape = JSON.stringify(head.map(({ title, kind, options }) => [title, kind, options]));
    const focused = rows().indexOf(document.activeElement);
    // the old rows go last, when the focus has moved to the new ones: the page never loses it
    let old;
    if (newShape === shape) {
      old = [table.tBodies[0]];
      table.tBodies[0].before(fresh.tBodies[0]);
      table.caption.replaceWith(fresh.caption);
    } else {
      old = [...place.childNodes];
      shape = newShape;
      table = fresh;
      buildHead(head);
      place.append(template.content);
    }
    updateHead(head);
    updateRows(focused);
    for (const node of old) node.remove();
  }

  function buildHead(head) {
    table.setAttribute("role", "grid");
    table.setAttribute("aria-multiselectable", "true");
    table.setAttribute("aria-label", model.get("label"));
    const [titles] = table.tHead.rows;
    titles.setAttribute("aria-rowindex", 1);
    head.forEach((column, index) => {
      const sign = build("span", { className: "sign", "aria-hidden": "true" });
      const button = build("button", { type: "button", tabIndex: index ? -1 : 0 }, column.title, sign);
      button.title = "Sort; with Shift, after the columns that are sorted already";
      button.addEventListener("click", (event) => sort(column.title, event.shiftKey));
      titles.cells[index].replaceChildren(button);
    });
    const filters = build("tr", { className: "filters", "aria-rowindex": 2 });
    filters.append(...head.map((column) => build("td", {}, buildFilter(column))));
    table.tHead.append(filters);
  }

  function buildFilter(column) {
    const send = (wanted) => model.send({ kind: "filter", title: column.title, wanted });
    if (column.kind === "choice") {
      const boxes = column.options.map(([value, text]) => {
        const box = build("input", { type: "checkbox", value });
        box.addEventListener("change", () => send(boxes.filter((one) => one.checked).map((one) => one.value)));
        box.text = text;
        return box;
      });
      const labels = boxes.map((box) => build("label", {}, box, ` ${box.text}`));
      return build("details", {}, build("summary", { "aria-label": `Filter ${column.title}` }, "all"), ...labels);
    }
    const how = column.kind === "range" ? `from..to, such as ${column.example}` : "contains";
    const input = build("input", { type: "search", "aria-label": `Filter ${column.title}: ${how}` });
    input.placeholder = column.kind === "range" ? "from..to" : "contains";
    const act = () => {
      clearTimeout(timer);
      timer = 0;
      send(input.value);
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(act, DELAY);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") act();
    });
    return input;
  }

  function updateHead(head) {
    const isChanged = head.some((column) => column.place || column.wanted.length);
    isFiltering ||= head.some((column) => column.wanted.length);
    clearing.style.display = isChanged ? "" : "none";
    filtering.setAttribute("aria-expanded", String(isFiltering));
    const [titles, filters] = table.tHead.rows;
    filters.style.display = isFiltering ? "" : "none";
    const several = head.filter((column) => column.place).length > 1;
    head.forEach((column, index) => {
      const cell = titles.cells[index];
      const direction = column.descending ? "descending" : "ascending";
      cell.setAttribute("aria-sort", column.place ? direction : "none");
      const sign = column.place ? ` ${column.descending ? "▼" : "▲"}${several ? column.place : ""}` : "";
      cell.querySelector(".sign").textContent = sign;
      const filter = filters.cells[index].firstChild;
      if (column.kind === "choice") {
        const boxes = [...filter.querySelectorAll("input")];
        for (const box of boxes) box.checked = column.wanted.includes(box.value);
        const texts = boxes.filter((box) => box.checked).map((box) => box.text);
        filter.firstChild.textContent = texts.join(", ") || "all";
        return;
      }
      // what is being typed is newer than what the kernel has
      if (filter !== document.activeElement || !timer) filter.value = column.wanted;
      filter.setAttribute("aria-invalid", String(Boolean(column.error)));
      filter.title = column.error;
    });
    const errors = head.map((column) => column.error).filter(Boolean);
    if (errors.length || said.classList.contains("breach")) said.textContent = errors.join(" ");
    said.classList.toggle("breach", errors.length > 0);
  }

  function updateRows(focused) {
    table.setAttribute("aria-rowcount", model.get("total") + 2);
    rows().forEach((row, index) => {
      row.dataset.number = row.querySelector("[data-pick]").dataset.pick;
      row.setAttribute("aria-rowindex", model.get("first") + index + 3);
    });
    current = Math.min(Math.max(focused, 0), rows().length - 1);
    showMarks();
    if (focused >= 0) rows()[current]?.focus();
  }

  function showMarks() {
    rows().forEach((row, index) => {
      const isChosen = row.querySelector("[data-pick]").getAttribute("aria-pressed") === "true";
      const isMarked = marked.has(numberOf(row));
      row.setAttribute("aria-selected", String(isChosen || isMarked));
      row.classList.toggle("marked", isMarked);
      row.tabIndex = index === Math.max(current, 0) ? 0 : -1;
    });
  }

  const sort = (title, add) => model.send({ kind: "sort", title, add });
  const pick = (row) => model.send({ kind: "pick", row: numberOf(row) });

  function mark(row, isRange) {
    const number = numberOf(row);
    if (!isRange || anchor === null) {
      anchor = number;
      if (!marked.delete(number)) marked.add(number);
    } else {
      const shown = rows().map(numberOf);
      const ends = [Math.max(shown.indexOf(anchor), 0), shown.indexOf(number)].sort((a, b) => a - b);
      for (const one of shown.slice(ends[0], ends[1] + 1)) marked.add(one);
    }
    showMarks();
    sayMarked();
  }

  const sayMarked = () => {
    said.textContent = `${marked.size} ${marked.size === 1 ? "row" : "rows"} marked`;
  };

  function markNone() {
    marked = new Set();
    anchor = null;
  }

  function copy(row) {
    const numbers = marked.size ? [...marked] : row ? [numberOf(row)] : rows().map(numberOf);
    model.send({ kind: "copy", rows: numbers });
  }

  function go(index) {
    const all = rows();
    if (!all.length) return;
    current = Math.min(Math.max(index, 0), all.length - 1);
    showMarks();
    all[current].focus();
  }

  function onRowKey(event, row) {
    const index = rows().indexOf(row);
    const isCommand = event.ctrlKey || event.metaKey;
    const move = (step) => {
      if (index + step < 0) headers().find((button) => button.tabIndex === 0).focus();
      else go(index + step);
      if (!event.shiftKey) return;
      if (!marked.has(numberOf(row))) mark(row, false);
      mark(rows()[current], true);
    };
    const keys = isCommand
      ? {
        a: () => {
          for (const one of rows()) marked.add(numberOf(one));
          showMarks();
          sayMarked();
        },
        c: () => copy(row),
      }
      : {
        ArrowDown: () => move(1),
        ArrowUp: () => move(-1),
        Home: () => go(0),
        End: () => go(rows().length - 1),
        PageDown: () => model.send({ kind: "page", step: 1 }),
        PageUp: () => model.send({ kind: "page", step: -1 }),
        Enter: () => pick(row),
        " ": () => mark(row, event.shiftKey),
        Escape: () => {
          markNone();
          showMarks();
          sayMarked();
        },
      };
    const key = isCommand ? event.key.toLowerCase() : event.key;
    if (isCommand && key === "c" && String(document.getSelection())) return; // of this text
    if (!keys[key] || event.altKey) return;
    event.preventDefault();
    keys[key]();
  }

  function onHeaderKey(event, button) {
    const all = headers();
    const index = all.indexOf(button);
    const move = (to) => {
      const next = all[Math.min(Math.max(to, 0), all.length - 1)];
      for (const one of all) one.tabIndex = one === next ? 0 : -1;
      next.focus();
    };
    const add = () => sort(model.get("head")[index].title, event.shiftKey);
    const keys = {
      ArrowRight: () => move(index + 1),
      ArrowLeft: () => move(index - 1),
      Home: () => move(0),
      End: () => move(all.length - 1),
      ArrowDown: () => go(0),
      Enter: add,
      " ": add,
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  place.addEventListener("keydown", (event) => {
    if (rows().includes(event.target)) onRowKey(event, event.target);
    else if (table && headers().includes(event.target)) onHeaderKey(event, event.target);
    event.stopPropagation();
  });
  place.addEventListener("mousedown", (event) => {
    if (event.shiftKey) event.preventDefault(); // else the browser selects text
  });
  place.addEventListener("click", (event) => {
    const own = event.target.closest("a, summary, button, input, label");
    if (own && !own.hasAttribute("data-pick")) return;
    const row = event.target.closest("tbody tr");
    if (!row) return;
    const isMarking = event.ctrlKey || event.metaKey || event.shiftKey;
    if (!own && !isMarking && String(document.getSelection())) return; // text is being selected
    go(rows().indexOf(row));
    if (isMarking) mark(row, event.shiftKey);
    else pick(row);
  });
  filtering.addEventListener("click", () => {
    isFiltering = !isFiltering;
    const filters = table.tHead.rows[1];
    filters.style.display = isFiltering ? "" : "none";
    filtering.setAttribute("aria-expanded", String(isFiltering));
    if (isFiltering) filters.querySelector("input, summary").focus();
  });
  copying.addEventListener("click", () => copy(null));
  clearing.addEventListener("click", () => {
    isFiltering = false;
    model.send({ kind: "clear" });
    filtering.focus(); // this button disappears
  });

  const take = async (content) => {
    if (content.kind !== "copied") return;
    try {
      await writeClipboard(content.text);
      said.textContent = content.said;
    } catch {
      said.textContent = "Not copied: the browser does not let this page use the clipboard.";
    }
  };
  model.on("msg:custom", take);
  model.on("change:number", markNone);
  model.on("change", load);
  load();
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", take);
    model.off("change:number", markNone);
    model.off("change", load);
  };
}

export default { render };
