"""How the operators compute on distributed tensors (DTensor): which axes may be split over processes.

Each operator names the axes of its tensors. Along some of them it computes every entry by itself; those may be split,
and each process calls the operator on what it holds. An input that is split in another way is redistributed first. A
gradient that sums over a split axis is a partial sum, as that of `torch.mm` is.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor

Axes = Tuple[str, ...]

_TRACE: Axes = ("time", "batch", "neuron")
_STATE: Axes = ("state", "batch", "neuron")


@dataclass(frozen=True)
class Layout:
    """Axes of the tensors of one call.

    Attributes:
        arguments: Axes of each tensor that is given, by name.
        results: Axes of each result; of one that is not asked for, whatever its dimensions, any.
        separable: Axes along which every entry is computed by itself.
        sums: Whether a result without one of these axes is a sum over it; else it does not depend on it.
        gradients_of: Arguments whose gradients the results are, where these may be plain tensors; "" for others.
    """

    arguments: Dict[str, Axes]
    results: List[Axes]
    separable: Set[str]
    sums: bool = False
    gradients_of: Sequence[str] = ()


# ---- axes of the operators ---------------------------------------------------------------------------------------


def _synapse_axes(given: Dict[str, Any]) -> Dict[str, Axes]:
    """Axes of spikes, weight and product: a stack of weights `[*V, out, in]` has leading dimensions with the spikes."""
    stack = given["weight"].dim() - 2
    leading = tuple(f"stack{k}" for k in range(stack))
    rows = tuple(f"row{k}" for k in range(given["spikes"].dim() - stack - 1))
    return {
        "spikes": (*leading, *rows, "in"),
        "weight": (*leading, "out", "in"),
        "product": (*leading, *rows, "out"),
    }


def _graded_spikes(given: Dict[str, Any]) -> Layout:
    axes = _synapse_axes(given)
    arguments = {"spikes": axes["spikes"], "weight": axes["weight"]}
    return Layout(arguments, [axes["product"], axes["weight"]], {*axes["product"]})


def _graded_spikes_backward(given: Dict[str, Any]) -> Layout:
    axes = _synapse_axes(given)
    integers = axes["weight"] if given["rounding"] != "none" else ("empty",)
    arguments = {
        "grad": axes["product"],
        "spikes": axes["spikes"],
        "weight": axes["weight"],
        "hardware_weights": integers,
    }
    separable = {*axes["product"]}
    if given["gradient"] == "returning" and given["grad_mask"][1]:
        separable &= {*axes["weight"]}  # the sign of the whole sum decides
    return Layout(arguments, [axes["spikes"], axes["weight"]], separable, sums=True)


_PARAMETERS = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time")
_STATES = ("initial_state", "grad_final_state")


def _neuron_axes(given: Dict[str, Any]) -> Dict[str, Axes]:
    per_neuron = any(given.get(name) is not None and given[name].dim() == 1 for name in _PARAMETERS)
    result: Dict[str, Axes] = {}
    for name, value in given.items():
        if name == "coefficients":
            result[name] = _coefficients(per_neuron)
        elif name in _PARAMETERS:
            result[name] = ("neuron",) if value.dim() == 1 else ()
        elif isinstance(value, Tensor):
            result[name] = _STATE if name in _STATES else _TRACE
    return result


def _coefficients(per_neuron: bool) -> Axes:
    return ("coefficient", "neuron" if per_neuron else "all neurons")


def _neurons(results: Sequence[str]) -> Callable[[Dict[str, Any]], Layout]:
    def layout(given: Dict[str, Any]) -> Layout:
        arguments = _neuron_axes(given)
        per_neuron = any(arguments.get(name) == ("neuron",) for name in _PARAMETERS)
        kinds = {"trace": _TRACE, "state": _STATE, "coefficients": _coefficients(per_neuron)}
        return Layout(arguments, [kinds[kind] for kind in results], {"batch", "neuron"})

    return layout


def _neurons_backward(given: Dict[str, Any]) -> Layout:
    arguments = _neuron_axes(given)
    names = [name for name in _PARAMETERS if name in arguments]
    results = [_TRACE, *(arguments[name] for name in names), _STATE]
    return Layout(arguments, results, {"batch", "neuron"}, sums=True, gradients_of=["", *names, ""])


LAYOUTS: Dict[str, Callable[[Dict[str, Any]], Layout]] = {
    "graded_spikes": _graded_spikes,
    "_graded_spikes_forward": _graded_spikes,
    "_graded_spikes_backward": _graded_spikes_backward,
    "lif": _neurons(["trace", "trace", "trace", "state"]),
    "_lif_forward": _neurons(["trace", "trace", "trace", "state", "trace", "coefficients"]),
    "_lif_backward": _neurons_backward,
    "li": _neurons(["trace", "trace", "state"]),
    "_li_forward": _neurons(["trace", "trace", "state", "coefficients"]),
    "_li_backward": _neurons_backward,
}
"""Operators that take distributed tensors."""


# ---- one call ----------------------------------------------------------------------------------------------------


class _Call:
    """A call with distributed tensors: the axis that each dimension of the mesh splits, the inputs laid out for it."""

    def __init__(self, operator: Any, args: Sequence[Any], kwargs: Dict[str, Any]) -> None:
        from torch.distributed.tensor import DTensor

        self.operator = operator
        self.name = operator._schema.name.split("::")[1]
        self.given = {
            argument.name: args[k] if k < len(args) else kwargs.get(argument.name, argument.default_value)
            for k, argument in enumerate(operator._schema.arguments)
        }
        self.layout = LAYOUTS[self.name](self.given)
        self.distributed = {name: value for name, value in self.given.items() if isinstance(value, DTensor)}
        self.mesh = next(iter(self.distributed.values())).device_mesh
        self._check()
        self.split = [self._axis(k) for k in range(self.mesh.ndim)]

    def _check(self) -> None:
        title = self.name.removeprefix("_").removesuffix("_forward").removesuffix("_backward")
        for name in self.layout.arguments:
            value = self.given[name]
            if name not in self.distributed:
                if value.dim() > 0:  # numbers are the same everywhere
                    raise RuntimeError(
                        f"{title}: {name} must be a DTensor, as {next(iter(self.distributed))} is, got a plain "
                        f"tensor of shape {list(value.shape)}: see torch.distributed.tensor.distribute_tensor"
                    )
            elif value.device_mesh != self.mesh:
                raise RuntimeError(f"{title}: all tensors must be on one device mesh, got another one for {name}")
        if self.mesh.get_coordinate() is None:
            raise RuntimeError(f"{title}: this process must be part of the device mesh of its tensors")

    def _axis(self, dim: int) -> Optional[str]:
        """What a dimension of the mesh splits: that of the first tensor which is split along a separable axis."""
        from torch.distributed.tensor import Shard

        for name, tensor in self.distributed.items():
            placement = tensor.placements[dim]
            if isinstance(placement, Shard):
                axis = self.layout.arguments[name][placement.dim]
                if axis in self.layout.separable:
                    return axis
        return None

    def _sizes(self) -> Dict[str, int]:
        """Sizes of the axes before splitting; the first argument that has an axis decides."""
        sizes: Dict[str, int] = {}
        for name, axes in self.layout.arguments.items():
            for axis, size in zip(axes, self.given[name].shape):
                sizes.setdefault(axis, size)
        return sizes

    def placements(self, axes: Axes, *, result: bool) -> List[Any]:
        """Where a tensor of these axes lies."""
        from torch.distributed.tensor import Partial, Replicate, Shard

        rest = Partial("sum") if result and self.layout.sums else Replicate()
        return [
            Replicate() if axis is None else Shard(axes.index(axis)) if axis in axes else rest for axis in self.split
        ]

    def run(self) -> Any:
        local = dict(self.given)
        for name, tensor in self.distributed.items():
            wanted = self.placements(self.layout.arguments[name], result=False)
            local[name] = _redistributed(tensor, wanted)
        if "sizes" in local:  # of the traces, as numbers
            held = {axis: size for name in self.layout.arguments for axis, size in self._held(name, local[name])}
            local["sizes"] = [held.get(axis, size) for axis, size in zip(_TRACE, self.given["sizes"])]
        schema = self.operator._schema.arguments
        results = self.operator(
            *[local[argument.name] for argument in schema if not argument.kwarg_only],
            **{argument.name: local[argument.name] for argument in schema if argument.kwarg_only},
        )
        if isinstance(results, Tensor):
            return self._distributed(results, self.layout.results[0])
        wrapped = [self._distributed(result, axes) for result, axes in zip(results, self.layout.results)]
        for k, name in enumerate(self.layout.gradients_of):
            if name and name not in self.distributed and wrapped[k] is not None:
                wrapped[k] = _redistributed(wrapped[k], self.placements((), result=False))
        return tuple(wrapped)

    def _held(self, name: str, local: Tensor) -> List[Tuple[str, int]]:
        return list(zip(self.layout.arguments[name], local.shape))

    def _distributed(self, result: Optional[Tensor], axes: Axes) -> Optional[Tensor]:
        if result is None:
            return None
        if len(axes) != result.dim():  # an empty tensor: not asked for
            axes = ("nothing",) * result.dim()
        sizes = self._sizes()
        shape = [sizes.get(axis, size) for axis, size in zip(axes, result.shape)]
        return _wrapped(result, self.mesh, self.placements(axes, result=True), torch.Size(shape))


# What `DTensor.redistribute` and `DTensor.from_local` do, less their Autograd: rules run below it.


def _redistributed(tensor: Any, placements: Sequence[Any]) -> Tensor:
    """The local part of a distributed tensor after it is laid out in another way."""
    from torch.distributed.tensor._dtensor_spec import DTensorSpec
    from torch.distributed.tensor._redistribute import redistribute_local_tensor

    local: Tensor = tensor._local_tensor
    if tuple(placements) == tuple(tensor.placements):
        return local
    spec = tensor._spec
    return redistribute_local_tensor(local, spec, DTensorSpec(spec.mesh, tuple(placements), spec.tensor_meta))


def _wrapped(local: Tensor, mesh: Any, placements: Sequence[Any], shape: torch.Size) -> Tensor:
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor._dtensor_spec import DTensorSpec, TensorMeta

    meta = TensorMeta(shape, _contiguous_strides(shape), local.dtype)
    result: Tensor = DTensor(local, DTensorSpec(mesh, tuple(placements), meta), requires_grad=False)
    return result


def _contiguous_strides(shape: Sequence[int]) -> Tuple[int, ...]:
    strides: List[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides)


def _rule(cls: Any, operator: Any, types: Any, args: Sequence[Any], kwargs: Optional[Dict[str, Any]] = None) -> Any:
    with torch.no_grad():  # below Autograd, where the history is not kept
        return _Call(operator, args, kwargs or {}).run()


_registered = False


def register() -> None:
    """Makes the operators take distributed tensors; imports `torch.distributed.tensor`."""
    global _registered
    if _registered:
        return
    from torch.distributed.tensor import DTensor

    for name in LAYOUTS:
        torch.library.register_torch_dispatch(f"gradspike::{name}", DTensor, _rule)
    _registered = True
