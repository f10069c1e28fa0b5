"""A backend for a laboratory that has hxtorch and a BrainScaleS-2 chip.

    gradspike.chip.attach("bss2", ["python3", "hxtorch_server.py"], timeout=600)
    gradspike.chip.deploy(model, target="bss2")

Every projection becomes hxtorch.spiking.Synapse modules that carry the integers, every population an LIF or LI module;
hxtorch maps, routes and runs them, so that the mapping of gradspike is not used. Model units are CADC readings:
reading = zero_lsb + lsb_per_unit * value. Give each Synapse of the model the `scale` that the chip has, LSB per model
weight: with the constants below about 55; measure it (hxtorch's get_weight_scaling) for your calibration.

For hxtorch as published with hxtorch.core and hxtorch.spiking (2026). Not supported, and refused: recurrent
projections, plasticity rules, the MADC, recording of currents, initial states.
"""

import argparse
import array
import importlib
import time
from functools import partial
from typing import Any, Dict, List, Sequence, Set, Tuple

import torch
from protocol import (
    LIF_ROWS,
    Blob,
    Handler,
    Refused,
    double_of_bits,
    events_blob,
    float_of_bits,
    integers_of,
    rows_of,
    serve,
)

# Constants of a deployment, and what they are unless the user says otherwise. zero_lsb, lsb_per_unit: hxtorch's default
# leak of 80 and threshold of 125 for a model whose leak is 0 and threshold is 1; the others are its default biases.
CONSTANTS = {
    "zero_lsb": 80.0,
    "lsb_per_unit": 45.0,
    "i_synin_gm": 500.0,
    "synapse_dac_bias": 600.0,
    "capacitance": 63.0,
}

# What the calibration (calix) can reach.
RANGES = {
    "leak [CADC LSB]": (50.0, 160.0),
    "reset [CADC LSB]": (50.0, 160.0),
    "threshold [CADC LSB]": (50.0, 220.0),
    "tau_mem [s]": (0.5e-6, 60e-6),
    "tau_syn [s]": (0.3e-6, 30e-6),
    "refractory_time [s]": (40e-9, 32e-6),
}
MOST_WEIGHT = 63  # of one synapse circuit


def in_range(population: str, quantity: str, values: List[float]) -> List[float]:
    low, high = RANGES[quantity]
    for value in values:
        if not low * 0.999 <= value <= high * 1.001:  # the description holds float32 coefficients, not the times
            raise Refused(f"population {population!r}: {quantity} must be in {low:g}..{high:g}, got {value:g}")
    return values


def parameter(values: List[float]) -> Any:
    """One number where all neurons have the same, else a tensor [neuron]."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values)


class NeuronSettings:
    """Parameters of a population, of the model and of the chip, from its coefficients."""

    def __init__(self, described: Dict[str, Any], dt: float, constants: Dict[str, float]) -> None:
        self.name: str = described["name"]
        self.size: int = described["size"]
        self.fires: bool = described["kind"] == "lif"
        columns = described["columns"]
        table = [float_of_bits(bits) for bits in described["coefficients"]]
        rows = {name: table[k * columns : (k + 1) * columns] for k, name in enumerate(LIF_ROWS)}
        pairs = list(zip(rows["input_gain"], rows["leak_conductance"]))
        self.capacitance = [dt / gain for gain, _ in pairs]
        self.tau_mem = in_range(self.name, "tau_mem [s]", [dt / (gain * leak) for gain, leak in pairs])
        self.tau_syn = in_range(self.name, "tau_syn [s]", [dt / (1.0 - decay) for decay in rows["current_decay"]])
        shortest = RANGES["refractory_time [s]"][0]
        times = [max(steps * dt, shortest) for steps in rows["refractory_steps"]]
        self.refractory_time = in_range(self.name, "refractory_time [s]", times)
        self.voltages = {name: rows[name] for name in ("leak", "reset", "threshold") if rows[name]}
        self.readings = {
            name: in_range(
                self.name,
                f"{name} [CADC LSB]",
                [constants["zero_lsb"] + constants["lsb_per_unit"] * value for value in values],
            )
            for name, values in self.voltages.items()
        }

    def module(self, spiking: Any, experiment: Any, constants: Dict[str, float], record: bool) -> Any:
        """The hxtorch module; its membrane trace is in model units, less the first sample."""
        mixed = spiking.MixedHXModelParameter
        settings = {
            name: mixed(parameter(self.voltages[name]), parameter(self.readings[name])) for name in self.voltages
        }
        settings["tau_mem"] = parameter(self.tau_mem)
        settings["tau_syn"] = parameter(self.tau_syn)
        settings["i_synin_gm"] = int(constants["i_synin_gm"])
        settings["synapse_dac_bias"] = int(constants["synapse_dac_bias"])
        settings["membrane_capacitance"] = mixed(parameter(self.capacitance), int(constants["capacitance"]))
        settings["enable_cadc_recording"] = record
        settings["trace_scale"] = 1.0 / constants["lsb_per_unit"]
        settings["shift_cadc_to_first"] = True
        if self.fires:
            settings["refractory_time"] = parameter(self.refractory_time)
            settings["enable_spike_recording"] = True
        return (spiking.LIF if self.fires else spiking.LI)(self.size, experiment, **settings)


class SynapseMatrix:
    """Integers between one source and one population that fit one synapse circuit per sign each, [post, pre]."""

    def __init__(self, source: Tuple[str, int], target: int, receptor: str, sizes: Tuple[int, int]) -> None:
        self.source = source
        self.target = target
        self.receptor = None if receptor == "signed" else receptor
        self.weights = torch.zeros(*sizes)
        self.taken: Set[int] = set()  # columns


def synapse_matrices(network: Dict[str, Any], blobs: Dict[str, Blob]) -> List[SynapseMatrix]:
    """Concatenated, repeated and sliced inputs, and weights beyond one circuit, as several plain matrices."""
    result = []
    for projection in network["projections"]:
        if projection["delay_steps"] > 0:
            raise Refused(f"projection {projection['name']!r} is recurrent, which this server does not support")
        if projection["plasticity_rule"]:
            raise Refused(f"projection {projection['name']!r} has a plasticity rule, which this server does not upload")
        result += matrices_of(network, projection, integers_of(blobs["integers/" + projection["name"]]))
    return result


def matrices_of(
    network: Dict[str, Any], projection: Dict[str, Any], integers: Tuple[int, int, List[int]]
) -> List[SynapseMatrix]:
    rows, columns, values = integers
    weights = torch.tensor(values, dtype=torch.float32).reshape(rows, columns)
    size = network["populations"][projection["target"]]["size"]
    targets, sources = torch.zeros(size, columns), []
    for run in projection["rows"]:
        for k in range(run["count"]):
            targets[run["target_first"] + k] = weights[run["row_first"] + k * run["row_step"]]
    for run in projection["columns"]:
        node = (run["source"]["kind"], run["source"]["index"])
        sources += [(node, run["first"] + k * run["step"]) for k in range(run["count"])]
    bound = max(abs(projection["min_weight"]), abs(projection["max_weight"]))
    result: List[SynapseMatrix] = []
    for column, (node, neuron) in enumerate(sources):
        left = targets[:, column]
        for _ in range(max(1, -(-bound // MOST_WEIGHT))):
            matrix = free_matrix(result, network, projection, node, neuron)
            matrix.weights[:, neuron] = left.clamp(-MOST_WEIGHT, MOST_WEIGHT)
            left = left - matrix.weights[:, neuron]
    return result


def free_matrix(
    matrices: List[SynapseMatrix],
    network: Dict[str, Any],
    projection: Dict[str, Any],
    node: Tuple[str, int],
    neuron: int,
) -> SynapseMatrix:
    """The first matrix of a source in which column `neuron` is free."""
    for matrix in matrices:
        if matrix.source == node and neuron not in matrix.taken:
            break
    else:
        nodes = network["inputs"] if node[0] == "input" else network["populations"]
        sizes = (network["populations"][projection["target"]]["size"], nodes[node[1]]["size"])
        matrix = SynapseMatrix(node, projection["target"], projection["receptor"], sizes)
        matrices.append(matrix)
    matrix.taken.add(neuron)
    return matrix


class ChipNetwork:
    """A network as hxtorch modules. Other weights make another one: hxtorch does not reliably see that they changed."""

    def __init__(self, network: Dict[str, Any], constants: Dict[str, float], blobs: Dict[str, Blob], dt: float) -> None:
        self.inputs = network["inputs"]
        for node in self.inputs:
            if "background" in node:
                raise Refused(f"input {node['name']!r} needs background generators, which this server does not set up")
        self.populations = [NeuronSettings(described, dt, constants) for described in network["populations"]]
        self.matrices = synapse_matrices(network, blobs)
        self.constants = constants
        self.dt = dt
        reached = {matrix.target for matrix in self.matrices}
        for p, population in enumerate(self.populations):
            if p not in reached:
                raise Refused(f"population {population.name!r} has no projection, which hxtorch does not run")
        self.built: Dict[Tuple[str, ...], Any] = {}  # by names of the populations whose membranes are recorded

    def build(self, spiking: Any, calibration: Any, record: Sequence[str]) -> Any:
        key = tuple(record)
        if key not in self.built:
            saturating = importlib.import_module("hxtorch.spiking.transforms.weight_transforms").linear_saturating
            transform = partial(saturating, scale=1.0, min_weight=-float(MOST_WEIGHT), max_weight=float(MOST_WEIGHT))
            experiment = spiking.Experiment(mock=False, dt=self.dt)
            if calibration is not None:
                experiment.calibration = calibration
            synapses = []
            for matrix in self.matrices:
                rows, columns = matrix.weights.shape
                synapse = spiking.Synapse(columns, rows, experiment, transform=transform, receptor=matrix.receptor)
                with torch.no_grad():
                    synapse.weight.copy_(matrix.weights)
                synapses.append(synapse)
            neurons = [p.module(spiking, experiment, self.constants, p.name in record) for p in self.populations]
            self.built[key] = (experiment, synapses, neurons)
        return self.built[key]

    def run(self, spiking: Any, calibration: Any, spikes: List[torch.Tensor], record: Sequence[str]) -> List[Any]:
        """Handles of the populations, filled."""
        experiment, synapses, neurons = self.build(spiking, calibration, record)
        sources: Dict[Tuple[str, int], Any] = {
            ("input", i): spiking.LIFObservables(spikes=tensor) for i, tensor in enumerate(spikes)
        }
        for p, neuron in enumerate(neurons):
            pairs = [(matrix, synapse) for matrix, synapse in zip(self.matrices, synapses) if matrix.target == p]
            sources["population", p] = neuron(*[synapse(sources[matrix.source]) for matrix, synapse in pairs])
        spiking.run(experiment, int(spikes[0].shape[0]))
        return [sources["population", p] for p in range(len(neurons))]


class HxtorchServer(Handler):
    name = "hxtorch server"

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.arguments = arguments
        self.hxtorch: Any = None
        self.calibration: Any = None
        self.networks: Dict[int, ChipNetwork] = {}

    def greet(self) -> None:
        if self.hxtorch is not None:
            return
        try:
            hxtorch = importlib.import_module("hxtorch")
            importlib.import_module("hxtorch.spiking")
            hxtorch.init_hardware()
        except Exception as error:  # whatever the chip stack raises
            raise Refused(f"there is no hxtorch with a chip: {type(error).__name__}: {error}") from None
        self.hxtorch = hxtorch
        if self.arguments.calibration:
            module, _, function = self.arguments.calibration_reader.rpartition(".")
            self.calibration = getattr(importlib.import_module(module), function)(self.arguments.calibration)

    def health(self) -> Dict[str, str]:
        return {"status": "ready", "hxtorch": str(getattr(self.hxtorch, "__version__", "unknown"))}

    def compile(self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]) -> str:
        options = request["options"]
        if options["preset"] != "ideal" or options["calibration"]:
            raise Refused("a chip has no presets, and its calibration is given to the server (--calibration)")
        unknown = sorted(set(options["constants"]) - set(CONSTANTS))
        if unknown:
            raise Refused(f"there is no constant {unknown[0]!r}, only {', '.join(CONSTANTS)}")
        network = request["network"]
        constants = {**CONSTANTS, **options["constants"]}
        self.networks[program] = ChipNetwork(network, constants, blobs, double_of_bits(network["dt"]))
        return self.arguments.chip

    def forget(self, program: int) -> None:
        self.networks.pop(program, None)

    def run(
        self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]
    ) -> Tuple[Dict[str, Any], Dict[str, Blob]]:
        refuse_unsupported(request, blobs)
        network = self.networks[program]
        started, dropped = time.monotonic(), 0
        spikes = []
        for node in network.inputs:
            tensor = torch.zeros(request["steps"], request["batch"], node["size"])
            for step, b, neuron, count in rows_of(blobs["input/" + node["name"]]):
                tensor[step, b, neuron] = 1.0
                dropped += count - 1  # hxtorch sends one event per neuron and step
            spikes.append(tensor)
        for first in range(0, request["batch"], self.arguments.entries):
            self.run_entries(network, request, [s[:, first : first + self.arguments.entries] for s in spikes], first)
        fields = {
            "target": self.arguments.chip,
            "counters": {"events_sent": int(sum(s.sum() for s in spikes)), "events_dropped": dropped},
            "timing": {"run": time.monotonic() - started},
            "constants": network.constants,
            "not_modelled": ["placement and routing are those of hxtorch, not those of the mapping"],
        }
        return fields, {}

    def run_entries(
        self, network: ChipNetwork, request: Dict[str, Any], spikes: List[torch.Tensor], first: int
    ) -> None:
        """Some batch entries, sent as soon as they are there."""
        steps, count, record = request["steps"], spikes[0].shape[1], request["record_membrane"]
        try:
            handles = network.run(self.hxtorch.spiking, self.calibration, spikes, record)
        except Exception as error:
            network.built.clear()
            raise Refused(f"hxtorch failed: {type(error).__name__}: {error}") from None
        recorded: Dict[str, Blob] = {}
        seen = 0
        for population, handle in zip(network.populations, handles):
            if population.fires:
                fired = cut(handle.spikes, "spikes", population.name, steps, count) != 0
                events = [(int(t), first + int(b), int(n)) for t, b, n in fired.nonzero()]
                recorded["spikes/" + population.name] = events_blob(events)
                seen += len(events)
            if population.name in record:
                leak = torch.tensor(population.voltages["leak"])
                trace = (cut(handle.membrane_cadc, "membranes", population.name, steps, count) + leak).contiguous()
                values = array.array("f", trace.float().flatten().tolist())
                recorded["membrane/" + population.name] = ("f32", (steps, count, population.size), values)
        self.part(first, count, recorded, counters={"spikes_on_chip": seen})

    def close(self) -> None:
        if self.hxtorch is not None:
            self.hxtorch.release_hardware()


def refuse_unsupported(request: Dict[str, Any], blobs: Dict[str, Blob]) -> None:
    if request["record_current"]:
        raise Refused("the chip does not measure synaptic currents")
    if request["madc"] is not None:
        raise Refused("this server does not read the MADC")
    if request["inter_batch_wait"] > 0:
        raise Refused("this server sets no time between batch entries")
    if any(name.startswith("state/") for name in blobs):
        raise Refused("neurons on the chip start at rest, they take no initial state")
    if request["steps"] < 1:
        raise Refused("a run on the chip has at least one step")


def cut(recorded: Any, what: str, population: str, steps: int, count: int) -> torch.Tensor:
    """The first `steps` rows: hxtorch returns one more than it was asked for."""
    if recorded is None or recorded.shape[0] < steps or recorded.shape[1] != count:
        shape = None if recorded is None else list(recorded.shape)
        raise Refused(
            f"hxtorch returned {what} {shape} of population {population!r} for {steps} steps, {count} entries"
        )
    return recorded[:steps].detach().cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs networks of gradspike on a BrainScaleS-2 chip with hxtorch.")
    parser.add_argument("--chip", default="BrainScaleS-2", help="name of the chip, which results carry")
    parser.add_argument("--entries", type=int, default=100, help="batch entries per run of hxtorch")
    parser.add_argument("--calibration", default="", help="file of a calibration; default: that of hxtorch")
    parser.add_argument("--calibration-reader", default="", help="MODULE.FUNCTION that reads it")
    serve(HxtorchServer(parser.parse_args()))


if __name__ == "__main__":
    main()
