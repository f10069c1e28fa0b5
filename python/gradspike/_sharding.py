"""How the operators compute on distributed tensors (DTensor): which axes may be split over processes.

Each operator names the axes of its tensors. Along some of them it computes every entry by itself; those may be split,
and each process calls the operator on what it holds. An input that is split in another way is redistributed first, so
that an operator without such axes computes everything in each process. A gradient that sums over a split axis is a
partial sum, as that of `torch.mm` is.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor

from gradspike._vmap import PARAMETERS, kind_of

Axes = Tuple[str, ...]

_TRACE: Axes = ("time", "batch", "neuron")
_STATE: Axes = ("state", "batch", "neuron")
_CHECKPOINTS: Axes = ("segment", *_STATE)
_EMPTY: Axes = ("empty",)


@dataclass
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
    gradients_of: Sequence[str] = field(default_factory=tuple)


Given = Dict[str, Any]
"""The arguments of a call, by name."""
Rule = Callable[[Given, List[str]], Layout]
"""From the arguments and the names of the results."""


# ---- weights and synapses ----------------------------------------------------------------------------------------


def _tensors(given: Given) -> Dict[str, Tensor]:
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}


def _elementwise(given: Given, returns: List[str]) -> Layout:
    axes = tuple(f"dim{k}" for k in range(given["weight"].dim()))
    return Layout({name: axes for name in _tensors(given)}, [axes] * len(returns), {*axes})


def _whole(given: Given, returns: List[str]) -> Layout:
    """What looks at everything: each process computes all of it."""
    arguments = {name: tuple(f"{name}{k}" for k in range(value.dim())) for name, value in _tensors(given).items()}
    return Layout(arguments, [_EMPTY] * len(returns), set())


def _rows(given: Given, count: int) -> Axes:
    return tuple(f"row{k}" for k in range(count))


def _looks_at_the_sum(given: Given) -> bool:
    """Whether a weight's gradient is more than a sum: the rule "returning" takes the sign of the whole one."""
    return bool(given["gradient"] == "returning" and given["grad_mask"][1])


def _graded_spikes(given: Given, returns: List[str]) -> Layout:
    """A stack of weights `[*V, out, in]` has leading dimensions in common with the spikes."""
    stack = given["weight"].dim() - 2
    leading = tuple(f"stack{k}" for k in range(stack))
    rows = _rows(given, given["spikes"].dim() - stack - 1)
    axes = {
        "spikes": (*leading, *rows, "in"),
        "weight": (*leading, "out", "in"),
        "graded_spikes": (*leading, *rows, "out"),
        "hardware_weights": (*leading, "out", "in") if given["rounding"] != "none" else _EMPTY,
    }
    axes.update(dict.fromkeys(("adjoint", "grad", "grad_adjoint", ""), axes["graded_spikes"]))
    axes.update(grad_spikes=axes["spikes"], grad_weight=axes["weight"])
    separable = {*axes["graded_spikes"]}
    backward = "grad_mask" in given
    if backward and _looks_at_the_sum(given):
        separable &= {*axes["weight"]}
    return Layout({n: axes[n] for n in _tensors(given)}, [axes[n] for n in returns], separable, sums=backward)


def _sparse_graded_spikes(given: Given, returns: List[str]) -> Layout:
    """Only rows of the spikes: the connections of an output neuron may be anywhere in the list."""
    rows = _rows(given, given["spikes"].dim() - 1)
    axes: Dict[str, Axes] = {
        "spikes": (*rows, "in"),
        "values": ("connection",),
        "connections": ("ends", "connection"),
        "hardware_weights": ("connection",) if given["rounding"] != "none" else _EMPTY,
    }
    axes.update(dict.fromkeys(("graded_spikes", "grad", ""), (*rows, "out")))
    axes.update(grad_spikes=axes["spikes"], grad_values=axes["values"])
    backward = "grad_mask" in given
    separable = set() if backward and _looks_at_the_sum(given) else {*rows}
    return Layout({n: axes[n] for n in _tensors(given)}, [axes[n] for n in returns], separable, sums=backward)


def _prepacked_graded_spikes(given: Given, returns: List[str]) -> Layout:
    layout = _whole(given, returns)
    rows = _rows(given, given["spikes"].dim() - 1)
    layout.arguments["spikes"] = (*rows, "in")
    return Layout(layout.arguments, [(*rows, "out")], {*rows})


def _bytes(given: Given, returns: List[str]) -> Layout:
    """pack_spikes and unpack_spikes: a byte holds neurons side by side. What is lost is counted, a sum."""
    (name, value), *_ = _tensors(given).items()
    rows = _rows(given, value.dim() - 1)
    return Layout({name: (*rows, "last")}, [(*rows, "other last"), ("count",)][: len(returns)], {*rows}, sums=True)


# ---- neurons -----------------------------------------------------------------------------------------------------


def _neurons(given: Given, returns: List[str]) -> Layout:
    tensors = _tensors(given)
    backward = "grad_mask" in given
    parameters: Dict[str, Axes] = {
        n: ("neuron",) if t.dim() == 1 else () for n, t in tensors.items() if n in PARAMETERS
    }
    if "coefficients" in given:  # one column stands for all neurons
        per_neuron = given["coefficients"].dim() > 1 and given["coefficients"].shape[1] > 1
    else:
        per_neuron = ("neuron",) in parameters.values()
    kinds = {"state": _STATE, "coefficients": ("coefficient", "neuron" if per_neuron else "all neurons")}

    def axes(name: str) -> Axes:
        kind = kind_of(name)
        return parameters[kind] if kind in parameters else kinds.get(kind, _TRACE)

    gradients_of = [kind_of(name) if kind_of(name) in parameters else "" for name in returns]
    return Layout(
        {name: axes(name) for name in tensors},
        [axes(name) for name in returns],
        {"batch", "neuron"},
        sums=backward,
        gradients_of=gradients_of if backward else (),
    )


def _renamed(layout: Layout, returns: List[str], axes: Dict[str, Axes], results: Dict[str, Axes]) -> Layout:
    """The layout with other axes: `axes` of arguments and results, `results` of results alone."""
    layout.arguments = {name: axes.get(name, old) for name, old in layout.arguments.items()}
    layout.results = [{**axes, **results}.get(name, old) for name, old in zip(returns, layout.results)]
    return layout


def _synapse_lif(given: Given, returns: List[str]) -> Layout:
    layout = _neurons(given, returns)
    spikes: Axes = ("time", "batch", "byte" if given["packed_input"] else "in")
    weight: Axes = ("neuron", "in")
    packs = given.get("spike_format") == "packed"
    rounds = given["rounding"] != "none"
    axes: Dict[str, Axes] = {
        "spikes": spikes,
        "weight": weight,
        "hardware_weights": weight if rounds else _EMPTY,
        "grad_input_spikes": spikes,
        "grad_weight": weight,
    }
    if given["recompute_every"] > 0:
        axes["saved"] = _CHECKPOINTS
    out: Axes = ("time", "batch", "packed") if packs else _TRACE
    layout = _renamed(layout, returns, axes, {"spikes": out})
    if packs:
        layout.separable -= {"neuron"}
    if layout.sums and _looks_at_the_sum(given):
        layout.separable -= {"batch"}
    if not rounds:  # PyTorch's product, whose bits depend on the number of rows
        layout.separable = set()
    return layout


def _recurrent_lif(given: Given, returns: List[str]) -> Layout:
    """Neurons need each other's spikes at every step: only the batch may be split."""
    rounds = given["rounding"] != "none"
    spikes: Axes = ("time", "batch", "in")
    axes: Dict[str, Axes] = {
        "spikes": spikes,
        "input_weight": ("neuron", "in"),
        "recurrent_weight": ("neuron", "pre"),
        "recurrent_mask": ("neuron", "pre"),
        "input_integers": ("neuron", "in") if rounds else _EMPTY,
        "recurrent_integers": ("neuron", "pre") if rounds else _EMPTY,
        "checkpoints": _CHECKPOINTS,
        "grad_input_weight": ("neuron", "in"),
        "grad_recurrent_weight": ("neuron", "pre"),
    }
    layout = _renamed(_neurons(given, returns), returns, axes, {"spikes": _TRACE, "grad_spikes": spikes})
    looks = layout.sums and given["gradient"] == "returning" and any(given["grad_mask"][1:3])
    layout.separable = set() if looks else {"batch"}
    return layout


def _parts(name: str, rule: Rule) -> Dict[str, Rule]:
    return {name: rule, f"_{name}_forward": rule, f"_{name}_backward": rule}


LAYOUTS: Dict[str, Rule] = {
    "linear_saturating": _elementwise,
    "_linear_saturating_backward": _elementwise,
    "hardware_weights": _elementwise,
    "weight_statistics": _whole,
    "hardware_weights_with_statistics": _whole,
    "connections": _whole,
    "prepack": _whole,
    **_parts("graded_spikes", _graded_spikes),
    **_parts("eventprop_graded_spikes", _graded_spikes),
    **_parts("sparse_graded_spikes", _sparse_graded_spikes),
    "prepacked_graded_spikes": _prepacked_graded_spikes,
    "pack_spikes": _bytes,
    "unpack_spikes": _bytes,
    "spikes_to_events": _whole,
    "events_to_spikes": _whole,
    **_parts("lif", _neurons),
    **_parts("li", _neurons),
    **_parts("aelif", _neurons),
    **_parts("eventprop_lif", _neurons),
    **_parts("exact_eventprop_lif", _neurons),
    **_parts("synapse_lif", _synapse_lif),
    **_parts("recurrent_lif", _recurrent_lif),
}
"""Operators that take distributed tensors; overloads with a scale as a tensor are made of these."""


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
        self.layout = self._layout()
        self.distributed = {name: value for name, value in self.given.items() if isinstance(value, DTensor)}
        self.mesh = next(iter(self.distributed.values())).device_mesh
        self._check()
        self.split = [self._axis(k) for k in range(self.mesh.ndim)]

    def _layout(self) -> Layout:
        """Where dimensions or sizes do not fit together, nothing is split: the operator says so in every process."""
        returns = [returned.name for returned in self.operator._schema.returns]
        layout = LAYOUTS[self.name](self.given, returns)
        sizes: Dict[str, int] = {}
        fits = True
        for name, axes in layout.arguments.items():
            shape = self.given[name].shape
            fits = fits and (axes == _EMPTY or len(axes) == len(shape))
            for axis, size in zip(axes, shape):
                fits = fits and (axis not in layout.separable or sizes.setdefault(axis, size) == size)
        return layout if fits else _whole(self.given, returns)

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
