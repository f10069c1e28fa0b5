"""A network of gradspike as modules of hxtorch.spiking; see hxtorch_server.py."""

import importlib
from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from protocol import LIF_ROWS, Blob, Refused, double_of_bits, float_of_bits, integers_of

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
UNTIL_THE_END = 2**31 - 1  # executions of a rule: hxtorch takes as many as there is time for


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

    def module(
        self, spiking: Any, experiment: Any, constants: Dict[str, float], record: bool, madc: Optional[int]
    ) -> Any:
        """The hxtorch module; its membrane trace is in model units, less the first sample.

        `madc` is the neuron that the MADC records, if it is one of these.
        """
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
        if madc is not None:
            settings["enable_madc_recording"] = True
            settings["record_neuron_id"] = madc
        if self.fires:
            settings["refractory_time"] = parameter(self.refractory_time)
            settings["enable_spike_recording"] = True
        return (spiking.LIF if self.fires else spiking.LI)(self.size, experiment, **settings)


Madc = Tuple[str, int]  # population and neuron that the MADC records; "" for none


class SynapseMatrix:
    """Integers between one source and one population that fit one synapse circuit per sign each, [post, pre]."""

    def __init__(self, source: Tuple[str, int], target: int, receptor: str, sizes: Tuple[int, int]) -> None:
        self.source = source
        self.target = target
        self.receptor = None if receptor == "signed" else receptor
        self.weights = torch.zeros(*sizes)
        self.taken: Set[int] = set()  # columns
        self.rule: Optional[Rule] = None

    @property
    def is_loop(self) -> bool:
        return self.source == ("population", self.target)

    def module(self, spiking: Any, experiment: Any) -> Any:
        """The hxtorch module with these integers."""
        saturating = importlib.import_module("hxtorch.spiking.transforms.weight_transforms").linear_saturating
        transform = partial(saturating, scale=1.0, min_weight=-float(MOST_WEIGHT), max_weight=float(MOST_WEIGHT))
        settings = {"transform": transform, "receptor": self.receptor}
        if self.rule is not None:
            settings["plasticity_rule"] = self.rule.hxtorch_rule()
        rows, columns = self.weights.shape
        synapse = spiking.Synapse(columns, rows, experiment, **settings)
        with torch.no_grad():
            synapse.weight.copy_(self.weights)
        return synapse


class Rule:
    """A plasticity rule and when it is executed."""

    def __init__(self, projection: Dict[str, Any]) -> None:
        # Fields that say nothing are left out of a description.
        self.kernel: str = projection["plasticity_rule"]
        self.start = double_of_bits(projection.get("plasticity_start", 0))
        self.period = double_of_bits(projection["plasticity_period"])
        self.executions: int = projection.get("plasticity_executions", 0) or UNTIL_THE_END
        if projection.get("plasticity_recording"):
            raise Refused(
                f"projection {projection['name']!r}: its rule records "
                f"{', '.join(projection['plasticity_recording'])}, and hxtorch's rules record nothing"
            )
        if self.period <= 0.0:
            raise Refused(f"projection {projection['name']!r}: its rule needs a period above 0, got {self.period:g} s")

    def hxtorch_rule(self) -> Any:
        """The rule of hxtorch, which counts microseconds."""
        rules = importlib.import_module("hxtorch.core.plasticity_rule")
        timer = rules.Timer(start=1e6 * self.start, period=1e6 * self.period, num_periods=self.executions)
        return rules.PlasticityRule(self.kernel, timer)


def synapse_matrices(network: Dict[str, Any], blobs: Dict[str, Blob]) -> List[SynapseMatrix]:
    """Concatenated, repeated and sliced inputs, and weights beyond one circuit, as several plain matrices."""
    result = []
    for projection in network["projections"]:
        matrices = matrices_of(network, projection, integers_of(blobs["integers/" + projection["name"]]))
        refuse_delays(projection, matrices)
        if projection["plasticity_rule"]:
            if len(matrices) != 1:
                raise Refused(
                    f"projection {projection['name']!r} takes {len(matrices)} Synapse modules of hxtorch, "
                    "and a plasticity rule belongs to one"
                )
            matrices[0].rule = Rule(projection)
        result += matrices
    return result


def refuse_delays(projection: Dict[str, Any], matrices: List[SynapseMatrix]) -> None:
    """A loop takes as long as the chip takes; no other delay can be set."""
    delay = projection["delay_steps"]
    if delay > 1:
        raise Refused(f"projection {projection['name']!r} has a delay of {delay} steps, and hxtorch sets none")
    if delay == 1 and not all(matrix.is_loop for matrix in matrices):
        raise Refused(
            f"projection {projection['name']!r} has a delay of a step from another population or an input, and hxtorch "
            "sets none: only a population that is connected to itself is supported"
        )


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
            if node.get("background"):
                raise Refused(f"input {node['name']!r} is made by background generators, which hxtorch does not set")
        self.populations = [NeuronSettings(described, dt, constants) for described in network["populations"]]
        self.matrices = synapse_matrices(network, blobs)
        self.constants = constants
        self.dt = dt
        reached = {matrix.target for matrix in self.matrices}
        for p, population in enumerate(self.populations):
            if p not in reached:
                raise Refused(f"population {population.name!r} has no projection, which hxtorch does not run")
        self.built: Dict[Any, Built] = {}  # by what is recorded

    @property
    def has_rules(self) -> bool:
        return any(matrix.rule is not None for matrix in self.matrices)

    def not_modelled(self, request: Dict[str, Any]) -> List[str]:
        phrases = ["placement and routing are those of hxtorch, not those of the mapping"]
        if any(matrix.is_loop for matrix in self.matrices):
            phrases.append("the delay of recurrent projections is that of the chip, not one time step")
        if request["madc"] is not None and request["batch"] > 1:
            phrases.append("MADC samples of a batch entry are those nearest to the sample times of the first")
        return phrases

    def build(self, spiking: Any, calibration: Any, record: Sequence[str], madc: Madc) -> "Built":
        key = (tuple(record), madc)
        if key not in self.built:
            experiment = spiking.Experiment(mock=False, dt=self.dt)
            if calibration is not None:
                experiment.calibration = calibration
            synapses = [matrix.module(spiking, experiment) for matrix in self.matrices]
            neurons = [
                p.module(spiking, experiment, self.constants, p.name in record, madc[1] if p.name == madc[0] else None)
                for p in self.populations
            ]
            self.built[key] = Built(
                experiment, synapses, neurons, self.wrappers(spiking, experiment, synapses, neurons)
            )
        return self.built[key]

    def wrappers(self, spiking: Any, experiment: Any, synapses: List[Any], neurons: List[Any]) -> Dict[int, Any]:
        """By population that is connected to itself the wrapper of its loop."""
        loops: Dict[int, List[Any]] = {}
        for matrix, synapse in zip(self.matrices, synapses):
            if matrix.is_loop:
                loops.setdefault(matrix.target, []).append(synapse)
        wrapper = measuring_wrapper(spiking) if loops else None
        return {
            p: wrapper(experiment, **{f"synapse{k}": s for k, s in enumerate(loop)}, neurons=neurons[p])
            for p, loop in loops.items()
        }

    def run(
        self, spiking: Any, calibration: Any, spikes: List[torch.Tensor], record: Sequence[str], madc: Madc
    ) -> List[Any]:
        """Handles of the populations, filled."""
        built = self.build(spiking, calibration, record, madc)
        sources: Dict[Tuple[str, int], Any] = {
            ("input", i): spiking.LIFObservables(spikes=tensor) for i, tensor in enumerate(spikes)
        }
        for p, neuron in enumerate(built.neurons):
            pairs = [(matrix, synapse) for matrix, synapse in zip(self.matrices, built.synapses) if matrix.target == p]
            inputs = [synapse(sources[matrix.source]) for matrix, synapse in pairs if not matrix.is_loop]
            if p not in built.wrappers:
                sources["population", p] = neuron(*inputs)
                continue
            # The loop is closed by a promise: it is the input of the synapses before the neurons are asked to keep it.
            promise = neuron.output_type()
            inputs += [synapse(promise) for matrix, synapse in pairs if matrix.is_loop]
            built.experiment.connect(neuron, tuple(inputs), promise)
            built.wrappers[p]()
            sources["population", p] = promise
        spiking.run(built.experiment, int(spikes[0].shape[0]))
        if self.has_rules:
            self.built.clear()  # the next run starts from the weights of the model
        return [sources["population", p] for p in range(len(built.neurons))]


class Built(NamedTuple):
    """A network as hxtorch has it."""

    experiment: Any
    synapses: List[Any]
    neurons: List[Any]
    wrappers: Dict[int, Any]


def measuring_wrapper(spiking: Any) -> Any:
    """The class of wrappers that give what the chip measured and compute nothing."""

    class Measuring(spiking.HXModuleWrapper):  # type: ignore[misc]
        def forward_func(self, *inputs: Any, hw_data: Any = None) -> Tuple[Any, ...]:
            """One handle per module, in their order; synapses have no measured data."""
            return tuple(spiking.SynapseHandle() if data is None else observables(data) for data in hw_data)

    def observables(data: Any) -> Any:
        return spiking.LIFObservables(
            spikes=data.spikes, membrane_cadc=data.voltage.cadc, membrane_madc=data.voltage.madc
        )

    return Measuring
