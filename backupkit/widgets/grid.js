// Grids and bars, drawn from arrays: states by day, failed jobs by pattern and place, Pareto chart.
const ROW_HEIGHT = 24;
const AXIS_HEIGHT = 34;
const MIN_SYMBOL = 9; // width of a cell that has room for a symbol, in pixels
const MAX_SLANTED = 120; // length of a slanted name, in pixels
const SLOPE = (40 * Math.PI) / 180;
const STEPS = [1, 2, 7, 14, 28, 91, 364]; // days between two dates of the axis
const MONDAY = 4; // 1970-01-05, in days
const [LIGHTEST, DARKEST] = [0.06, 0.45]; // share of the colour in the paper of a number
const NO_STATE = 255;
const CIRCLE = "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1 -1 0Z";
const DOT = "M-.2 .6h.4v.4h-.4Z";
// by marker and filling of matplotlib: what is filled, and what is outlined, in a box from -1 to 1
const MARKS = {
  "o full": [CIRCLE, ""],
  "o none": ["", CIRCLE],
  "o left": ["M0 -1A1 1 0 0 0 0 1Z", CIRCLE],
  "o right": ["M0 -1A1 1 0 0 1 0 1Z", CIRCLE],
  "X full": ["M-1 -.5L-.5 -1L0 -.5L.5 -1L1 -.5L.5 0L1 .5L.5 1L0 .5L-.5 1L-1 .5L-.5 0Z", ""],
  "> none": ["", "M-.8 -.9L1 0L-.8 .9Z"],
  "$?$ full": [DOT, "M-.55 -.5C-.55 -1.2 .55 -1.2 .55 -.5C.55 -.05 0 -.1 0 .3"],
  "$!$ full": [DOT, "M0 -1L0 .3"],
  "$…$ full": ["M-1 -.2h.4v.4h-.4ZM-.2 -.2h.4v.4h-.4ZM.6 -.2h.4v.4h-.4Z", ""],
  "d none": ["", "M0 -1L.7 0L0 1L-.7 0Z"],
  "s full": ["M-.8 -.8h1.6v1.6h-1.6Z", ""],
  "_ full": ["", "M-1 0L1 0"],
};

const number = (value) => value.toLocaleString("en");
const count = (value, [one, many]) =>
  value === 0 ? `no ${one}` : `${number(value)} ${value === 1 ? one : many}`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const toDay = (date) => Date.parse(date) / DAY;

function mix(paper, colour, share) {
  const channel = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const mixed = [1, 3, 5].map((at) => (1 - share) * channel(paper, at) + share * channel(colour, at));
  return `rgb(${mixed.map(Math.round).join(" ")})`;
}

function buildMark(style, colour) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const [filled, outlined] = MARKS[style.mark];
  const shapes = { viewBox: "-1.3 -1.3 2.6 2.6", width: 13, height: 13, "aria-hidden": true };
  for (const [name, value] of Object.entries(shapes)) svg.setAttribute(name, value);
  for (const [path, fill, stroke] of [[filled, colour, "none"], [outlined, "none", colour]]) {
    const shape = document.createElementNS(space, "path");
    const traits = { d: path, fill, stroke, "stroke-width": 0.3 };
    for (const [name, value] of Object.entries(traits)) shape.setAttribute(name, value);
    svg.append(shape);
  }
  svg.style.cssText = "margin-right: 5px; vertical-align: middle;";
  return svg;
}

function render({ model, el }) {
  const { frame, canvas, tip, help, legend, live, context, showTip } = makeFrame(el, "backupkit-grid");
  const title = document.createElement("div");
  title.className = "backupkit-grid-title";
  title.style.cssText = "font-weight: bold; padding: 4px 0 2px;";
  frame.prepend(title);

  let data = { rows: [], columns: [] };
  let at = { row: 0, column: -1 }; // cell of the keyboard; column -1 is the name of the row
  let shown = null; // cell that is described, under the pointer or the keyboard
  let isSpoken = false;
  let anchor = null; // column where a span of the keyboard begins
  let dragged = null; // {row, column, to, x, moved}
  let texts = new Map(); // what the kernel says of a cell
  let asked = 0;
  let decorated = null; // theme of title and legend
  let [left, top, width, wide] = [0, 0, 1, 1]; // of all cells, and the width of one, in pixels
  const { schedule, resize, end } = animate(canvas, draw, measure);

  const theme = () => data.themes[isDark() ? "dark" : "light"];
  const middle = (row) => top + ROW_HEIGHT * (row + 0.5);
  const toX = (column) => left + wide * column;
  const first = () => (data.kind === "bars" ? 0 : -1); // column of the keyboard
  const valueAt = (row, column) => data.values[row * data.columns.length + column];
  const isFocused = () => document.activeElement === canvas;

  function load() {
    const before = data;
    const sent = model.get("grid");
    data = {
      ...sent,
      rows: sent.rows ?? [],
      columns: sent.columns ?? [],
      values: read(sent.values, sent.kind === "days" ? Uint8Array : Uint32Array),
      jobs: read(sent.jobs, Uint32Array),
    };
    data.remarks = (sent.places ?? []).map((places, row) => // beside the bars
      places ? `${number(data.values[row])} (${places})` : number(data.values[row]));
    clearTimeout(asked);
    [texts, shown, dragged, anchor, decorated] = [new Map(), null, null, null, null];
    tip.style.display = "none";
    // the keyboard stays at the same names
    const row = data.rows.indexOf(before.rows[at.row]);
    const column = data.columns.indexOf(before.columns[at.column]);
    at = {
      row: clamp(row < 0 ? at.row : row, 0, Math.max(data.rows.length - 1, 0)),
      column: clamp(column < 0 ? at.column : column, first(), Math.max(data.columns.length - 1, 0)),
    };
    canvas.setAttribute("aria-label", model.get("label"));
    canvas.setAttribute("aria-roledescription", data.role ?? "");
    canvas.style.cursor = data.brushes ? "crosshair" : "pointer";
    frame.style.display = data.kind ? "block" : "none";
    const bottom = { days: 6, counts: 14 + Math.sin(SLOPE) * longest(data.columns, MAX_SLANTED), bars: 36 };
    top = data.kind === "counts" ? 4 : AXIS_HEIGHT;
    const height = data.rows.length ? top + ROW_HEIGHT * data.rows.length + bottom[data.kind] : 60;
    canvas.style.height = `${height}px`;
    resize();
  }

  function longest(texts, most) {
    context.font = "12px sans-serif";
    return Math.min(Math.max(0, ...texts.map((text) => context.measureText(text).width)), most);
  }

  function measure() {
    const whole = canvas.clientWidth;
    const part = { days: 0.22, counts: 0.42, bars: 0.45 }[data.kind] ?? 0;
    left = Math.max(longest(data.rows, part * whole) + 16, 60);
    const right = data.kind === "bars" ? longest(data.remarks, 0.3 * whole) + 14 : 8;
    width = Math.max(whole - left - right, 10);
    wide = width / Math.max(data.columns.length, 1);
  }

  function draw() {
    if (!data.kind) return false;
    const colours = theme();
    context.fillStyle = colours.background;
    context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    decorate(colours);
    context.textBaseline = "middle";
    if (!data.rows.length) {
      context.font = "12px sans-serif";
      context.textAlign = "center";
      context.fillStyle = colours.muted;
      context.fillText(data.message, canvas.clientWidth / 2, 30);
      return true;
    }
    drawNames(colours);
    ({ days: drawDays, counts: drawCounts, bars: drawBars })[data.kind](colours);
    drawSpan();
    if (isFocused()) outline(at, colours, 2);
    if (shown) outline(shown, colours, 1.5);
    return true;
  }

  function decorate(colours) {
    if (decorated === colours) return;
    decorated = colours;
    title.textContent = data.title;
    title.style.color = legend.style.color = colours.ink;
    help.style.color = colours.muted;
    help.textContent = [data.caption, model.get("help")].filter(Boolean).join(". ");
    const there = new Set(data.kind === "days" ? data.values : []);
    const name = isDark() ? "dark" : "light";
    legend.replaceChildren(...(data.styles ?? []).filter((_, code) => there.has(code)).map((style) => {
      const item = document.createElement("span");
      item.append(buildMark(style, style[name]), style.word);
      return item;
    }));
  }

  function drawNames(colours) {
    context.textAlign = "right";
    data.rows.forEach((name, row) => {
      if (isFocused() && row === at.row) {
        context.fillStyle = colours.line;
        context.fillRect(0, middle(row) - ROW_HEIGHT / 2, canvas.clientWidth, ROW_HEIGHT);
      }
      context.font = data.chosen[row] ? "bold 12px sans-serif" : "12px sans-serif";
      context.fillStyle = colours.ink;
      context.fillText(cutText(context, name, left - 12), left - 8, middle(row));
    });
  }

  function drawDays(colours) {
    const step = STEPS.find((one) => one * wide >= 76) ?? STEPS[STEPS.length - 1];
    context.font = "11px sans-serif";
    context.textAlign = "center";
    data.columns.forEach((date, column) => {
      if ((toDay(date) - MONDAY) % step !== 0) return;
      const x = toX(column + 0.5);
      context.fillStyle = colours.line;
      context.fillRect(Math.round(x), AXIS_HEIGHT - 8, 1, 5);
      context.fillStyle = colours.muted;
      context.fillText(date, clamp(x, left + 30, left + width - 30), AXIS_HEIGHT - 16);
    });
    context.textAlign = "left";
    context.fillStyle = colours.muted;
    context.fillText("UTC", 2, AXIS_HEIGHT - 16);
    const name = isDark() ? "dark" : "light";
    const marks = data.styles.map((style) => MARKS[style.mark].map((path) => path && new Path2D(path)));
    data.rows.forEach((_, row) => {
      context.fillStyle = colours.line;
      context.fillRect(left, Math.round(middle(row)), width, 1);
      for (let column = 0; column < data.columns.length; column += 1) {
        const code = valueAt(row, column);
        if (code === NO_STATE) continue;
        context.fillStyle = context.strokeStyle = data.styles[code][name];
        if (wide >= MIN_SYMBOL) {
          drawMark(marks[code], toX(column + 0.5), middle(row), colours.background);
        } else { // whole pixels: neighbours leave no line between them
          const x = Math.round(toX(column));
          context.fillRect(x, middle(row) - 8, Math.max(Math.round(toX(column + 1)) - x, 1), 16);
        }
      }
    });
  }

  function drawMark([filled, outlined], x, y, paper) {
    const size = Math.min(5.5, 0.42 * wide);
    context.save();
    context.translate(x, y);
    context.scale(size, size);
    context.lineWidth = 1.5 / size;
    const colour = context.fillStyle;
    if (outlined) {
      context.fillStyle = paper; // the guide line does not cross a symbol
      context.fill(outlined);
      context.fillStyle = colour;
      context.stroke(outlined);
    }
    if (filled) context.fill(filled);
    context.restore();
  }

  function drawCounts(colours) {
    const [rows, columns] = [data.rows.length, data.columns.length];
    context.textAlign = "center";
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const value = valueAt(row, column);
        const isTotal = row === rows - 1 || column === columns - 1;
        const [x, y] = [toX(column), middle(row) - ROW_HEIGHT / 2];
        if (value && !isTotal) {
          const strength = Math.log1p(Math.min(value, data.largest)) / Math.log1p(data.largest);
          const share = LIGHTEST + (DARKEST - LIGHTEST) * strength;
          context.fillStyle = mix(colours.background, colours.failure, share);
          context.fillRect(x, y, wide, ROW_HEIGHT);
        }
        if (!value && !isTotal) continue;
        context.font = isTotal ? "bold 11px sans-serif" : "11px sans-serif";
        context.fillStyle = colours.ink;
        const text = number(value);
        const fits = context.measureText(text).width < wide - 2;
        context.fillText(fits ? text : value.toLocaleString("en", { notation: "compact" }),
          toX(column + 0.5), middle(row));
      }
    }
    const height = rows * ROW_HEIGHT;
    for (let row = 0; row <= rows; row += 1) {
      context.fillStyle = row === rows - 1 ? colours.muted : colours.line;
      context.fillRect(left, top + row * ROW_HEIGHT, width, 1);
    }
    for (let column = 0; column <= columns; column += 1) {
      context.fillStyle = column === columns - 1 ? colours.muted : colours.line;
      context.fillRect(Math.round(toX(column)), top, 1, height);
    }
    context.textAlign = "right";
    context.fillStyle = colours.ink;
    data.columns.forEach((name, column) => {
      context.font = data.chosen_columns[column] ? "bold 12px sans-serif" : "12px sans-serif";
      context.save();
      context.translate(toX(column + 0.5), top + height + 9);
      context.rotate(-SLOPE);
      context.fillText(cutText(context, name, MAX_SLANTED), 0, 0);
      context.restore();
    });
  }

  function drawBars(colours) {
    const most = Math.max(...data.values) * 1.03;
    const total = data.values.reduce((sum, value) => sum + value, 0);
    const height = data.rows.length * ROW_HEIGHT;
    const step = [1, 2, 5].flatMap((one) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((ten) => one * ten))
      .sort((a, b) => a - b).find((one) => most / one <= 5) ?? most;
    context.font = "11px sans-serif";
    context.textAlign = "center";
    for (let value = 0; value <= most; value += step) {
      const x = left + (value / most) * width;
      context.fillStyle = colours.line;
      context.fillRect(Math.round(x), top, 1, height);
      context.fillStyle = colours.muted;
      context.fillText(number(value), x, top + height + 10);
    }
    context.fillText("failed jobs", left + width / 2, top + height + 25);
    for (const share of [0, 25, 50, 75, 100]) {
      context.fillText(`${share} %`, left + (share / 103) * width, top - 8);
    }
    context.fillText("cumulative share", left + width / 2, 9);
    data.rows.forEach((_, row) => {
      context.fillStyle = colours.failure;
      context.fillRect(left, middle(row) - 7.5, (data.values[row] / most) * width, 15);
      context.fillStyle = colours.muted;
      context.textAlign = "left";
      const room = canvas.clientWidth - left - width - 10;
      context.fillText(cutText(context, data.remarks[row], room), left + width + 8, middle(row));
    });
    let sum = 0;
    const points = Array.from(data.values, (value, row) => {
      sum += value;
      return [left + (sum / total / 1.03) * width, middle(row)];
    });
    context.strokeStyle = context.fillStyle = colours.ink;
    context.lineWidth = 1;
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(x, y));
    context.stroke();
    for (const [x, y] of points) {
      context.fill(new Path2D(`M${x} ${y - 4}L${x + 4} ${y}L${x} ${y + 4}L${x - 4} ${y}Z`));
    }
  }

  function drawSpan() {
    const span = findSpan();
    if (!span) return;
    context.fillStyle = "rgba(0, 114, 178, 0.2)";
    const height = data.rows.length * ROW_HEIGHT + 8;
    context.fillRect(toX(span[0]), top - 4, toX(span[1] + 1) - toX(span[0]), height);
  }

  // first and last column that a drag or the keyboard has marked
  function findSpan() {
    const ends = dragged?.moved ? [dragged.column, dragged.to] : [anchor, at.column];
    if ((!dragged?.moved && anchor === null) || Math.min(...ends) < 0) return null;
    return [Math.min(...ends), Math.max(...ends)];
  }

  function outline({ row, column }, colours, thickness) {
    context.strokeStyle = colours.ink;
    context.lineWidth = thickness;
    const [x, size] = column < 0 ? [2, left - 6] : [toX(column), wide];
    context.strokeRect(x, middle(row) - ROW_HEIGHT / 2 + 1, Math.max(size, 3), ROW_HEIGHT - 2);
  }

  function describe({ row, column }) {
    const name = data.rows[row].replace(/\.$/, "");
    if (data.kind === "bars") {
      const shares = [data.values.slice(row, row + 1), data.values.slice(0, row + 1), data.values]
        .map((values) => values.reduce((sum, value) => sum + value, 0));
      const [own, above] = shares.map((part) => `${Math.round((100 * part) / shares[2])} %`);
      const places = data.places[row] && ` on ${data.places[row]}`;
      const jobs = `${count(data.values[row], data.nouns)}${places}`;
      return `${name}: ${jobs}\n${own} of all, ${above} with those above`;
    }
    if (data.kind === "days") {
      if (column < 0) return `${name}: ${sumStates(row) || "no run expected"}`;
      const word = data.styles[valueAt(row, column)]?.word ?? "no run expected";
      const jobs = data.jobs[row * data.columns.length + column];
      return `${name}, ${data.columns[column]}: ${word}, ${count(jobs, data.nouns)}`;
    }
    const [lastRow, lastColumn] = [data.rows.length - 1, data.columns.length - 1];
    const jobs = count(valueAt(row, column < 0 ? lastColumn : column), data.nouns);
    if (column < 0 || column === lastColumn) return `${name}: ${jobs}`;
    const place = data.columns[column];
    return row === lastRow ? `${place}: ${jobs}` : `${name} on ${place}: ${jobs}`;
  }

  function sumStates(row) {
    const sums = data.styles.map(() => 0);
    for (let column = 0; column < data.columns.length; column += 1) {
      if (valueAt(row, column) !== NO_STATE) sums[valueAt(row, column)] += 1;
    }
    return sums.map((sum, code) => sum && `${count(sum, ["day", "days"])} ${data.styles[code].word}`)
      .filter(Boolean).join(", ");
  }

  const toKey = ({ row, column }) => `${row} ${column}`;

  function show(cell, speak) {
    if (cell && shown && toKey(cell) === toKey(shown) && speak === isSpoken) return;
    clearTimeout(asked);
    [shown, isSpoken] = [cell, speak];
    if (cell) {
      const { serial } = data;
      tell();
      if (!texts.has(toKey(cell))) {
        asked = setTimeout(() => model.send({ kind: "describe", serial, ...cell }), 150);
      }
    } else {
      tip.style.display = "none";
    }
    schedule();
  }

  function tell() {
    const text = [describe(shown), texts.get(toKey(shown))].filter(Boolean).join("\n");
    if (isSpoken) live.textContent = text;
    showTip(text, theme(), (shown.column < 0 ? left : toX(shown.column + 1)) + 8, middle(shown.row) + 14);
  }

  function find(event) {
    const [x, y] = findPlace(canvas, event);
    let row = Math.floor((y - top) / ROW_HEIGHT);
    let column = x < left ? -1 : Math.floor((x - left) / wide);
    const below = y - top - ROW_HEIGHT * data.rows.length;
    if (data.kind === "counts" && below >= 0) { // a slanted name stands for its total
      row = data.rows.length - 1;
      column = Math.floor((x + below / Math.tan(SLOPE) - left) / wide);
      if (column < 0) return null;
    }
    if (data.kind === "bars") column = 0; // a name, a bar and what is beside it are one
    return data.rows[row] === undefined || column >= data.columns.length ? null : { row, column };
  }

  const choose = ({ row, column }) => model.send({ kind: "cell", serial: data.serial, row, column });

  function chooseSpan(span) {
    model.send({ kind: "brush", serial: data.serial, from: span[0], to: span[1] });
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const cell = find(event);
    if (!cell) return;
    anchor = null;
    dragged = { ...cell, to: cell.column, x: findPlace(canvas, event)[0], moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged === null) {
      show(find(event), false);
      return;
    }
    const [x] = findPlace(canvas, event);
    dragged.moved ||= Math.abs(x - dragged.x) > 6 && data.brushes && dragged.column >= 0;
    dragged.to = clamp(Math.floor((x - left) / wide), 0, data.columns.length - 1);
    schedule();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (dragged === null) return;
    const [drag, span, cell] = [dragged, findSpan(), find(event)];
    dragged = null;
    if (span) {
      chooseSpan(span);
    } else if (cell && toKey(cell) === toKey(drag)) {
      at = cell;
      choose(cell);
    }
    schedule();
  });
  canvas.addEventListener("pointercancel", () => {
    dragged = null;
    schedule();
  });
  canvas.addEventListener("pointerleave", () => show(null, false));
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible") && data.rows.length) show(at, true);
    schedule();
  });
  canvas.addEventListener("blur", () => {
    anchor = null;
    show(null, false);
  });

  function move(rows, columns, event) {
    if (!data.rows.length) return;
    const from = at.column;
    at = {
      row: clamp(at.row + rows, 0, data.rows.length - 1),
      column: clamp(at.column + columns, first(), data.columns.length - 1),
    };
    const spans = event.shiftKey && data.brushes && rows === 0;
    anchor = spans && Math.min(from, at.column) >= 0 ? anchor ?? from : null;
    show({ ...at }, true);
    const span = findSpan();
    if (span) live.textContent = `${data.columns[span[0]]} to ${data.columns[span[1]]}, Enter selects the period`;
  }

  function enter() {
    const span = findSpan();
    if (span) chooseSpan(span);
    else if (data.rows.length) choose(at);
  }

  const keys = {
    ArrowDown: (event) => move(1, 0, event),
    ArrowUp: (event) => move(-1, 0, event),
    ArrowRight: (event) => move(0, 1, event),
    ArrowLeft: (event) => move(0, -1, event),
    Home: (event) => move(0, -data.columns.length - 1, event),
    End: (event) => move(0, data.columns.length, event),
    Enter: enter,
    " ": enter,
    Escape: () => {
      anchor = null;
      show(null, false);
    },
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || shown) pressKey(keys, event); // else the page may use it
  });

  const take = (content) => {
    if (content.kind !== "text" || content.serial !== data.serial) return;
    texts.set(toKey(content), content.text);
    if (shown && toKey(content) === toKey(shown)) tell();
  };
  model.on("msg:custom", take);
  model.on("change:grid", load);
  load();
  return () => {
    clearTimeout(asked);
    model.off("msg:custom", take);
    model.off("change:grid", load);
    end();
  };
}

export default { render };
