// Timeline of runs, drawn from arrays: a row for each appliance, a bar for each run.
const STEPS = [60000, 300000, 900000, 3600000, 3 * 3600000, 6 * 3600000, 12 * 3600000, DAY, 2 * DAY,
  7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY];
const ROW_HEIGHT = 24;
const AXIS_HEIGHT = 34;
const MIN_WIDTH = 2; // of a bar, in pixels
const MIN_SPAN = 60000; // of the times shown
const MONDAY = 4 * DAY; // 1970-01-05

function formatTime(time, withYear = true) {
  const text = new Date(time).toISOString();
  return `${text.slice(withYear ? 0 : 5, 10)} ${text.slice(11, 16)}`;
}

function formatSpan(milliseconds) {
  const minutes = Math.round(milliseconds / 60000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function render({ model, el }) {
  const { frame, canvas, tip, help, legend, live, context, showTip } = makeFrame(el, "backupkit-runs");
  canvas.setAttribute("aria-roledescription", "timeline");
  canvas.style.cursor = "crosshair";

  let data; // arrays of the runs, and the period
  let shown; // [from, to] of the times shown
  let order; // of the runs when drawn: what is more serious covers what is less
  let byRow; // the runs of each row, by start
  let chosen = null; // run under the pointer or the keyboard
  let row = 0; // row of the keyboard
  let dragged = null; // {from, to, moved, pan} in pixels
  let left = 0; // of the bars, in pixels; a question to the page for each bar would be slow
  let width = 1;
  const { schedule, resize, end } = animate(canvas, draw, measure);

  function load() {
    const sent = model.get("runs");
    data = {
      ...sent,
      rows: read(sent.rows, Uint16Array),
      starts: read(sent.starts, Float64Array),
      ends: read(sent.ends, Float64Array),
      outcomes: read(sent.outcomes, Uint8Array),
      progress: read(sent.progress, Uint8Array),
      slotRows: read(sent.slot_rows, Uint16Array),
      slots: read(sent.slots, Float64Array),
      labels: sent.labels ?? [],
      styles: sent.styles ?? [],
      running: new Map((sent.running ?? []).map((one) => [one.run, one])),
    };
    const rank = data.styles.map((style) => style.rank);
    const kinds = data.outcomes;
    order = Uint32Array.from(kinds, (_, run) => run);
    order.sort((a, b) => rank[kinds[a]] - rank[kinds[b]] || data.starts[a] - data.starts[b]);
    byRow = data.labels.map(() => []);
    const byStart = Uint32Array.from(kinds, (_, run) => run);
    byStart.sort((a, b) => data.starts[a] - data.starts[b]);
    for (const run of byStart) byRow[data.rows[run]].push(run);
    shown = [data.start, data.end];
    choose(null, false);
    dragged = null; // it was of other times
    row = 0;
    canvas.setAttribute("aria-label", model.get("label"));
    frame.style.display = data.labels.length ? "block" : "none";
    canvas.style.height = `${AXIS_HEIGHT + ROW_HEIGHT * data.labels.length + 6}px`;
    resize();
  }

  const theme = () => data.themes[isDark() ? "dark" : "light"];
  const toX = (time) => left + ((time - shown[0]) / (shown[1] - shown[0])) * width;
  const toTime = (x) => shown[0] + ((x - left) / width) * (shown[1] - shown[0]);
  const middle = (place) => AXIS_HEIGHT + ROW_HEIGHT * (place + 0.5);
  const toRow = (y) => Math.floor((y - AXIS_HEIGHT) / ROW_HEIGHT);
  const endOf = (run) => {
    if (!Number.isNaN(data.ends[run])) return data.ends[run];
    return Math.max(data.running.get(run)?.end ?? data.now, data.starts[run]);
  };

  function measure() {
    left = Math.min(220, Math.max(90, canvas.clientWidth * 0.2));
    width = Math.max(canvas.clientWidth - left - 8, 10);
  }

  function draw() {
    if (!data.labels.length) return false;
    const colours = theme();
    context.fillStyle = colours.background;
    context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    drawAxis(colours);
    drawLabels(colours);
    context.save();
    context.beginPath();
    context.rect(left, AXIS_HEIGHT - 4, width, canvas.clientHeight);
    context.clip();
    drawSlots(colours);
    drawRuns(colours);
    if (dragged?.moved && !dragged.pan) {
      context.fillStyle = "rgba(0, 114, 178, 0.2)";
      const [from, to] = [Math.min(dragged.from, dragged.to), Math.max(dragged.from, dragged.to)];
      context.fillRect(from, AXIS_HEIGHT - 4, to - from, canvas.clientHeight);
    }
    context.restore();
    help.style.color = colours.muted;
    help.textContent = [data.caption, model.get("help")].filter(Boolean).join(". ");
    drawLegend(colours);
    return true;
  }

  function drawLegend(colours) {
    const there = new Set(data.outcomes);
    legend.style.color = colours.ink;
    legend.style.paddingLeft = `${left}px`;
    legend.replaceChildren(...data.styles.filter((_, kind) => there.has(kind)).map((style) => {
      const item = document.createElement("span");
      const mark = document.createElement("span");
      mark.style.cssText = "display: inline-block; width: 7px; margin-right: 5px; vertical-align: middle;";
      mark.style.height = `${0.75 * style.height}px`;
      mark.style.border = `1px solid ${colours[style.name]}`;
      if (style.name !== "open") mark.style.background = colours[style.name];
      item.append(mark, style.word);
      return item;
    }));
  }

  function drawAxis(colours) {
    const span = shown[1] - shown[0];
    const step = STEPS.find((one) => (one / span) * width >= 88) ?? STEPS[STEPS.length - 1];
    const base = step >= 7 * DAY ? MONDAY : 0;
    context.font = "11px sans-serif";
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    for (let time = base + Math.ceil((shown[0] - base) / step) * step; time <= shown[1]; time += step) {
      const x = toX(time);
      context.fillStyle = colours.line;
      context.fillRect(Math.round(x), AXIS_HEIGHT - 4, 1, canvas.clientHeight);
      context.fillStyle = colours.muted;
      const text = step < DAY ? formatTime(time, false) : new Date(time).toISOString().slice(0, 10);
      context.fillText(text, Math.min(Math.max(x, left + 30), left + width - 30), AXIS_HEIGHT - 10);
    }
    context.textAlign = "left";
    context.fillText("UTC", 2, AXIS_HEIGHT - 10);
  }

  function drawLabels(colours) {
    context.font = "12px sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    data.labels.forEach((label, place) => {
      const focused = document.activeElement === canvas && place === row;
      if (focused) {
        context.fillStyle = colours.line;
        context.fillRect(0, middle(place) - ROW_HEIGHT / 2, canvas.clientWidth, ROW_HEIGHT);
      }
      context.font = data.chosen?.[place] ? "bold 12px sans-serif" : "12px sans-serif";
      context.fillStyle = colours.ink;
      context.fillText(cutText(context, label, left - 12), left - 8, middle(place));
      if (!data.notes?.[place]) return;
      context.font = "12px sans-serif";
      context.fillStyle = colours.muted;
      context.textAlign = "left";
      context.fillText(data.notes[place], left + 6, middle(place));
      context.textAlign = "right";
    });
  }

  function drawSlots(colours) {
    context.fillStyle = colours.muted;
    for (let slot = 0; slot < data.slots.length; slot += 1) {
      const time = data.slots[slot];
      if (time < shown[0] || time > shown[1]) continue;
      context.fillRect(toX(time), middle(data.slotRows[slot]) + 7, 1, 4);
    }
  }

  function drawRuns(colours) {
    let kind = -1;
    const covered = new Float64Array(data.labels.length); // up to this place, by bars of this kind
    for (const run of order) {
      const end = endOf(run);
      if (end < shown[0] || data.starts[run] > shown[1]) continue;
      const style = data.styles[data.outcomes[run]];
      if (data.outcomes[run] !== kind) {
        kind = data.outcomes[run];
        context.strokeStyle = context.fillStyle = colours[style.name];
        covered.fill(0);
      }
      // whole pixels are drawn far faster
      const x = Math.round(toX(data.starts[run]));
      const right = Math.max(Math.round(toX(end)), x + MIN_WIDTH);
      if (right <= covered[data.rows[run]]) continue; // it would change nothing
      covered[data.rows[run]] = right;
      drawRun(run, style, colours, x, right - x);
    }
    for (const running of data.running.values()) { // above all bars
      const { run } = running;
      if (endOf(run) < shown[0] || data.starts[run] > shown[1]) continue;
      drawEnd(running, toX(data.starts[run]), toX(endOf(run)), middle(data.rows[run]), colours);
    }
    if (chosen === null) return;
    const x = toX(data.starts[chosen]);
    context.strokeStyle = colours.ink;
    context.lineWidth = 1.5;
    const wide = Math.max(toX(endOf(chosen)) - x, MIN_WIDTH);
    context.strokeRect(x - 2, middle(data.rows[chosen]) - 10, wide + 4, 20);
  }

  function drawRun(run, style, colours, x, wide) {
    const top = Math.round(middle(data.rows[run]) - style.height / 2);
    if (style.name !== "open") {
      context.fillRect(x, top, wide, style.height);
      return;
    }
    // a run that has not ended reaches to its estimated end, and is filled by its progress
    const running = data.running.get(run);
    const colour = running?.alarm ? colours.failure : colours.open;
    const part = data.progress[run] > 100 ? 0 : data.progress[run] / 100;
    context.fillStyle = context.strokeStyle = colour;
    context.fillRect(x, top, wide * part, style.height);
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, top + 0.5, Math.max(wide - 1, 1), style.height - 1);
    context.fillStyle = context.strokeStyle = colours.open;
  }

  function drawEnd(running, x, right, y, colours) {
    let edge = right;
    if (running.earliest !== null) {
      const [first, last] = [toX(running.earliest), toX(running.latest)];
      context.fillStyle = colours.ink;
      context.fillRect(first, y - 1, Math.max(last - first, 1), 2);
      for (const end of [first, last]) context.fillRect(end - 1, y - 5, 2, 10);
      edge = Math.max(edge, last);
    }
    context.font = "11px sans-serif";
    const room = left + width - edge - 10;
    const wide = context.measureText(running.text).width;
    const fits = wide <= room;
    if (!fits) { // earlier runs below the text would make it illegible
      context.fillStyle = colours.background;
      context.fillRect(x - wide - 10, y - 10, wide + 7, 20);
    }
    context.fillStyle = running.alarm ? colours.failure : colours.ink;
    context.textAlign = fits ? "left" : "right";
    context.fillText(running.text, fits ? edge + 6 : x - 6, y);
  }

  function find(x, y) {
    const place = toRow(y);
    if (x < left || !byRow[place]) return null;
    let best = null;
    for (const run of byRow[place]) {
      const from = toX(data.starts[run]);
      const distance = Math.max(from - x, x - Math.max(toX(endOf(run)), from + MIN_WIDTH), 0);
      const rank = data.styles[data.outcomes[run]].rank;
      if (distance > 4) continue;
      if (best === null || distance < best.distance || (distance === best.distance && rank >= best.rank)) {
        best = { run, distance, rank };
      }
    }
    return best && best.run;
  }

  function describe(run) {
    const { word } = data.styles[data.outcomes[run]];
    const label = data.labels[data.rows[run]];
    const start = formatTime(data.starts[run]);
    const ended = !Number.isNaN(data.ends[run]);
    const span = formatSpan(endOf(run) - data.starts[run]);
    const progress = data.progress[run] <= 100 ? `, ${data.progress[run]} %` : "";
    const so_far = formatSpan(data.now - data.starts[run]);
    const more = data.running.get(run)?.text ?? `for ${so_far} so far${progress}`;
    const end = ended ? `to ${formatTime(data.ends[run])} UTC, ${span}` : `UTC, ${more}`;
    return `${label}: ${word}\n${start} ${end}`;
  }

  let asked = 0;
  let texts = new Map(); // what the kernel says of a run

  function choose(run, speak) {
    if (run === chosen) return;
    chosen = run;
    clearTimeout(asked);
    if (run === null) {
      tip.style.display = "none";
    } else {
      describeAt(run);
      if (!texts.has(run)) asked = setTimeout(() => model.send({ kind: "describe", run }), 150);
      if (speak) live.textContent = describe(run);
    }
    schedule();
  }

  function describeAt(run) {
    const more = texts.get(run);
    const x = Math.min(Math.max(toX(data.starts[run]), left), left + width);
    const y = middle(data.rows[run]) + 14;
    showTip(more ? `${describe(run)}\n${more}` : describe(run), theme(), x + 8, y);
  }

  function zoom(factor, time) {
    const whole = data.end - data.start;
    const span = Math.min(Math.max((shown[1] - shown[0]) * factor, MIN_SPAN), whole);
    const share = (time - shown[0]) / (shown[1] - shown[0]);
    move(time - share * span, span);
  }

  function move(from, span = shown[1] - shown[0]) {
    const first = Math.min(Math.max(from, data.start), data.end - span);
    shown = [first, first + span];
    schedule();
  }

  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      move(shown[0] + (event.deltaX / width) * (shown[1] - shown[0]));
    } else {
      zoom(Math.exp(event.deltaY * 0.002), toTime(findPlace(canvas, event)[0]));
    }
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x] = findPlace(canvas, event);
    dragged = { from: x, to: x, moved: false, pan: event.shiftKey, at: shown[0] };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = findPlace(canvas, event);
    if (dragged === null) {
      choose(find(x, y), false);
      return;
    }
    dragged.to = x;
    dragged.moved ||= Math.abs(x - dragged.from) > 6;
    if (dragged.moved && dragged.pan) {
      move(dragged.at - ((x - dragged.from) / width) * (shown[1] - shown[0]));
    }
    schedule();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (dragged === null) return;
    const [, y] = findPlace(canvas, event);
    const drag = dragged;
    dragged = null;
    if (drag.moved && !drag.pan) {
      const [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      const [first, last] = [Math.max(toTime(from), shown[0]), Math.min(toTime(to), shown[1])];
      if (first < last) model.send({ kind: "brush", from: first, to: last });
    } else if (!drag.moved && data.labels[toRow(y)] !== undefined) {
      row = toRow(y);
      model.send({ kind: "click", row });
    }
    schedule();
  });
  canvas.addEventListener("pointercancel", () => {
    dragged = null;
    schedule();
  });
  canvas.addEventListener("pointerleave", () => choose(null, false));
  canvas.addEventListener("dblclick", () => move(data.start, data.end - data.start));
  canvas.addEventListener("focus", schedule);
  canvas.addEventListener("blur", () => {
    choose(null, false);
    schedule();
  });

  function nextRun(step) {
    const runs = byRow[row];
    const visible = runs.filter((run) => endOf(run) >= shown[0] && data.starts[run] <= shown[1]);
    if (!visible.length) return null;
    const now = visible.indexOf(chosen);
    if (now < 0) return step > 0 ? visible[0] : visible[visible.length - 1];
    return visible[Math.min(Math.max(now + step, 0), visible.length - 1)];
  }

  function changeRow(step) {
    row = Math.min(Math.max(row + step, 0), data.labels.length - 1);
    choose(null, false);
    const number = byRow[row].length;
    live.textContent = `${data.labels[row]}: ${number} ${number === 1 ? "run" : "runs"}`;
    schedule();
  }

  const centre = () => (chosen === null ? (shown[0] + shown[1]) / 2 : data.starts[chosen]);
  const keys = {
    ArrowDown: () => changeRow(1),
    ArrowUp: () => changeRow(-1),
    ArrowRight: () => choose(nextRun(1), true),
    ArrowLeft: () => choose(nextRun(-1), true),
    Enter: () => model.send({ kind: "click", row }),
    "+": () => zoom(0.5, centre()),
    "-": () => zoom(2, centre()),
    0: () => move(data.start, data.end - data.start),
  };
  canvas.addEventListener("keydown", (event) => pressKey(keys, event));

  const take = (content) => {
    if (content.kind !== "text") return;
    texts.set(content.run, content.text);
    if (content.run === chosen) describeAt(chosen);
  };
  const reload = () => {
    texts = new Map();
    load();
  };
  model.on("msg:custom", take);
  model.on("change:runs", reload);
  load();
  return () => {
    clearTimeout(asked);
    model.off("msg:custom", take);
    model.off("change:runs", reload);
    end();
  };
}

export default { render };
