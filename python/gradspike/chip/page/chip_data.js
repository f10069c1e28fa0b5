// What the page knows of the network and the chip. Runs in one function with chip_map.js, before it.
// Cells of the map: across are the 256 columns, along are rows 255..0 of hemisphere 0, its neurons, those of
// hemisphere 1 and its rows 0..255. Wide pages draw "along" from left to right, narrow ones from top to bottom.
const COLUMNS = 256, ROWS = 256, GAP = 6, BAND = 18;
const LENGTH = 2 * (ROWS + GAP + BAND);
const BANDS = [ROWS + GAP, ROWS + GAP + BAND];
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7a8f00"];
const EXCITATORY = [0, 114, 178], INHIBITORY = [213, 94, 0];

const data = JSON.parse(document.getElementById("chip-data").textContent);
const canvas = document.getElementById("map-canvas");
if (!data || !canvas) return;
const $ = (name) => document.getElementById("map-" + name);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

// ---- data ----------------------------------------------------------------------------------------------------------

function unpack(text, Type) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; ++k) bytes[k] = raw.charCodeAt(k);
  return new Type(bytes.buffer);
}

const unsigned = ([size, text]) => unpack(text, { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[size]);

// Inputs and populations; neurons are counted over all of them.
const nodes = [...data.inputs.map((p) => ({ name: p.name, size: p.size, input: true })),
  ...data.populations.map((p) => ({ ...p, input: false, placed: new Array(p.size).fill(null) }))];
let total = 0;
for (const node of nodes) { node.first = total; total += node.size; }
const population = (index) => nodes[data.inputs.length + index];
const nodeOf = (neuron) => nodes.findLast((node) => node.first <= neuron);
const nameOf = (neuron) => { const node = nodeOf(neuron); return `${node.name} ${neuron - node.first}`; };

for (const projection of data.projections) {
  projection.sources = [];
  projection.row = new Map();
  for (const [kind, index, first, step, count] of projection.columns) {
    const node = kind ? population(index) : nodes[index];
    for (let k = 0; k < count; ++k) projection.sources.push(node.first + first + k * step);
  }
  for (const [post, row, step, count] of projection.rows) {
    for (let k = 0; k < count; ++k) projection.row.set(post + k, row + k * step);
  }
  projection.values = projection.weights === null ? null : unpack(projection.weights, Int16Array);
}

// One execution instance: what lies where, and of each synapse its source and target.
function load(instance, number) {
  const chip = { number, row_modes: instance.row_modes, at: new Int32Array(2 * ROWS * COLUMNS).fill(-1),
    neuronOfCircuit: new Int32Array(2 * COLUMNS).fill(-1) };
  for (const [index, neuron, address, circuits] of instance.neurons) {
    population(index).placed[neuron] = { address, circuits, chip: number };
    for (const circuit of circuits) chip.neuronOfCircuit[circuit] = population(index).first + neuron;
  }
  for (const [name, column] of Object.entries(instance.synapses)) chip[name] = unsigned(column);
  chip.count = chip.place.length;
  chip.source = new Int32Array(chip.count);
  chip.target = new Int32Array(chip.count);
  for (let s = 0; s < chip.count; ++s) {
    const projection = data.projections[chip.projection[s]];
    chip.at[chip.place[s]] = s;
    chip.source[s] = projection.sources[chip.pre[s]];
    chip.target[s] = population(projection.target).first + chip.post[s];
  }
  return chip;
}

const chips = data.instances.map(load);
let chip = chips[0];

function weight(s, on = chip) {
  const projection = data.projections[on.projection[s]];
  if (!projection.values) return null;
  return projection.values[projection.row.get(on.post[s]) * projection.in_features + on.pre[s]];
}
