"""How the operators treat a dimension that `torch.vmap` maps: one call of the operator for all samples.

A rule gets the arguments without the mapping, calls the operator once on the level below (so that rules compose with
`torch.func.grad`, with each other and with the Autograd kernels) and says where the mapped dimension of each result is:

    weights           elementwise: the dimension stays where it is
    graded_spikes     spikes mapped: a leading dimension more; weight or its gradient per sample: a stack of weights
    neurons           parameters mapped, or their gradients asked for: more neurons; otherwise: a larger batch

`torch.library.register_vmap` refuses operators with keyword-only tensors, hence the FuncTorchBatched key itself.
A number that is mapped becomes one value per neuron, so that its coefficients are those of a tensor, not rounded once
from double.

A new neuron operator needs its name in `_NEURON_OPERATORS`, and its arguments in the names below where they are new.
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
    """A loop, for reports on a weight matrix that no training step makes."""
    runs = [call.below(**{name: call.front(name)[k] for name in call.tensors()}) for k in range(call.size)]
    return [(torch.stack(results), 0) for results in zip(*runs)]


# ---- synapses ----------------------------------------------------------------------------------------------------


def _graded_spikes(call: Call) -> List[Mapped]:
    spikes = call.arguments["spikes"]
    if call.logical_dim("weight") == 2 and not call.is_mapped("weight"):
        dim = call.dims["spikes"]
        if dim == spikes.dim() - 1:  # that of the synapses is last: the mapped one has to be a leading one
            dim, spikes = 0, call.front("spikes")
        out, *integers = call.below(spikes=spikes)
        return [(out, dim), *((q, None) for q in integers)]
    out, *integers = call.below(spikes=call.front("spikes"), weight=call.front("weight"))
    return [(out, 0), *((q, None if _is_empty(q) else 0) for q in integers)]


def _graded_spikes_backward(call: Call) -> List[Mapped]:
    weights = [name for name in ("weight", "hardware_weights") if not _is_empty(call.arguments[name])]
    if call.logical_dim("weight") == 2 and not call.is_mapped(*weights) and not call.arguments["grad_mask"][1]:
        weights = []  # a leading dimension more
    results = call.below(**{name: call.front(name) for name in ("grad", "spikes", *weights)})
    return [(result, None if result is None else 0) for result in results]


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
_TRACES = {"input", "spikes", "membrane", "current", "saved"}  # [time, batch, neuron]
_STATES = {"state"}  # [state, batch, neuron]
_PARAMETERS = {  # a number or 0-dim, or [neuron]
    "leak",
    "reset",
    "threshold",
    "tau_mem",
    "tau_syn",
    "membrane_capacitance",
    "refractory_time",
}
_TABLES = {"coefficients"}  # [row, 1 or neuron]

_NEURON_OPERATORS = ("lif", "_lif_forward", "_lif_backward", "li", "_li_forward", "_li_backward")


def _kind(name: str) -> str:
    for prefix in ("grad_", "measured_", "initial_", "final_"):
        name = name.removeprefix(prefix)
    return name


def _neurons(call: Call) -> List[Mapped]:
    wanted = _wanted_parameters(call)
    tensors = call.tensors()
    per_sample = [name for name in call.dims if _kind(name) in _PARAMETERS | _TABLES]
    into = 2 if wanted or per_sample else 1  # the dimension of a trace that takes the samples in
    of_neurons = next(name for name in tensors if _kind(name) in _TRACES | _STATES)
    fold = _Fold(call, into, call.front(of_neurons).shape[-1], call.arguments[of_neurons].device)
    changed: Dict[str, Any] = {name: fold.argument(name, name in wanted) for name in tensors}
    if "sizes" in call.arguments:
        sizes = list(call.arguments["sizes"])
        sizes[into] *= call.size
        changed["sizes"] = sizes
    names = [returned.name for returned in call.operator._schema.returns]
    return [fold.result(name, result) for name, result in zip(names, call.below(**changed))]


def _wanted_parameters(call: Call) -> List[str]:
    """Parameters whose gradient is asked for: a sum over the batch, so that samples must not be part of that."""
    mask = call.arguments.get("grad_mask", [])
    returned = [result.name for result in call.operator._schema.returns]
    names = [name.removeprefix("grad_") for name, asked in zip(returned, mask) if asked]
    return [name for name in names if name in _PARAMETERS]


@dataclass
class _Fold:
    """Takes the samples into the batch (dimension 1) or into the neurons (dimension 2) of the traces, and out again."""

    call: Call
    into: int
    neurons: int
    device: torch.device

    def argument(self, name: str, wanted: bool) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        kind = _kind(name)
        if kind in _PARAMETERS:
            return self._parameter(name, wanted)
        if kind in _TABLES:
            return self._table(name)
        if _is_empty(tensor):
            return tensor
        return self.call.front(name).movedim(0, self.into).flatten(self.into, self.into + 1)

    def _parameter(self, name: str, wanted: bool) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        for_all = self.call.logical_dim(name) == 0
        if self.into == 1 or (for_all and not wanted and not self.call.is_mapped(name)):
            return tensor  # a number stays one
        values = self.call.front(name)
        if for_all:
            values = values.to(self.device)[:, None].expand(-1, self.neurons)
            if wanted:  # its gradient is a sum over neurons: rounded at the end only
                values = values.double()
        return values.flatten()

    def _table(self, name: str) -> Tensor:
        tensor: Tensor = self.call.arguments[name]
        if self.into == 1 or (tensor.shape[-1] == 1 and not self.call.is_mapped(name)):
            return tensor  # one column for all neurons
        return self.call.front(name).expand(-1, -1, self.neurons).movedim(0, 1).flatten(1, 2)

    def result(self, name: str, result: Optional[Tensor]) -> Mapped:
        kind = _kind(name)
        if result is None or (_is_empty(result) and kind not in _PARAMETERS):
            return result, None
        if kind in _TRACES | _STATES:
            return _split(result, self.into, self.call.size), self.into
        if kind in _TABLES:
            unmapped = self.into == 1 or result.shape[1] == 1
            return (result, None) if unmapped else (_split(result, 1, self.call.size), 1)
        return self._parameter_gradient(kind, _split(result, 0, self.call.size)), 0

    def _parameter_gradient(self, name: str, gradient: Tensor) -> Tensor:
        if self.call.logical_dim(name) == 0:
            gradient = gradient.sum(-1)
        return gradient.to(self.call.arguments[name])


# ---- registration ------------------------------------------------------------------------------------------------

RULES: Dict[str, Rule] = {
    "linear_saturating": _elementwise,
    "_linear_saturating_backward": _elementwise,
    "hardware_weights": _elementwise,
    "weight_statistics": _each,
    "connections": _each,
    "graded_spikes": _graded_spikes,
    "_graded_spikes_forward": _graded_spikes,
    "_graded_spikes_backward": _graded_spikes_backward,
    **{name: _neurons for name in _NEURON_OPERATORS},
}

_library = None


def register() -> None:
    """Registers the rules of the operators, which are loaded. A second call does nothing."""
    global _library
    if _library is None:
        _library = torch.library.Library("gradspike", "IMPL")
        for name, rule in RULES.items():
            _library.impl(name, _kernel(name, rule), "FuncTorchBatched", with_keyset=True)


def _kernel(name: str, rule: Rule) -> Callable[..., Any]:
    def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        functorch = torch._C._functorch
        transform = functorch.peek_interpreter_stack()  # what follows points into it
        interpreter = functorch.CVmapInterpreterPtr(transform)
        level = interpreter.level()
        operator = getattr(torch.ops.gradspike, name).default
        call = Call(operator, interpreter.batchSize(), {}, {})
        for position, argument in enumerate(operator._schema.arguments):
            given = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
            if isinstance(given, Tensor):
                given, dim = functorch._unwrap_batched(given, level)
                if dim is not None:
                    call.dims[argument.name] = dim
            call.arguments[argument.name] = given
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.FuncTorchBatched)):
            results = rule(call) if call.dims else [(result, None) for result in call.below()]
        wrapped = tuple(
            result if dim is None or result is None else functorch._add_batch_dim(result, dim, level)
            for result, dim in results
        )
        return wrapped if len(wrapped) > 1 else wrapped[0]

    return kernel
