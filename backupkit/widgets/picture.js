// A picture that tells where it was clicked or brushed, and whether the page is dark.
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
  frame.append(image, band);
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

  // JupyterLab marks its body; elsewhere the page is light
  const tell = () => {
    const dark = document.body.dataset.jpThemeLight === "false";
    if (model.get("dark") === dark) return;
    model.set("dark", dark);
    model.save_changes();
  };
  const watcher = new MutationObserver(tell);
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  tell();
  return () => watcher.disconnect();
}

export default { render };
