// The map: drawing, words and events. Runs in one function with chip_data.js, after it.

// ---- colours -------------------------------------------------------------------------------------------------------

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
const projectionColour = (k) => rgb(PALETTE[k % PALETTE.length]);
const populationColour = (k) => rgb(PALETTE[(PALETTE.length - 1 - k % PALETTE.length)]);
const mix = (a, b, share) => a.map((value, k) => Math.round(value + (b[k] - value) * share));
const ground = () => dark.matches ? { empty: [34, 39, 46], paper: [26, 30, 36], ink: "#ffffff" }
  : { empty: [236, 239, 243], paper: [255, 255, 255], ink: "#000000" };

function synapseColour(s, empty) {
  const inhibitory = chip.inhibitory[s] === 1;
  if ($("colour").value === "row") return inhibitory ? INHIBITORY : EXCITATORY;
  if ($("colour").value === "weight") {
    const w = weight(s), held = w === null ? 0 : Math.max(0, inhibitory ? -w : w);
    if (held === 0) return mix(empty, dark.matches ? [255, 255, 255] : [0, 0, 0], 0.07);
    return mix(empty, inhibitory ? INHIBITORY : EXCITATORY, 0.2 + 0.8 * Math.min(1, held / 63));
  }
  return mix(projectionColour(chip.projection[s]), empty, inhibitory ? 0.4 : 0);
}

// ---- drawing -------------------------------------------------------------------------------------------------------

const cells = document.createElement("canvas");
const view = { wide: true, cell: 1, zoom: 1, x: 0, y: 0 };
const state = { chosen: -1, direction: "sources", mark: null };

function place(along, across) {
  if (along < ROWS) return { hemisphere: 0, row: ROWS - 1 - along, column: across };
  if (along >= LENGTH - ROWS) return { hemisphere: 1, row: along - (LENGTH - ROWS), column: across };
  if (along >= BANDS[0] && along < BANDS[0] + 2 * BAND) return { circuit: (along < BANDS[1] ? 0 : COLUMNS) + across };
  return null;
}

const alongOf = (hemisphere, row) => hemisphere === 0 ? ROWS - 1 - row : LENGTH - ROWS + row;

function related() {
  const result = new Set();
  if (state.chosen < 0) return result;
  for (const on of chips) {
    const [own, other] = state.direction === "sources" ? [on.target, on.source] : [on.source, on.target];
    for (let s = 0; s < on.count; ++s) if (own[s] === state.chosen) result.add(other[s]);
  }
  return result;
}

function paintCells() {
  const width = view.wide ? LENGTH : COLUMNS, height = view.wide ? COLUMNS : LENGTH;
  cells.width = width; cells.height = height;
  const context = cells.getContext("2d"), image = context.createImageData(width, height);
  const { empty, paper } = ground(), shown = related(), own = state.direction === "sources" ? chip.target : chip.source;
  const put = (along, across, colour) => {
    const k = 4 * (view.wide ? across * width + along : along * width + across);
    image.data.set(colour, k); image.data[k + 3] = 255;
  };
  const dim = (colour, keep) => keep ? colour : mix(empty, colour, 0.13);
  for (let along = 0; along < LENGTH; ++along) {
    for (let across = 0; across < COLUMNS; ++across) {
      const spot = place(along, across);
      if (spot === null) { put(along, across, paper); continue; }
      if (spot.circuit !== undefined) {
        const neuron = chip.neuronOfCircuit[spot.circuit];
        const k = neuron < 0 ? -1 : nodes.indexOf(nodeOf(neuron)) - data.inputs.length;
        const keep = state.chosen < 0 || neuron === state.chosen || shown.has(neuron);
        put(along, across, k < 0 ? empty : dim(populationColour(k), keep));
        continue;
      }
      const s = chip.at[(spot.hemisphere * ROWS + spot.row) * COLUMNS + spot.column];
      put(along, across, s < 0 ? empty : dim(synapseColour(s, empty), state.chosen < 0 || own[s] === state.chosen));
    }
  }
  context.putImageData(image, 0, 0);
}

function draw() {
  const context = canvas.getContext("2d"), size = view.cell * view.zoom;
  context.imageSmoothingEnabled = false;
  context.fillStyle = `rgb(${ground().paper})`;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(cells, -view.x, -view.y, cells.width * size, cells.height * size);
  if (state.mark) outline(context, state.mark.along, state.mark.across, 1);
  const placed = state.chosen < 0 ? null : placeOf(state.chosen);
  if (placed && placed.chip === chip.number) {
    const circuits = new Set(placed.circuits), joined = (c) => circuits.has(c) && c % COLUMNS !== 0;
    for (const first of circuits) {  // neighbours have one outline
      let end = first + 1;
      while (joined(end)) ++end;
      if (joined(first) && circuits.has(first - 1)) continue;
      outline(context, BANDS[first < COLUMNS ? 0 : 1], first % COLUMNS, BAND, end - first);
    }
  }
}

function placeOf(neuron) {
  const node = nodeOf(neuron);
  return node.input ? null : node.placed[neuron - node.first];
}

function outline(context, along, across, length, width = 1) {
  const size = view.cell * view.zoom, [x, y] = view.wide ? [along, across] : [across, along];
  const [w, h] = view.wide ? [length, width] : [width, length];
  context.strokeStyle = ground().ink;
  context.lineWidth = Math.max(1.5, window.devicePixelRatio * 1.2);
  context.strokeRect(x * size - view.x - 1.5, y * size - view.y - 1.5, w * size + 3, h * size + 3);
}

function layout() {
  const ratio = window.devicePixelRatio || 1, room = $("frame").parentElement.clientWidth - 40;
  const wide = Math.floor(room * ratio / LENGTH), narrow = Math.floor(Math.min(room + 14, 560) * ratio / COLUMNS);
  view.wide = wide / ratio >= 1.4;
  view.cell = Math.max(1, view.wide ? wide : narrow);
  canvas.width = view.cell * (view.wide ? LENGTH : COLUMNS);
  canvas.height = view.cell * (view.wide ? COLUMNS : LENGTH);
  canvas.style.width = `${canvas.width / ratio}px`;
  canvas.style.height = `${canvas.height / ratio}px`;
  $("parts").style.gridTemplateColumns = view.wide ? `${ROWS}fr ${2 * (BAND + GAP)}fr ${ROWS}fr` : "1fr";
  const words = ["hemisphere 0, rows 255 → 0", "neurons", "hemisphere 1, rows 0 → 255"];
  const sides = view.wide ? ["", "", ""] : ["top: ", "middle: ", "bottom: "];
  [...$("parts").children].forEach((part, k) => { part.textContent = sides[k] + words[k]; });
  paintCells();
  zoom(1);
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const zoomed = Math.min(16, Math.max(1, view.zoom * factor)), real = zoomed / view.zoom;
  view.zoom = zoomed;
  pan((view.x + x) * (real - 1), (view.y + y) * (real - 1));
  canvas.style.touchAction = zoomed > 1 ? "none" : "pan-y";
  $("parts").style.visibility = zoomed > 1 ? "hidden" : "visible";
}

function pan(dx, dy) {
  view.x = Math.round(Math.min(Math.max(0, view.x + dx), canvas.width * (view.zoom - 1)));
  view.y = Math.round(Math.min(Math.max(0, view.y + dy), canvas.height * (view.zoom - 1)));
  draw();
}

// ---- words ---------------------------------------------------------------------------------------------------------

function describe(spot) {
  if (spot === null) return "";
  if (spot.circuit !== undefined) {
    const neuron = chip.neuronOfCircuit[spot.circuit];
    if (neuron < 0) return `circuit ${spot.circuit}: not in use`;
    return `${describeNeuron(neuron)}\nthis is circuit ${spot.circuit}`;
  }
  const where = `hemisphere ${spot.hemisphere}, row ${spot.row}, column ${spot.column}`;
  const s = chip.at[(spot.hemisphere * ROWS + spot.row) * COLUMNS + spot.column];
  const sign = { "-": "disabled", e: "excitatory", i: "inhibitory" }[chip.row_modes[spot.hemisphere][spot.row]];
  if (s < 0) return `${where} (${sign} row)\nno synapse`;
  const w = weight(s), none = w !== null && (chip.inhibitory[s] ? w >= 0 : w <= 0);
  return `${nameOf(chip.source[s])} → ${nameOf(chip.target[s])}` +
    `\nprojection ${data.projections[chip.projection[s]].name}` +
    `\nweight ${w === null ? "unknown" : w + " LSB"}, part ${chip.part[s]}, label ${chip.label[s]}` +
    (none ? "\nthis circuit holds 0 of it" : "") +
    `\n${where} (${sign} row)`;
}

function describeNeuron(neuron) {
  const node = nodeOf(neuron), index = neuron - node.first;
  if (node.input) return `${node.name}, neuron ${index} (input)`;
  const { circuits, address, chip: number } = node.placed[index];
  return `${node.name}, neuron ${index} (${node.kind.toUpperCase()})\ncircuit${circuits.length > 1 ? "s" : ""} ` +
    `${circuits.join(", ")}, address ${address}${chips.length > 1 ? `, instance ${number}` : ""}`;
}

function ranges(neurons) {
  const lines = new Map();
  for (const neuron of [...neurons].sort((a, b) => a - b)) {
    const node = nodeOf(neuron), index = neuron - node.first;
    if (!lines.has(node)) lines.set(node, []);
    const runs = lines.get(node), last = runs[runs.length - 1];
    if (last && last[1] === index - 1) last[1] = index; else runs.push([index, index]);
  }
  const write = ([a, b]) => a === b ? a : `${a}–${b}`;
  return [...lines].map(([node, runs]) => `${node.name}: ${runs.map(write).join(", ")}`);
}

function strongest() {
  const found = new Map();
  for (const on of chips) {
    const [own, other] = state.direction === "sources" ? [on.target, on.source] : [on.source, on.target];
    for (let s = 0; s < on.count; ++s) {
      if (own[s] === state.chosen) found.set(`${on.projection[s]} ${other[s]}`, [other[s], weight(s, on)]);
    }
  }
  return [...found.values()].filter(([, w]) => w).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 8);
}

function element(name, text, parent) {
  const result = document.createElement(name);
  result.textContent = text;
  parent.append(result);
  return result;
}

function tell() {
  const panel = $("chosen");
  panel.replaceChildren();
  for (const name of ["sources", "targets"]) {
    $(name).setAttribute("aria-pressed", String(state.chosen >= 0 && state.direction === name));
  }
  if (state.chosen < 0) return;
  const others = related();
  const title = element("p", "", panel);
  element("strong", `${others.size} ${state.direction} of ${nameOf(state.chosen)}`, title);
  element("p", describeNeuron(state.chosen).replace("\n", ", "), panel);
  for (const line of ranges(others)) element("p", line, panel);
  const top = strongest();
  if (top.length) {
    const write = ([neuron, w]) => `${nameOf(neuron)}: ${w > 0 ? "+" : "−"}${Math.abs(w)}`;
    element("p", `largest weights [LSB]: ${top.map(write).join("; ")}`, panel);
  }
}

function legend() {
  const list = $("key");
  list.replaceChildren();
  const entry = (colour, text) => {
    const item = document.createElement("li"), patch = document.createElement("i");
    patch.style.background = `rgb(${colour})`;
    item.append(patch, text);
    list.append(item);
  };
  data.populations.forEach((p, k) => entry(populationColour(k), `population ${p.name}`));
  if ($("colour").value === "projection") {
    data.projections.forEach((p, k) => entry(projectionColour(k), `projection ${p.name} (inhibitory rows fainter)`));
  } else {
    const held = $("colour").value === "weight" ? " weight, stronger colour: larger" : " row";
    entry(EXCITATORY, `excitatory${held}`);
    entry(INHIBITORY, `inhibitory${held}`);
  }
  entry(ground().empty, "not in use");
}

// ---- events --------------------------------------------------------------------------------------------------------

function choose(neuron, direction) {
  Object.assign(state, { chosen: neuron, direction });
  if (neuron >= 0) {
    $("node").value = String(nodes.indexOf(nodeOf(neuron)));
    $("neuron").value = String(neuron - nodeOf(neuron).first);
  }
  paintCells(); draw(); tell();
}

function press(spot) {
  if (spot === null) return;
  if (spot.circuit !== undefined) {
    const neuron = chip.neuronOfCircuit[spot.circuit];
    const again = neuron === state.chosen && state.direction === "sources";
    choose(neuron, again ? "targets" : "sources");
    return;
  }
  const s = chip.at[(spot.hemisphere * ROWS + spot.row) * COLUMNS + spot.column];
  choose(s < 0 ? -1 : chip.source[s], "targets");
}

function spotAt(event) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / canvas.clientWidth, size = view.cell * view.zoom;
  const x = Math.floor(((event.clientX - box.left - canvas.clientLeft) * ratio + view.x) / size);
  const y = Math.floor(((event.clientY - box.top - canvas.clientTop) * ratio + view.y) / size);
  const [along, across] = view.wide ? [x, y] : [y, x];
  return along >= 0 && along < LENGTH && across >= 0 && across < COLUMNS ? { along, across } : null;
}

function showTip(mark) {
  const text = mark ? describe(place(mark.along, mark.across)) : "", tip = $("tip");
  tip.hidden = text === "";
  tip.textContent = text;
  if (tip.hidden) return;
  const size = view.cell * view.zoom * canvas.clientWidth / canvas.width, ratio = canvas.clientWidth / canvas.width;
  const [along, across] = [mark.along * size, mark.across * size];
  const x = (view.wide ? along : across) - view.x * ratio, y = (view.wide ? across : along) - view.y * ratio;
  const left = x + 18 + tip.offsetWidth > canvas.clientWidth ? x - tip.offsetWidth - 12 : x + 18;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${canvas.offsetTop + Math.max(0, Math.min(y + 14, canvas.clientHeight - tip.offsetHeight))}px`;
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; });
canvas.addEventListener("pointermove", (event) => {
  if (drag && event.buttons && view.zoom > 1) {
    const ratio = canvas.width / canvas.clientWidth, dx = drag.x - event.clientX, dy = drag.y - event.clientY;
    if (drag.moved || Math.abs(dx) + Math.abs(dy) > 4) {
      drag = { x: event.clientX, y: event.clientY, moved: true };
      pan(dx * ratio, dy * ratio);
      return;
    }
  }
  showTip(spotAt(event));
});
canvas.addEventListener("pointerleave", () => showTip(null));
canvas.addEventListener("click", (event) => {
  const mark = spotAt(event);
  if (!(drag && drag.moved) && mark) { showTip(mark); press(place(mark.along, mark.across)); }
  drag = null;
});
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / canvas.clientWidth;
  zoom(event.deltaY < 0 ? 1.25 : 0.8, (event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const mark = state.mark || { along: BANDS[0], across: 0 };
  if (event.key === "Escape") { state.mark = null; showTip(null); choose(-1, "sources"); return; }
  if (event.key === "Enter") { event.preventDefault(); press(place(mark.along, mark.across)); return; }
  if (!(event.key in moves)) return;
  event.preventDefault();
  const step = event.shiftKey ? 16 : 1, [dx, dy] = moves[event.key].map((d) => d * step);
  const clamp = (value, limit) => Math.min(limit - 1, Math.max(0, value));
  state.mark = { along: clamp(mark.along + (view.wide ? dx : dy), LENGTH),
    across: clamp(mark.across + (view.wide ? dy : dx), COLUMNS) };
  draw(); showTip(state.mark);
  $("live").textContent = describe(place(state.mark.along, state.mark.across));
});
canvas.addEventListener("blur", () => { state.mark = null; showTip(null); draw(); });

const wanted = () => {
  const node = nodes[Number($("node").value)], index = Number($("neuron").value);
  return node.first + Math.min(Math.max(0, Math.floor(index) || 0), node.size - 1);
};
$("node").addEventListener("change", () => {
  $("neuron").value = "0";
  $("neuron").max = nodes[$("node").value].size - 1;
});
function show(number) {
  chip = chips[number];
  $("instance").value = String(number);
}

$("sources").addEventListener("click", () => {
  const placed = placeOf(wanted());
  if (placed) show(placed.chip);
  choose(wanted(), "sources");
});
$("instance").addEventListener("change", () => { show(Number($("instance").value)); paintCells(); draw(); });
$("targets").addEventListener("click", () => choose(wanted(), "targets"));
$("clear").addEventListener("click", () => choose(-1, "sources"));
$("in").addEventListener("click", () => zoom(1.6));
$("out").addEventListener("click", () => zoom(1 / 1.6));
$("colour").addEventListener("change", () => { legend(); paintCells(); draw(); });
dark.addEventListener("change", () => { legend(); paintCells(); draw(); });
window.addEventListener("resize", layout);

nodes.forEach((node, k) => {
  element("option", `${node.name} (${node.input ? "input, " : ""}${node.size})`, $("node")).value = k;
});
$("neuron").max = nodes[0].size - 1;
chips.forEach((_, k) => { element("option", `${k}, of 0 to ${chips.length - 1}`, $("instance")).value = k; });
$("instance").parentElement.hidden = chips.length === 1;
legend();
layout();
canvas.dataset.ready = "yes";
