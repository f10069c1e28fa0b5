"""From the normal form to a module of `gradspike.nn` layers."""

import keyword
import operator
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np
import torch
from torch import fx

from gradspike.nir._conventions import Convention, NeuronArguments, neuron_arguments
from gradspike.nir._cycle import Signal, cycle_of, recurrent_layer, signal_of
from gradspike.nir._layers import Layers
from gradspike.nir._modules import Bias, Delay, Threshold
from gradspike.nir._network import Analysis, Group, Projection, Unit
from gradspike.nir._options import Choices

META = "gradspike.nir"
"""Key of `GraphModule.meta` under which names and nodes of the graph are kept, for `to_nir`."""


class Builder:
    """Builds one module. The analysis must have no problems, neither its own nor those of `_policy`."""

    def __init__(self, analysis: Analysis, used: Convention, choices: Choices, inputs: List[str], outputs: List[str]):
        self.analysis = analysis
        self.used = used
        self.choices = choices
        self.inputs, self.outputs = inputs, outputs
        assert used.dt is not None
        self.layers = Layers(choices, used.dt, used.scale)
        self.root = torch.nn.Module()
        self.graph = fx.Graph()
        self.values: Dict[str, fx.Node] = {}
        self.delayed: Dict[Signal, fx.Node] = {}
        self.keys: Set[str] = set()
        self.modules: Dict[str, str] = {}
        self.meta: Dict[str, Any] = {
            "inputs": inputs, "outputs": outputs, "units": {}, "blocks": {}, "identities": [],
            "input_sizes": [analysis.units[name].size for name in inputs],
        }  # fmt: skip

    def build(self) -> fx.GraphModule:
        for name in self.inputs:
            placeholder = self.graph.placeholder(_identifier(name, set(self.keys)))
            self.keys.add(placeholder.target)  # type: ignore[arg-type]
            self.values[name] = placeholder
        self.keys.clear()
        for group in self.analysis.order:
            self._add_group(group)
        results = tuple(self._summed(self.analysis.units[name], np.ones(self.analysis.units[name].size))
                        for name in self.outputs)  # fmt: skip
        self.graph.output(results[0] if len(results) == 1 else results)
        self.root.training = True
        module = fx.GraphModule(self.root, self.graph, class_name="ImportedNetwork")
        module.meta[META] = self.meta
        return module

    # ---- groups ----------------------------------------------------------------------------------------------------

    def _add_group(self, group: Group) -> None:
        unit = self.analysis.units[group.members[0]]
        if group.recurrent:
            self._add_cycle(group)
        elif unit.is_population:
            self._add_population(unit)
        elif unit.type == "Threshold":
            shift = self._bias_sum(unit.name) if self.choices.options.bias == "leak" else 0.0
            threshold = self.layers.value(unit.parameters["threshold"] - shift)
            tensor = torch.as_tensor(threshold, dtype=torch.get_default_dtype())
            signal = self._summed(unit, np.ones(unit.size))
            self.values[unit.name] = self._call(unit.name, Threshold(tensor), signal)

    def _add_population(self, unit: Unit) -> None:
        neurons = self._neurons(unit)
        arrays = self.layers.arguments(unit, neurons, self.used.refractory_time)
        signal = self._summed(unit, neurons.sign)
        self.values[unit.name] = self._call(unit.name, self.layers.neurons(unit, arrays), signal)
        self._remember(unit, self.modules[unit.name])

    def _add_cycle(self, group: Group) -> None:
        units = [self.analysis.units[name] for name in group.members]
        neurons = {unit.name: self._neurons(unit) for unit in units}
        arguments = {u.name: self.layers.arguments(u, neurons[u.name], self.used.refractory_time) for u in units}
        cycle = cycle_of(self.analysis, group)
        signs = {name: entry.sign for name, entry in neurons.items()}
        layer = recurrent_layer(cycle, self.layers, arguments, signs, self.analysis)
        for attribute, side in (("projection", cycle.outer), ("recurrent_projection", cycle.inner)):
            if len(side) == 1:
                setattr(layer, attribute, self._key(side[0]))
        signals = [self._signal(signal) for signal in cycle.sources]
        joined = signals[0] if len(signals) == 1 else self.graph.call_function(torch.cat, (signals, -1))
        spikes = self._call("+".join(group.members), layer, joined)
        path = self.modules["+".join(group.members)]
        self.meta["blocks"][path] = [(unit.name, unit.size) for unit in units]
        for unit in units:
            span = cycle.span(unit.name)
            part: Tuple[Any, ...] = (spikes, (Ellipsis, slice(span.start, span.stop)))
            self.values[unit.name] = spikes if len(units) == 1 else self.graph.call_function(operator.getitem, part)
            self.modules[unit.name] = path
            self._remember(unit, path)
        for p in (*cycle.outer, *cycle.inner):
            self.modules.update(dict.fromkeys(p.nodes, path))

    def _neurons(self, unit: Unit) -> NeuronArguments:
        result = neuron_arguments(unit, self.used)
        if self.choices.options.bias == "leak":
            result.leak = result.leak + self.leak_shift(unit.name, result)
        return result

    def leak_shift(self, name: str, neurons: NeuronArguments) -> np.ndarray:
        """The voltage at which a constant input holds the membrane, above the leak."""
        current = self._bias_sum(name) * neurons.sign * neurons.tau_syn / (self.used.dt or 1.0)
        result: np.ndarray = current * neurons.tau_mem / neurons.membrane_capacitance
        return result

    def _bias_sum(self, target: str) -> Any:
        return sum((bias.value * self.analog_factor() for bias in self.analysis.biases_of(target)), 0.0)

    def analog_factor(self) -> float:
        """A constant is no sequence of Dirac pulses: it counts as held, and the gain is that of pulses."""
        return 1.0 if self.used.spike != "dirac" else (self.used.dt or 1.0) / self.used.times.unit

    def _remember(self, unit: Unit, path: str) -> None:
        entry: Dict[str, Any] = {"name": unit.name, "type": unit.type}
        if "w_in" in unit.parameters and f"{unit.type}.w_in" not in self.used.ignored:
            entry["w_in"] = unit.parameters["w_in"].copy()
        self.meta["units"].setdefault(path, []).append(entry)

    # ---- signals ---------------------------------------------------------------------------------------------------

    def _summed(self, unit: Unit, sign: np.ndarray) -> fx.Node:
        """The sum of what arrives at a unit, in the order of the analysis."""
        terms = [self._term(p, unit, sign) for p in self.analysis.into(unit.name)]
        total = terms[0]
        for term in terms[1:]:
            total = self.graph.call_function(operator.add, (total, term))
        if self.choices.options.bias == "add" and self.analysis.biases_of(unit.name):
            bias = self._bias_sum(unit.name) * sign
            tensor = torch.as_tensor(bias, dtype=torch.float64).to(self.layers.dtype())
            total = self._call(f"{unit.name}_bias", Bias(tensor.to(self.choices.options.device)), total)
        return total

    def _term(self, p: Projection, unit: Unit, sign: np.ndarray) -> fx.Node:
        signal = self._signal(signal_of(p))
        plain = p.weight is None and not unit.is_population
        if plain:
            return signal
        layer = self.layers.synapse(p, sign, self._key(p), quantised=unit.is_population or unit.type == "Output")
        result = self._call(p.name, layer, signal)
        path = str(result.target)
        self.modules.update(dict.fromkeys(p.nodes, path))
        if p.weight is None:
            self.meta["identities"].append(path)
        return result

    def _signal(self, signal: Signal) -> fx.Node:
        source, delay = signal
        if not delay:
            return self.values[source]
        if signal not in self.delayed:
            steps = torch.tensor([int(step) for step in delay], device=self.choices.options.device)
            self.delayed[signal] = self._call(f"{source}_delay", Delay(steps), self.values[source])
        return self.delayed[signal]

    def _call(self, name: str, module: torch.nn.Module, signal: fx.Node) -> fx.Node:
        path = _identifier(name, {key for key, _ in self.root.named_children()})
        self.root.add_module(path, module)
        self.modules.setdefault(name, path)
        return self.graph.call_module(path, (signal,))

    def _key(self, p: Projection) -> str:
        """A name for the registry that no other projection has."""
        key, number = p.name, 1
        if key in self.keys and p.weights:
            key = f"{p.name}->{p.target}"
        while key in self.keys:
            number += 1
            key = f"{p.name} {number}"
        self.keys.add(key)
        return key


_RESERVED: Set[str] = set(dir(torch.nn.Module)) | set(dir(fx.GraphModule)) | {"self", "graph", "code", "meta"}


def _identifier(name: str, taken: Set[str]) -> str:
    """A name for a module: of letters, digits and underscores, new, and none that modules have already."""
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name) or "node"
    if text[0].isdigit() or text[0] == "_":
        text = f"n{text}"
    if keyword.iskeyword(text) or text in _RESERVED or hasattr(torch.nn.Module(), text):
        text += "_"
    result, number = text, 2
    while result in taken:
        result, number = f"{text}_{number}", number + 1
    return result


def split(names: Optional[List[str]], wanted: List[Unit], argument: str) -> List[str]:
    """The order of inputs or outputs: as given, else natural. Raises where the names are not those of the graph."""
    known = [unit.name for unit in wanted]
    if names is None:
        return known
    if sorted(names) != sorted(known):
        raise ValueError(f"from_nir: {argument} must be the names {', '.join(known)} in any order, got {list(names)}")
    return list(names)
