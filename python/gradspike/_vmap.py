"""How the operators treat a dimension that `torch.vmap` maps: one call of the operator for all samples.

A rule gets the arguments without the mapping, calls the operator once on the level below (so that rules compose with
`torch.func.grad`, with each other and with the Autograd kernels) and says where the mapped dimension of each result is:

    weights    elementwise: the dimension stays where it is
    synapses   spikes mapped: a leading dimension more; weight or its gradient per sample: a stack of weights
    neurons    parameters mapped, or their gradients asked for: more neurons; otherwise: a larger batch; where the
               operator has weights too, a larger batch or else a stack of all its tensors (ops/stack.h)
    reports    a loop

A stack is one call, whose kernels take one sample after another: the bits of a loop in every gradient. It saves what
each call of a loop costs, which counts where a sample is small. Other exact ways: `graded_spikes` with a stack of
weights, then `lif` with more neurons, is synapse_lif without its packed spikes and checkpoints; one recurrent_lif with
block-diagonal weights needs work and memory with the square of the samples.

A loop is left where each sample has a report or a list of its own and no gradient: weight_statistics,
hardware_weights_with_statistics, connections, prepack, prepacked_graded_spikes with weights of each sample,
pack_spikes, spikes_to_events, events_to_spikes. Beyond their calls it costs little.

An overload whose scale is a tensor is what ops/tensor_scale.cpp makes it: scale * weight, then the operator with scale
1, then the units. Each of these has a rule, so a scale of each sample is a stack of weights, with the bits of a loop
(rounding="none" is PyTorch's matrix product), and a scale that all samples share calls what a number calls.

`torch.library.register_vmap` refuses operators with keyword-only tensors, hence the FuncTorchBatched key itself.
A number that is mapped becomes one value per neuron, so that its coefficients are those of a tensor, not rounded once
from double.

A new operator needs a line in `RULES`, and a neuron operator its arguments in the names below where they are new.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor

Mapped = Tuple[Optional[Tensor], Optional[int]]
"""A result and the position of its mapped dimension, None where it has none."""


@dataclass
class Call:
    """A call of an operator with the mapped dimension, of `size` samples, laid bare."""

    operator: Any
    size: int
    arguments: Dict[str, Any]
    dims: Dict[str, int]
    """Position of the mapped dimension of those tensors that have one."""

    def is_mapped(self, *names: str) -> bool:
        return any(name in self.dims for name in names)

    def tensors(self) -> List[str]:
        return [name for name, value in self.arguments.items() if isinstance(value, Tensor)]

    def logical_dim(self, name: str) -> int:
        """Number of dimensions that one sample sees."""
        dim: int = self.arguments[name].dim()
        return dim - int(name in self.dims)

    def front(self, name: str) -> Tensor:
        """The tensor with the samples in the first dimension: its own, or the same one for all."""
        tensor: Tensor = self.arguments[name]
        if name in self.dims:
            return tensor.movedim(self.dims[name], 0)
        return tensor.expand(self.size, *tensor.shape)

    def is_stack(self) -> bool:
        """Whether a sample has a stack of weights: an operator called by a rule."""
        weights = {"weight": 2, "input_weight": 2, "values": 1}
        return any(self.logical_dim(name) > dim for name, dim in weights.items() if name in self.arguments)

    def below(self, **changed: Any) -> Tuple[Optional[Tensor], ...]:
        """The operator on the level below, with some arguments changed; results as a tuple."""
        values = {**self.arguments, **changed}
        schema = self.operator._schema.arguments
        positional = [values[argument.name] for argument in schema if not argument.kwarg_only]
        result = self.operator(*positional, **{a.name: values[a.name] for a in schema if a.kwarg_only})
        return result if isinstance(result, tuple) else (result,)


Rule = Callable[[Call], List[Mapped]]


# ---- weights -----------------------------------------------------------------------------------------------------


def _elementwise(call: Call) -> List[Mapped]:
    names = call.tensors()
    if len(names) == 1:
        return [(result, call.dims[names[0]]) for result in call.below()]
    return [(result, 0) for result in call.below(**{name: call.front(name) for name in names})]


def _each(call: Call) -> List[Mapped]:
    """A loop: for reports and conversions, of which each sample has its own, in tensors of its own sizes."""
    runs = [call.below(**{name: call.front(name)[k] for name in call.tensors()}) for k in range(call.size)]
    return [(None, None) if results[0] is None else (torch.stack(results), 0) for results in zip(*runs)]


# ---- synapses ----------------------------------------------------------------------------------------------------


# Arguments that may have any leading dimensions, if those of a sample are the same for all.
_ROWS = {"spikes", "packed", "grad", "grad_adjoint"}


def _synapses(per_sample: Rule) -> Rule:
    """`per_sample` takes over where the samples differ in more than their spikes, or ask for gradients of their own."""

    def rule(call: Call) -> List[Mapped]:
        rows = [name for name in call.tensors() if name in _ROWS]
        to_weight = call.arguments.get("grad_mask", (False, False))[1]
        if to_weight or any(name not in rows for name in call.dims) or call.is_stack():
            return per_sample(call)
        dim = call.dims[rows[0]] if len(rows) == 1 else 0
        if dim == 0 or dim == call.arguments[rows[0]].dim() - 1:  # the last is that of the synapses
            dim, changed = 0, {name: call.front(name) for name in rows}
        else:
            changed = {}
        names = [returned.name for returned in call.operator._schema.returns]
        return [
            (result, None if result is None or name == "hardware_weights" else dim)
            for name, result in zip(names, call.below(**changed))
        ]

    return rule


def _stack(call: Call) -> List[Mapped]:
    """One call with a weight, and all else, of each sample: graded_spikes and the operators of ops/stack.h."""
    names = [name for name in call.tensors() if not _is_nothing(call, name)]
    results = call.below(**{name: call.front(name) for name in names})
    return [(result, None if _is_empty(result) else 0) for result in results]


def _is_nothing(call: Call, name: str) -> bool:
    return name not in call.dims and name not in _ROWS and _is_empty(call.arguments[name])


def _stack_of_parts(call: Call) -> List[Mapped]:
    """`_stack` of the forward operator that Autograd calls; the public one takes no stacks."""
    name = call.operator._schema.name.split("::")[1]
    if name.startswith("_"):
        return _stack(call)
    forward = getattr(torch.ops.gradspike, f"_{name}_forward").default
    results = _stack(Call(forward, call.size, {**call.arguments, "save": False}, call.dims))
    return results[: len(call.operator._schema.returns)]


def _is_empty(tensor: Optional[Tensor]) -> bool:
    """Whether a tensor stands for nothing: rounding="none" gives no integers, traces may not be asked for."""
    return tensor is None or (tensor.dim() == 1 and tensor.shape[0] == 0)


def _split(tensor: Optional[Tensor], dim: int, size: int) -> Tensor:
    """Samples and their own elements, which were folded together."""
    assert tensor is not None
    parts: Tensor = tensor.unflatten(dim, (size, tensor.shape[dim] // size))
    return parts


# ---- neurons -----------------------------------------------------------------------------------------------------

# What an argument or a result is, by its name. The prefixes grad_, measured_, initial_ and final_ do not count, and
# gradients follow the order of grad_mask.
_TRACES = {  # [time, batch, neuron], states and whatever else ends in [batch, neuron]
    "input",
    "spikes",
    "membrane",
    "current",
    "adaptation",
    "adjoint",
    "saved",
    "blocked",
    "checkpoints",
    "input_spikes",
    "state",
}
PARAMETERS = {  # a number or 0-dim, or [neuron]
    "leak",
    "reset",
    "threshold",
    "tau_mem",
    "tau_syn",
    "membrane_capacitance",
    "refractory_time",
    "exponential_slope",
    "exponential_threshold",
    "subthreshold_adaptation_strength",
    "spike_triggered_adaptation_increment",
    "tau_adap",
}
_TABLES = {"coefficients"}  # [row, 1 or neuron]
_WEIGHTS = {  # of the operator's own synapses
    "weight",
    "hardware_weights",
    "input_weight",
    "recurrent_weight",
    "recurrent_mask",
    "input_integers",
    "recurrent_integers",
}


def kind_of(name: str) -> str:
    for prefix in ("grad_", "measured_", "initial_", "final_"):
        name = name.removeprefix(prefix)
    return name


def _neurons(call: Call) -> List[Mapped]:
    wanted = _wanted_sums(call)
    tensors = call.tensors()
    per_sample = [name for name in call.dims if kind_of(name) not in _TRACES]
    if call.is_stack() or ((wanted or per_sample) and any(name in _WEIGHTS for name in tensors)):
        return _stack_of_parts(call)
    into = -1 if wanted or per_sample else -2  # the dimension of a trace that takes the samples in
    of_neurons = next(name for name in tensors if kind_of(name) in _TRACES)
    fold = _Fold(call, into, call.front(of_neurons).shape[-1], call.arguments[of_neurons].device)
    changed: Dict[str, Any] = {name: fold.argument(name, name in wanted) for name in tensors}
    if "sizes" in call.arguments:
        sizes = list(call.arguments["sizes"])
        sizes[into] *= call.size
        changed["sizes"] = sizes
    names = [returned.name for returned in call.operator._schema.returns]
    return [fold.result(name, result) for name, result in zip(names, call.below(**changed))]


def _wanted_sums(call: Call) -> List[str]:
    """Parameters and weights whose gradient, a sum over the batch, is asked for: samples must not be part of that."""
    mask = call.arguments.get("grad_mask", [])
    returned = [result.name for result in call.operator._schema.returns]
    names = [name.removeprefix("grad_") for name, asked in zip(returned, mask) if asked]
    return [name for name in names if name in PARAMETERS | _WEIGHTS]


@dataclass
class _Fold:
    """Takes the samples into the batch (dimension -2) or into the neurons (-1) of the traces, and out again."""

    call: Call
    into: int
    neurons: int
    device: torch.device

    def argument(self, name: str, wanted: bool) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        kind = kind_of(name)
        if kind in PARAMETERS:
            return self._parameter(name, wanted)
        if kind in _TABLES:
            return self._table(name)
        if kind in _WEIGHTS or _is_empty(tensor):
            return tensor
        return self.call.front(name).movedim(0, self.into - 1).flatten(self.into - 1, self.into)

    def _parameter(self, name: str, wanted: bool) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        for_all = self.call.logical_dim(name) == 0
        if self.into == -2 or (for_all and not wanted and not self.call.is_mapped(name)):
            return tensor  # a number stays one
        values = self.call.front(name)
        if for_all:
            values = values.to(self.device)[:, None].expand(-1, self.neurons)
            if wanted:  # its gradient is a sum over neurons: rounded at the end only
                values = values.double()
        return values.flatten()

    def _table(self, name: str) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        if self.into == -2 or (tensor.shape[-1] == 1 and not self.call.is_mapped(name)):
            return tensor  # one column for all neurons
        return self.call.front(name).expand(-1, -1, self.neurons).movedim(0, 1).flatten(1, 2)

    def result(self, name: str, result: Optional[Tensor]) -> Mapped:
        kind = kind_of(name)
        if result is None or kind in _WEIGHTS or (_is_empty(result) and kind not in PARAMETERS):
            return result, None
        if kind in _TRACES:
            return _split(result, self.into, self.call.size), result.dim() + self.into
        if kind in _TABLES:
            unmapped = self.into == -2 or result.shape[1] == 1
            return (result, None) if unmapped else (_split(result, 1, self.call.size), 1)
        return self._parameter_gradient(kind, _split(result, 0, self.call.size)), 0

    def _parameter_gradient(self, name: str, gradient: Tensor) -> Tensor:
        if self.call.logical_dim(name) == 0:
            gradient = gradient.sum(-1)
        return gradient.to(self.call.arguments[name])


# ---- no sample at all ----------------------------------------------------------------------------------------------


def _of_nothing(rule: Rule) -> Rule:
    """Shapes come from one sample, of which nothing is kept."""

    def empty_rule(call: Call) -> List[Mapped]:
        arguments = dict(call.arguments)
        for name, dim in call.dims.items():
            shape = list(arguments[name].shape)
            arguments[name] = arguments[name].new_ones([*shape[:dim], 1, *shape[dim + 1 :]])
        results = rule(Call(call.operator, 1, arguments, call.dims))
        return [(None if r is None else (r if dim is None else r.narrow(dim, 0, 0)), dim) for r, dim in results]

    return empty_rule


def _unmapped(call: Call) -> List[Mapped]:
    return [(result, None) for result in call.below()]


# ---- registration ------------------------------------------------------------------------------------------------

_NEURONS = ("lif", "li", "aelif", "eventprop_lif", "exact_eventprop_lif", "synapse_lif", "recurrent_lif")


def _parts(name: str) -> Tuple[str, str, str]:
    """An operator, and what its Autograd kernel calls."""
    return name, f"_{name}_forward", f"_{name}_backward"


RULES: Dict[str, Rule] = {
    "linear_saturating": _elementwise,
    "_linear_saturating_backward": _elementwise,
    "hardware_weights": _elementwise,
    "weight_statistics": _each,
    "hardware_weights_with_statistics": _each,
    "connections": _each,
    **dict.fromkeys(_parts("graded_spikes"), _synapses(_stack)),
    **dict.fromkeys(_parts("eventprop_graded_spikes"), _synapses(_stack_of_parts)),
    **dict.fromkeys(_parts("sparse_graded_spikes"), _synapses(_stack_of_parts)),
    "prepack": _each,
    "prepacked_graded_spikes": _synapses(_each),
    "pack_spikes": _each,  # counts what is lost, of each sample
    "unpack_spikes": _synapses(_each),
    "spikes_to_events": _each,  # a list of its own for each sample
    "events_to_spikes": _each,
    **{part: _neurons for name in _NEURONS for part in _parts(name)},
}

# Operators with an overload whose scale is a tensor: a composite of operators that all have rules.
TENSOR_SCALES = (
    "linear_saturating",
    "hardware_weights",
    "graded_spikes",
    "eventprop_graded_spikes",
    "sparse_graded_spikes",
)

_library: Optional[torch.library.Library] = None


def register() -> None:
    """Registers the rules of the operators that are loaded. A second call does nothing."""
    global _library
    if _library is None:
        _library = torch.library.Library("gradspike", "IMPL")
        for name, rule in RULES.items():
            if hasattr(torch.ops.gradspike, name):
                operator = getattr(torch.ops.gradspike, name).default
                _library.impl(name, _kernel(operator, rule), "FuncTorchBatched", with_keyset=True)
        for name in TENSOR_SCALES:
            if hasattr(torch.ops.gradspike, name):
                overload = getattr(torch.ops.gradspike, name).tensor_scale
                _library.impl(f"{name}.tensor_scale", _composite(overload), "FuncTorchBatched", with_keyset=True)


def _composite(operator: Any) -> Callable[..., Any]:
    """The composite itself on the mapped tensors: the rules are those of what it calls."""
    of_nothing = _kernel(operator, _each)  # PyTorch's own rules take no number of no sample

    def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        functorch = torch._C._functorch
        transform = functorch.peek_interpreter_stack()
        if functorch.CVmapInterpreterPtr(transform).batchSize() == 0:
            return of_nothing(keyset, *args, **kwargs)
        return operator.decompose(*args, **kwargs)

    return kernel


def _kernel(operator: Any, rule: Rule) -> Callable[..., Any]:
    def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        functorch = torch._C._functorch
        transform = functorch.peek_interpreter_stack()  # what follows points into it
        interpreter = functorch.CVmapInterpreterPtr(transform)
        level = interpreter.level()
        call = Call(operator, interpreter.batchSize(), {}, {})
        for position, argument in enumerate(operator._schema.arguments):
            given = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
            if isinstance(given, Tensor):
                given, dim = functorch._unwrap_batched(given, level)
                if dim is not None:
                    call.dims[argument.name] = dim
            call.arguments[argument.name] = given
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.FuncTorchBatched)):
            results = (rule if call.size > 0 else _of_nothing(rule))(call) if call.dims else _unmapped(call)
        wrapped = tuple(
            result if dim is None or result is None else functorch._add_batch_dim(result, dim, level)
            for result, dim in results
        )
        return wrapped if len(wrapped) > 1 else wrapped[0]

    return kernel
