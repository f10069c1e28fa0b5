"""A backend in one file of plain Python: the ideal emulator, from the network description and the integers alone.

    gradspike.chip.attach("example", ["python3", "examples/backends/emulator_server.py"])
    gradspike.chip.deploy(model, target="example")

Its spikes and traces are the bits of the built-in emulator, since every operation is rounded to float32 on its own. It
shows what a server has to do; one for a chip puts its own calls in place of `Network.run_entry`.
"""

import array
import struct
import sys
from typing import Any, Dict, List, Tuple

from protocol import LIF_ROWS, Blob, Handler, Refused, events_blob, float_of_bits, integers_of, rows_of, serve


def float32(value: float) -> float:
    """The nearest float32. One sum or product in double, rounded once more, is the float32 operation exactly."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def neurons(first: int, step: int, count: int) -> List[int]:
    return [first + k * step for k in range(count)]


class Population:
    """Coefficients by neuron, and the steps of leaky integrate-and-fire neurons and leaky integrators."""

    def __init__(self, described: Dict[str, Any]) -> None:
        self.name: str = described["name"]
        self.size: int = described["size"]
        self.fires: bool = described["kind"] == "lif"
        self.sends_later = False
        columns = described["columns"]
        table = [float_of_bits(bits) for bits in described["coefficients"]]
        self.coefficients = [
            {
                name: table[row * columns + (n if columns > 1 else 0)]
                for row, name in enumerate(LIF_ROWS[: len(table) // columns])
            }
            for n in range(self.size)
        ]

    @property
    def state_rows(self) -> int:
        return (4 if self.sends_later else 3) if self.fires else 2

    def step(self, state: List[float], x: float, n: int) -> bool:
        """One step of neuron n; `state` is current, membrane, refractory steps left. True where it fires."""
        c = self.coefficients[n]
        current, membrane, left = state[:3]
        leak = float32(c["leak_conductance"] * float32(c["leak"] - membrane))
        change = float32(c["input_gain"] * float32(current + leak))
        current = float32(float32(current * c["current_decay"]) + x)
        membrane = float32(membrane + change)
        fired = False
        if self.fires:
            refractory = left > 0
            fired = membrane > c["threshold"] and not refractory
            if fired or refractory:
                membrane = c["reset"]
            left = c["refractory_steps"] if fired else max(left - 1.0, 0.0)
        state[:3] = [current, membrane, left]
        return fired


class Network:
    """A network that is ready to run."""

    def __init__(self, request: Dict[str, Any], blobs: Dict[str, Blob]) -> None:
        self.request = request
        described = request["network"]
        self.inputs: List[str] = [node["name"] for node in described["inputs"]]
        self.generated: List[str] = [node["name"] for node in described["inputs"] if "background" in node]
        self.populations = [Population(population) for population in described["populations"]]
        # For each source neuron ("input" or "population", index, neuron): weights (projection, target neuron, weight).
        self.synapses: Dict[Tuple[str, int, int], List[Tuple[int, int, int]]] = {}
        self.projections = described["projections"]
        for number, projection in enumerate(self.projections):
            self.connect(number, projection, integers_of(blobs["integers/" + projection["name"]]))
        # Of each population its projections in the order in which their sums are added.
        self.terms = [
            sorted((q["position"], number) for number, q in enumerate(self.projections) if q["target"] == p)
            for p in range(len(self.populations))
        ]

    def connect(self, number: int, projection: Dict[str, Any], matrix: Tuple[int, int, List[int]]) -> None:
        _, columns, weights = matrix
        targets = [
            (run["target_first"] + k, run["row_first"] + k * run["row_step"])
            for run in projection["rows"]
            for k in range(run["count"])
        ]
        column = 0
        for run in projection["columns"]:
            kind, index = run["source"]["kind"], run["source"]["index"]
            if projection["delay_steps"] > 0 and kind == "population":
                self.populations[index].sends_later = True
            for neuron in neurons(run["first"], run["step"], run["count"]):
                reached = self.synapses.setdefault((kind, index, neuron), [])
                for target, row in targets:
                    weight = weights[row * columns + column]
                    if weight != 0:
                        reached.append((number, target, weight))
                column += 1

    def run_entry(self, steps: int, events: Dict[Tuple[int, int], List[Tuple[int, int]]], states: Any) -> Any:
        """One batch entry.

        Args:
            steps: Number of time steps.
            events: By input and step, spikes (neuron, count).
            states: By population the start of each neuron, [current, membrane, refractory steps, last spike].

        Returns:
            By population the spikes (step, neuron), and by population, step and neuron (membrane, current).
        """
        factors = [float_of_bits(projection["factor"]) for projection in self.projections]
        spikes: List[List[Tuple[int, int]]] = [[] for _ in self.populations]
        traces: List[List[List[Tuple[float, float]]]] = [[] for _ in self.populations]
        later = self.empty_sums()
        for p, population in enumerate(self.populations):
            for n in range(population.size if population.sends_later else 0):
                if states[p][n][3] != 0:  # a spike of the step before the first enters delayed sums alone
                    self.send(("population", p, n), 1, self.empty_sums(), later)
        for t in range(steps):
            sums, later = later, self.empty_sums()
            for i in range(len(self.inputs)):
                for neuron, count in events.get((i, t), ()):
                    self.send(("input", i, neuron), count, sums, later)
            for p, population in enumerate(self.populations):
                row = []
                for n in range(population.size):
                    x = 0.0
                    for _, number in self.terms[p]:
                        x = float32(x + float32(float32(sums[number][n]) * factors[number]))
                    state = states[p][n]
                    state[3] = float(population.step(state, x, n))
                    if state[3] != 0:
                        spikes[p].append((t, n))
                        self.send(("population", p, n), 1, sums, later)
                    row.append((state[1], state[0]))
                traces[p].append(row)
        return spikes, traces

    def empty_sums(self) -> List[List[int]]:
        return [[0] * self.populations[projection["target"]].size for projection in self.projections]

    def send(self, source: Tuple[str, int, int], count: int, sums: List[List[int]], later: List[List[int]]) -> None:
        for number, target, weight in self.synapses.get(source, ()):
            (later if self.projections[number]["delay_steps"] > 0 else sums)[number][target] += count * weight

    def start(self, blobs: Dict[str, Blob], b: int, batch: int) -> Any:
        """By population the start of each neuron: as given, else at leak, without current, not refractory."""
        states = []
        for population in self.populations:
            given = blobs.get("state/" + population.name)
            size, rows = population.size, population.state_rows
            if given is None:
                states.append([[0.0, population.coefficients[n]["leak"], 0.0, 0.0] for n in range(size)])
            else:
                values = [[given[2][(row * batch + b) * size + n] for row in range(rows)] for n in range(size)]
                states.append([(value + [0.0, 0.0])[:4] for value in values])
        return states


class EmulatorServer(Handler):
    """Answers with one part per batch entry, so that what is complete is never lost."""

    name = "example emulator"
    updates = True

    def __init__(self) -> None:
        super().__init__()
        self.networks: Dict[int, Network] = {}

    def compile(self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]) -> str:
        options = request["options"]
        if options["preset"] != "ideal":
            raise Refused(f"there is no preset {options['preset']!r}, only 'ideal'")
        if options["constants"] or options["calibration"]:
            raise Refused("the ideal emulator has neither constants nor a calibration")
        self.networks[program] = Network(request, blobs)
        return "emulator ideal"

    def update(self, program: int, previous: int, blobs: Dict[str, Blob]) -> None:
        self.networks[program] = Network(self.networks[previous].request, blobs)

    def forget(self, program: int) -> None:
        self.networks.pop(program, None)

    def run(
        self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]
    ) -> Tuple[Dict[str, Any], Dict[str, Blob]]:
        if request["madc"] is not None:
            raise Refused("the ideal emulator has no MADC")
        network = self.networks[program]
        inputs: Dict[int, Dict[Tuple[int, int], List[Tuple[int, int]]]] = {}
        for i, name in enumerate(network.inputs):
            for step, b, neuron, count in rows_of(blobs["input/" + name]):
                inputs.setdefault(b, {}).setdefault((i, step), []).append((neuron, count))
        for b in range(request["batch"]):
            self.run_entry(network, request, blobs, inputs.get(b, {}), b)
        rules = [q["name"] for q in network.projections if q["plasticity_rule"]]
        left_out = [f"plasticity of projection {name}" for name in rules]
        left_out += [f"background generators of {name}, the given spikes run" for name in network.generated]
        return {"target": "emulator ideal", "not_modelled": left_out}, {}

    def run_entry(self, network: Network, request: Dict[str, Any], blobs: Dict[str, Blob], events: Any, b: int) -> None:
        states = network.start(blobs, b, request["batch"])
        spikes, traces = network.run_entry(request["steps"], events, states)
        recorded: Dict[str, Blob] = {}
        for p, population in enumerate(network.populations):
            shape = (request["steps"], 1, population.size)
            if population.fires:
                recorded["spikes/" + population.name] = events_blob([(t, b, n) for t, n in spikes[p]])
            for k, name in enumerate(("membrane", "current")):
                if population.name in request["record_" + name]:
                    values = array.array("f", [pair[k] for row in traces[p] for pair in row])
                    recorded[f"{name}/{population.name}"] = ("f32", shape, values)
            rows = population.state_rows
            ends = array.array("f", [state[row] for row in range(rows) for state in states[p]])
            recorded["state/" + population.name] = ("f32", (rows, 1, population.size), ends)
        self.part(b, 1, recorded, counters={"spikes_on_chip": sum(map(len, spikes))})


if __name__ == "__main__":
    serve(EmulatorServer())
    sys.exit(0)
