// A picture that reports clicks, brushed spans and chosen rows, and whether the page is dark.

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "backupkit-picture";
  frame.style.cssText = "position: relative; width: fit-content; max-width: 100%;";
  const image = document.createElement("img");
  image.draggable = false;
  image.style.cssText = "display: block; max-width: 100%; height: auto;";
  const band = document.createElement("div");
  band.style.cssText =
    "position: absolute; top: 0; bottom: 0; display: none; pointer-events: none;" +
    " background: rgba(0, 114, 178, 0.2); border: solid #0072b2; border-width: 0 1px;";
  const names = document.createElement("div");
  names.setAttribute("role", "group");
  frame.append(image, band, names);
  el.append(frame);

  const show = () => {
    const src = model.get("src");
    frame.style.display = src ? "block" : "none";
    if (src) image.src = src;
    image.alt = model.get("alt");
    image.style.cursor = model.get("brushes") ? "crosshair" : model.get("clicks") ? "pointer" : "default";
  };
  model.on("change:src change:alt change:brushes change:clicks", show);
  show();

  // a button over each name: one stop of the Tab key, then the arrow keys
  const build = (index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = index === 0 ? 0 : -1;
    button.addEventListener("click", () => model.send({ kind: "row", row: index }));
    button.addEventListener("pointerenter", () => (button.style.background = "rgba(0, 114, 178, 0.14)"));
    button.addEventListener("pointerleave", () => paint(button));
    return button;
  };
  const paint = (button) => {
    const chosen = button.getAttribute("aria-pressed") === "true";
    button.style.background = chosen ? "rgba(0, 114, 178, 0.22)" : "none";
  };
  // buttons are kept and the focus moves before one goes: the page never loses it
  const list = () => {
    const rows = model.get("rows");
    const focused = [...names.children].indexOf(document.activeElement);
    names.setAttribute("aria-label", model.get("alt"));
    for (let index = names.children.length; index < rows.length; index += 1) names.append(build(index));
    rows.forEach(([name, top, height, chosen], index) => {
      const button = names.children[index];
      button.title = name;
      button.setAttribute("aria-label", name);
      button.setAttribute("aria-pressed", String(chosen));
      button.style.cssText =
        "position: absolute; left: 0; padding: 0; border: 0; border-radius: 3px; cursor: pointer;" +
        ` top: ${100 * top}%; height: ${100 * height}%; width: ${100 * model.get("edge")}%;`;
      paint(button);
    });
    focus(Math.min(Math.max(focused, 0), rows.length - 1), focused >= 0);
    while (names.children.length > rows.length) names.lastChild.remove();
  };
  const focus = (index, isWanted = true) => {
    const next = names.children[index];
    if (!next) return;
    for (const button of names.children) button.tabIndex = button === next ? 0 : -1;
    if (isWanted) next.focus({ preventScroll: true });
  };
  names.addEventListener("keydown", (event) => {
    const last = names.children.length - 1;
    const index = [...names.children].indexOf(document.activeElement);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: last }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    focus(Math.min(Math.max(target, 0), last));
  });
  model.on("change:rows", list);
  list();

  const place = (event) => {
    const box = image.getBoundingClientRect();
    const part = (value, size) => Math.min(Math.max(value / size, 0), 1);
    return [part(event.clientX - box.left, box.width), part(event.clientY - box.top, box.height)];
  };
  let from = null;
  image.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = place(event);
    image.setPointerCapture(event.pointerId);
  });
  image.addEventListener("pointermove", (event) => {
    if (from === null || !model.get("brushes")) return;
    const [x] = place(event);
    const [left, right] = [Math.min(from[0], x), Math.max(from[0], x)];
    band.style.display = "block";
    band.style.left = `${100 * left}%`;
    band.style.width = `${100 * (right - left)}%`;
  });
  image.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [x, y] = place(event);
    const far = Math.abs(x - from[0]) * image.clientWidth > 6;
    if (far && model.get("brushes")) {
      model.send({ kind: "brush", from: Math.min(from[0], x), to: Math.max(from[0], x) });
    } else if (!far) {
      model.send({ kind: "click", x, y });
    }
    from = null;
    band.style.display = "none";
  });
  image.addEventListener("pointercancel", () => {
    from = null;
    band.style.display = "none";
  });

  const report = () => {
    const dark = isDark();
    if (model.get("dark") === dark) return;
    model.set("dark", dark);
    model.save_changes();
  };
  const end = watchTheme(report);
  report();
  return end;
}

export default { render };
