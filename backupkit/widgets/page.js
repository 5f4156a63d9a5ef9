// What the scripts of the widgets share; `load_script` puts it before each of them.
const DAY = 86400000;

const read = (view, kind) =>
  view ? new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : new kind();

// JupyterLab and Notebook mark the body, Colab the root, VS Code sets a class; else the system.
function isDark() {
  const { body, documentElement: root } = document;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (/\bvscode-(dark|light|high-contrast)/.test(body.className)) {
    return /\bvscode-(dark|high-contrast)\b/.test(body.className) && !body.classList.contains("vscode-high-contrast-light");
  }
  const named = root.getAttribute("theme") ?? root.dataset.theme;
  if (named) return named === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

// calls `act` when the theme may have changed; returns how to end it
function watchTheme(act) {
  const watcher = new MutationObserver(act);
  const attributeFilter = ["class", "data-jp-theme-light", "data-theme", "theme"];
  watcher.observe(document.body, { attributes: true, attributeFilter });
  watcher.observe(document.documentElement, { attributes: true, attributeFilter });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", act);
  return () => {
    watcher.disconnect();
    system.removeEventListener("change", act);
  };
}

// a canvas with a legend above, a hint below, a tip beside the pointer, and what is said aloud
function makeFrame(el, name) {
  const frame = document.createElement("div");
  frame.className = name;
  frame.style.cssText = "position: relative; width: 100%; font: 12px sans-serif;";
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.style.cssText = "display: block; width: 100%; touch-action: pan-y;";
  const tip = document.createElement("div");
  tip.className = `${name}-tip`;
  tip.style.cssText =
    "position: absolute; display: none; pointer-events: none; max-width: 26em; padding: 4px 8px;" +
    " border: 1px solid #888; border-radius: 3px; white-space: pre-line; z-index: 10;";
  const help = document.createElement("div");
  help.className = `${name}-help`;
  help.style.cssText = "padding: 2px 0;";
  const legend = document.createElement("div");
  legend.className = `${name}-legend`;
  legend.style.cssText = "display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 2px 0;";
  const live = document.createElement("div");
  live.setAttribute("aria-live", "polite");
  live.style.cssText =
    "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);";
  frame.append(legend, canvas, tip, help, live);
  el.append(frame);
  const showTip = (text, colours, x, y) => {
    tip.textContent = text;
    tip.style.background = colours.background;
    tip.style.color = colours.ink;
    tip.style.display = "block";
    tip.style.left = `${Math.max(0, Math.min(x, frame.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${canvas.offsetTop + y}px`;
  };
  return { frame, canvas, tip, help, legend, live, showTip, context: canvas.getContext("2d") };
}

// draws at most once a frame, in pixels of the screen, and again with another size or theme
function animate(canvas, draw, measure) {
  const context = canvas.getContext("2d");
  let scheduled = false;
  let screen = null; // the resolution that the canvas has
  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      if (!canvas.width) return;
      const began = performance.now();
      const scale = canvas.width / canvas.clientWidth;
      context.setTransform(scale, 0, 0, scale, 0, 0);
      if (!draw()) return;
      canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
      canvas.dataset.milliseconds = (performance.now() - began).toFixed(1);
    });
  };
  const resize = () => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    screen?.removeEventListener("change", resize);
    screen = matchMedia(`(resolution: ${scale}dppx)`); // another screen has the same size
    screen.addEventListener("change", resize);
    measure();
    schedule();
  };
  const sized = new ResizeObserver(resize);
  sized.observe(canvas);
  const endTheme = watchTheme(schedule);
  const end = () => {
    sized.disconnect();
    screen?.removeEventListener("change", resize);
    endTheme();
  };
  return { schedule, resize, end };
}

function findPlace(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function cutText(context, text, most) {
  if (context.measureText(text).width <= most) return text;
  const letters = Array.from(text);
  let [low, high] = [0, letters.length];
  while (low < high) {
    const half = Math.ceil((low + high) / 2);
    const fits = context.measureText(`${letters.slice(0, half).join("")}…`).width <= most;
    [low, high] = fits ? [half, high] : [low, half - 1];
  }
  return `${letters.slice(0, low).join("")}…`;
}

function pressKey(keys, event) {
  const step = keys[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  step(event);
}
