"""From the calls of an experiment to plain modules: the road to a file and to a backend."""

import operator
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike import nn
from gradspike.spiking.backend.module_manager import Call, describe, execution_order, external_inputs
from gradspike.spiking.functional.deprecated import time_constant
from gradspike.spiking.modules._recurrent import joined_arithmetic, overrides_forward_func, recurrent_pattern
from gradspike.spiking.modules.batch_dropout import BatchDropout
from gradspike.spiking.modules.event_prop_synapse import EventPropSynapse
from gradspike.spiking.modules.hx_module_wrapper import HXModuleWrapper
from gradspike.spiking.modules.neuron import AELIF, LI, EventPropLIF
from gradspike.spiking.modules.neuron_exp import NeuronExp, ReadoutNeuronExp
from gradspike.spiking.modules.sparse_synapse import SparseSynapse
from gradspike.spiking.modules.synapse import Synapse
from gradspike.spiking.modules.types import InputPopulation, Population
from gradspike.spiking.transforms.weight_transforms import CHIP_RANGE, LinearTransform, rounded


class Equivalent(NamedTuple):
    """The plain module of an experiment.

    Attributes:
        module: `torch.fx.GraphModule` of `gradspike.nn` modules that share the parameters of the experiment.
        names: Key of each projection and population.
        outputs: Populations whose handles the module returns, in order.
        integers_only: Keys of projections with a transform of their own: the module computes with their integers.
    """

    module: torch.fx.GraphModule
    names: Dict[Any, str]
    outputs: List[Any]
    integers_only: List[str]


def equivalent(
    experiment: Any, calls: Sequence[Call], *, on_chip: bool, paths: Optional[Dict[Any, str]] = None
) -> Equivalent:
    """The plain module of the calls.

    Args:
        experiment: The experiment.
        calls: What was called.
        on_chip: Whether the module is to be put on a backend: what the host computes is left out, EventProp neurons
            become those of the chip, and dropout zeroes the connections of dropped neurons.
        paths: Names of modules that have none of their own.
    """
    return _Builder(experiment, calls, on_chip, paths or {}).build()


class _Sparse(torch.nn.Module):
    """The existing connections of a dense weight."""

    def __init__(
        self, weight: torch.nn.Parameter, index: Tensor, arithmetic: LinearTransform, rounding: str, name: str
    ) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("index", index)
        self.out_features = int(weight.shape[0])
        self.scale, self.min_weight, self.max_weight = arithmetic
        self.rounding = rounding
        self.projection = name

    def forward(self, spikes: Tensor) -> Tensor:
        index = self.index
        assert isinstance(index, Tensor)
        result: Tensor = torch.ops.gradspike.sparse_graded_spikes(
            spikes,
            self.weight[index[0], index[1]],
            index,
            self.out_features,
            self.scale,
            self.min_weight,
            self.max_weight,
            rounding=self.rounding,
            projection=self.projection,
        )
        return result


class _Scaled(torch.nn.Module):
    """A transform of the user, in model units: its integers over the scale."""

    def __init__(self, transform: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.transform = transform
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return rounded(self.transform(weight)) / self.scale


class Integers(torch.nn.Module):
    """What a transform of the user made of the weight, in model units; on a backend it is made anew for each run."""

    integers: Tensor

    def __init__(self, integers: Tensor, scale: float) -> None:
        super().__init__()
        self.register_buffer("integers", integers)
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return torch.round(self.integers) / self.scale


class _Weight(torch.nn.Module):
    """The weight of a projection; 0 where a mask says that no connection exists."""

    def __init__(self, weight: torch.nn.Parameter, mask: Optional[Tensor]) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("mask", mask)

    def forward(self) -> Tensor:
        weight: Tensor = self.weight
        mask = self.mask
        if isinstance(mask, Tensor):
            weight = weight * mask
        return weight


class _JoinedRecurrentLIF(nn.RecurrentLIF):
    """A recurrent population whose input comes through several projections, side by side."""

    def join(self, weights: Sequence[_Weight]) -> None:
        """Takes the weights of the projections in the place of one of its own."""
        del self.input_weight
        self.first = weights[0]
        self.others = torch.nn.ModuleList(weights[1:])

    def effective_input_weight(self) -> Tensor:
        joined: Tensor = self.first()
        for other in self.others:  # one by one: the reader evaluates no list that grows
            joined = torch.cat([joined, other()], dim=1)
        return joined

    def __getattr__(self, name: str) -> Any:
        """The joined weight for those who look for it by the name of the layer's own."""
        joined = name == "input_weight" and "others" in self._modules
        return self.effective_input_weight() if joined else super().__getattr__(name)


class Kept(torch.nn.Module):
    """Weights times 1 for neurons that dropout keeps and 0 for the others, which change from run to run.

    A mask `[out_features, in_features]` would say which connections exist at all, see `gradspike.nn.Synapse`.
    """

    kept: Tensor

    def __init__(self, transform: Optional[torch.nn.Module], kept: Tensor) -> None:
        super().__init__()
        self.transform = transform
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        if self.transform is not None:
            weight = self.transform(weight)
        return weight * self.kept


class _Builder:
    def __init__(self, experiment: Any, calls: Sequence[Call], on_chip: bool, paths: Dict[Any, str]) -> None:
        self.experiment = experiment
        self.on_chip = on_chip
        self.calls = execution_order(experiment.modules.contracted(calls))
        self.paths = paths
        self.root = torch.nn.Module()
        self.graph = torch.fx.Graph()
        self.values: Dict[int, Any] = {}  # by identity of a handle, its graph node
        self.masks: Dict[int, Tensor] = {}  # by identity of a handle, the neurons that dropout keeps
        self.names: Dict[Any, str] = {}
        self.integers_only: List[str] = []

    def build(self) -> Equivalent:
        for number, handle in enumerate(external_inputs(self.calls)):
            self.values[id(handle)] = self.graph.placeholder(f"input{number}")
        for call in self.calls:
            self._add(call)
        outputs = self._outputs()
        nodes = tuple(node for _, node in outputs)
        self.graph.output(nodes[0] if len(nodes) == 1 else nodes)
        module = torch.fx.GraphModule(self.root, self.graph, class_name="ExperimentModule")
        return Equivalent(module, self.names, [population for population, _ in outputs], self.integers_only)

    def _outputs(self) -> List[Tuple[Any, Any]]:
        """What no layer reads; on a chip, of populations alone: host code may read them."""
        found: Dict[Any, Any] = {}
        for call in self.calls:
            modules = list(call.module.wrapped.values()) if isinstance(call.module, HXModuleWrapper) else [call.module]
            for module, target in zip(modules, call.targets[-len(modules) :]):
                node = self.values.get(id(target))
                wanted = isinstance(module, Population) or not self.on_chip
                if node is not None and not node.users and wanted:
                    found.setdefault(node, module)
        return [(module, node) for node, module in found.items()]

    def _add(self, call: Call) -> None:
        module = call.module
        self._require_own_function(module)
        if isinstance(module, HXModuleWrapper):
            self._add_recurrent(module, call)
        elif isinstance(module, Synapse):
            self._add_projection(module, call)
        elif isinstance(module, AELIF):
            self._add_population(module, call)
        elif isinstance(module, InputPopulation):
            self._pass_through(call)
        elif isinstance(module, BatchDropout):
            self._add_dropout(module, call)
        elif self.on_chip:
            self._pass_through(call)
        else:
            raise NotImplementedError(
                f"{describe(self.experiment, module)} has no counterpart in gradspike.nn: only projections, "
                "populations, dropout and recurrent wrappers of gradspike.spiking go into a file"
            )

    def _require_own_function(self, module: Any) -> None:
        """Off the chip, what a module computes must be what its layer computes.

        A projection whose transform is the user's goes as its integers, and the file says so: `weight_scale` tells
        what they are worth, whatever the projection simulates with.
        """
        known = isinstance(module, (HXModuleWrapper, Synapse, AELIF, InputPopulation, BatchDropout))
        if self.on_chip or not known or not overrides_forward_func(module):
            return
        if isinstance(module, Synapse) and module.linear() is None and module.weight_scale is not None:
            return
        raise NotImplementedError(
            f"{describe(self.experiment, module)} overrides forward_func: what it computes has no counterpart in "
            "gradspike.nn; on a backend its transform decides what the chip holds"
        )

    def _fill(self, call: Call, value: Any, mask: Optional[Tensor] = None) -> None:
        for target in call.targets:
            self.values[id(target)] = value
            if mask is not None:
                self.masks[id(target)] = mask

    def _pass_through(self, call: Call) -> None:
        handle = call.inputs[0]
        if id(handle) in self.values:
            self._fill(call, self.values[id(handle)], self.masks.get(id(handle)))

    def _call(self, module: torch.nn.Module, key: str, *inputs: Any) -> Any:
        attribute = key.replace(".", "_")
        while hasattr(self.root, attribute):
            attribute += "_"
        self.root.add_module(attribute, module)
        return self.graph.call_module(attribute, inputs)

    def _name(self, module: Any) -> str:
        """The module's own name, the path by which a model holds it, or class and number."""
        if module not in self.names:
            number = self.experiment.modules.nodes.get(module, 0)
            name = getattr(module, "name", None) or self.paths.get(module)
            self.names[module] = name or f"{type(module).__name__.lower()}{number}"
        return self.names[module]

    # Projections

    def _add_projection(self, module: Synapse, call: Call) -> None:
        if len(call.inputs) != 1:
            raise ValueError(
                f"{describe(self.experiment, module)} was called {len(call.inputs)} times in one run: a projection has "
                "one source, make one for each"
            )
        handle = call.inputs[0]
        layer = self._projection(module, self.masks.get(id(handle)))
        value = self._call(layer, "synapse_" + self._name(module), self.values[id(handle)])
        self._fill(call, value)

    def _projection(self, module: Synapse, kept: Optional[Tensor]) -> torch.nn.Module:
        name = self._name(module)
        linear, transform = module.linear(), None  # type: Any, Optional[torch.nn.Module]
        if linear is None:
            self.integers_only.append(name)
            module.warn_of_clipped_weights()
            scale = module.lsb_per_unit() or 1.0
            own = module.weight_transform
            transform = Integers(module.transformed_weight(), scale) if self.on_chip else _Scaled(own, scale)
            arithmetic, rounding = CHIP_RANGE._replace(scale=scale), "half_even"
        else:
            arithmetic = linear
            rounding = "half_even" if module.uses_hardware_weights else "none"
        arithmetic = arithmetic.within(module.receptor)
        if isinstance(module, SparseSynapse) and transform is None and kept is None:
            return _Sparse(module.weight, module._index, arithmetic, rounding, name)
        if kept is not None:
            transform = Kept(transform, kept.to(module.weight))
        kind = nn.EventPropSynapse if isinstance(module, EventPropSynapse) and not self.on_chip else nn.Synapse
        layer = kind(
            module.in_features,
            module.out_features,
            name=name,
            scale=arithmetic.scale,
            min_weight=arithmetic.min_weight,
            max_weight=arithmetic.max_weight,
            receptor=module.receptor,
            rounding=rounding,
            transform=transform,
            device="meta",
        )
        layer.weight = module.weight
        layer._checked = rounding == "none"  # nothing is rounded in the simulation
        if isinstance(module, SparseSynapse):
            layer.register_buffer("mask", module.mask)
        return layer

    # Populations

    def _add_population(self, module: AELIF, call: Call) -> None:
        parts = [self.values[id(handle)] for handle in call.inputs if id(handle) in self.values]
        if len(parts) != len(call.inputs) or not parts:
            raise ValueError(f"{describe(self.experiment, module)}: its inputs must come from projections")
        layer = self._population(module)
        key = "neurons_" + self._name(module)
        if isinstance(layer, nn.EventPropLIF):
            self._fill(call, self._call(layer, key, self._channel(parts, 0), self._channel(parts, 1)))
        else:
            self._fill(call, self._call(layer, key, self._summed(parts)))

    def _channel(self, parts: List[Any], which: int) -> Any:
        return self._summed([self.graph.call_function(operator.getitem, (part, which)) for part in parts])

    def _summed(self, parts: List[Any]) -> Any:
        total = parts[0]
        for part in parts[1:]:
            total = self.graph.call_function(operator.add, (total, part))
        return total

    def _population(self, module: AELIF) -> torch.nn.Module:
        name, dt = self._name(module), self.experiment.dt
        values: Dict[str, Any] = {key: module.plain_value(key) for key in module._computed_names()}
        if isinstance(module, (NeuronExp, ReadoutNeuronExp)):
            values.update({key: time_constant(values[key], dt) for key in ("tau_mem", "tau_syn")})
            values.update(membrane_capacitance=values["tau_mem"], refractory_time=0.0)
        surrogate = module._surrogate()
        if isinstance(module, EventPropLIF):
            own = {key: values[key] for key in ("leak", "reset", "threshold", "tau_mem", "tau_syn")}
            if not self.on_chip:
                return nn.EventPropLIF(module.size, name=name, dt=dt, **own)
            own.update(membrane_capacitance=own["tau_mem"], refractory_time=values["refractory_time"])
            return nn.LIF(module.size, name=name, dt=dt, **own)
        integrates = module.leaky and not (module.fire or module.exponential or module.adapts)
        if isinstance(module, LI) or integrates:
            own = {key: values[key] for key in ("leak", "tau_mem", "tau_syn", "membrane_capacitance")}
            return nn.LI(module.size, name=name, dt=dt, **own)
        if module.leaky and module.fire and not (module.exponential or module.adapts):
            return nn.LIF(module.size, name=name, dt=dt, **values, **surrogate)
        if self.on_chip:
            raise NotImplementedError(
                f"{describe(self.experiment, module)}: backends run LIF neurons and leaky integrators, got "
                + ", ".join(f"{flag}={value}" for flag, value in module._flags().items())
            )
        return nn.AELIF(module.size, name=name, dt=dt, **values, **module._flags(), **surrogate)

    # The rest

    def _add_dropout(self, module: BatchDropout, call: Call) -> None:
        value = self.values[id(call.inputs[0])]
        if self.on_chip:
            self._fill(call, value, module.mask if module.training else None)
        else:
            layer = nn.BatchDropout(module.size, module._dropout).train(module.training)
            self._fill(call, self._call(layer, f"dropout{self.experiment.modules.nodes.get(module, 0)}", value))

    def _add_recurrent(self, wrapper: HXModuleWrapper, call: Call) -> None:
        pattern = recurrent_pattern(wrapper)
        neurons, modules = pattern.population, list(wrapper.wrapped.values())
        if any(id(handle) in self.masks for handle in call.inputs):
            raise NotImplementedError(
                f"{describe(self.experiment, neurons)}: on a backend, dropout in training cannot stand before a "
                "recurrent wrapper"
            )
        sources = [self.values[id(handle)] for handle in call.inputs]
        joined = sources[0] if len(sources) == 1 else self.graph.call_function(torch.cat, (sources, -1))
        layer = self._recurrent_layer(pattern)
        target = call.targets[modules.index(neurons)]
        self.values[id(target)] = self._call(layer, "neurons_" + self._name(neurons), joined)

    def _recurrent_layer(self, pattern: Any) -> torch.nn.Module:
        neurons, recurrent = pattern.population, pattern.recurrent
        arithmetic = [self._bounds_of(module) for module in (*pattern.inputs, recurrent)]
        if any(other != arithmetic[0] for other in arithmetic[1:-1]):
            joined_arithmetic(pattern.inputs)  # says what differs
        inputs, own = arithmetic[0], arithmetic[-1]
        values = {key: neurons.plain_value(key) for key in neurons._computed_names()}
        kind = _JoinedRecurrentLIF if len(pattern.inputs) > 1 else nn.RecurrentLIF
        layer = kind(
            sum(module.in_features for module in pattern.inputs),
            neurons.size,
            input_scale=inputs.scale,
            input_min_weight=inputs.min_weight,
            input_max_weight=inputs.max_weight,
            recurrent_scale=own.scale,
            recurrent_min_weight=own.min_weight,
            recurrent_max_weight=own.max_weight,
            rounding="half_even" if recurrent.uses_hardware_weights else "none",
            **values,
            dt=self.experiment.dt,
            surrogate=neurons.method,
            alpha=neurons._alpha(),
            device="meta",
        )
        if isinstance(layer, _JoinedRecurrentLIF):
            layer.join([_Weight(module.weight, getattr(module, "mask", None)) for module in pattern.inputs])
        else:
            layer.input_weight = pattern.inputs[0].weight
            layer.register_buffer("input_mask", getattr(pattern.inputs[0], "mask", None))
        layer.recurrent_weight = recurrent.weight
        layer.register_buffer("mask", getattr(recurrent, "mask", None))
        layer.population = self._name(neurons)
        layer.projection = self._name(pattern.inputs[0])
        layer.recurrent_projection = self._name(recurrent)
        return layer

    def _bounds_of(self, module: Synapse) -> LinearTransform:
        linear = module.linear()
        if linear is None:
            raise NotImplementedError(
                f"{describe(self.experiment, module)}: in a recurrent wrapper the transform must be linear_saturating"
            )
        return linear.within(module.receptor)
