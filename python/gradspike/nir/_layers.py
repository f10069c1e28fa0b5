"""Layers from arrays: synapses and neurons of `gradspike.nn`, without drawing random weights."""

from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from gradspike.functional import suggest_scale
from gradspike.nir._conventions import NO_LEAK, NeuronArguments
from gradspike.nir._network import Projection, Unit
from gradspike.nir._options import Choices
from gradspike.nn import LI, LIF, SparseSynapse, Synapse

LIF_ARGUMENTS = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time")
LI_ARGUMENTS = ("leak", "tau_mem", "tau_syn", "membrane_capacitance")

Value = Union[float, Tensor]

_SPARSE = 0.03  # of the pairs, below which a sparse product is faster than a dense one


class Layers:
    """Makes layers under the options of one import."""

    def __init__(self, choices: Choices, dt: float, default_scale: Optional[float]) -> None:
        self.choices = choices
        self.dt = dt
        self.default_scale = default_scale
        self.notes: List[str] = []

    # ---- weights ---------------------------------------------------------------------------------------------------

    def dtype(self, projection: Optional[Projection] = None) -> torch.dtype:
        """The dtype asked for; that of the array where gradspike wrote it; else the default dtype."""
        if self.choices.options.dtype is not None:
            return self.choices.options.dtype
        if self.choices.trusted and projection is not None and projection.dtype == np.float64:
            return torch.float64
        return torch.get_default_dtype()

    def weight(self, array: np.ndarray, name: str, dtype: torch.dtype) -> Tensor:
        """The weight as a tensor; a rounding of it is noted."""
        result = torch.as_tensor(array, dtype=torch.float64).to(dtype)
        if not np.array_equal(result.double().numpy(), array):
            self.notes.append(f"the weight of '{name}' is rounded to {str(dtype).removeprefix('torch.')}")
        return result.to(self.choices.options.device)

    def scale_of(self, name: str, weight: Tensor, bounds: Tuple[float, float], metadata: Mapping[str, Any]) -> float:
        """Argument, metadata, preset, or what `suggest_scale` says of the weight."""
        given = self.choices.options.scale
        if isinstance(given, Mapping):
            given = given.get(name)
        found = given if given is not None else self.choices.stored("scale", name, metadata)
        if isinstance(found, (int, float)) and found > 0:
            return float(found)
        if self.default_scale is not None:
            return self.default_scale
        matrix = weight if weight.dim() == 2 else weight.unsqueeze(0)
        return suggest_scale(matrix, *bounds).scale

    def bounds(self, name: str, metadata: Mapping[str, Any]) -> Tuple[float, float]:
        low = self.choices.get("min_weight", name, metadata, -63.0)
        return float(low), float(self.choices.get("max_weight", name, metadata, 63.0))

    def synapse(self, p: Projection, sign: np.ndarray, name: str, quantised: bool = True) -> torch.nn.Module:
        """A projection as a `Synapse`, or as a `SparseSynapse` where it is a diagonal or its file says so."""
        size = sign.size
        dtype = self.dtype(p)
        metadata = p.metadata if p.exact else {}
        low, high = self.bounds(p.name, metadata)
        mask = self._mask(p, metadata)
        rounding = str(self.choices.get("rounding", p.name, metadata, "none")) if quantised else "none"
        options: Dict[str, Any] = {
            "name": name, "min_weight": low, "max_weight": high, "rounding": rounding,
            "gradient": str(self.choices.get("gradient", p.name, metadata, "clipped")),
        }  # fmt: skip
        if p.weight is None or p.weight.ndim == 1:
            values = np.broadcast_to(np.ones(1) if p.weight is None else p.weight, (size,)) * sign
            weight = self.weight(values, p.name, dtype)
            index = torch.arange(size).repeat(2, 1)
            return self._sparse(index, weight, (size, size), options, p, metadata, trained=p.weight is not None)
        array = p.weight if (sign == 1).all() else p.weight * sign[:, None]
        weight = self.weight(array, p.name, dtype)
        sparse = self.choices.stored("kind", p.name, metadata) == "sparse"
        if mask is not None and (sparse or (p.exists is not None and float(p.exists.mean()) < _SPARSE)):
            index = mask.nonzero().t().contiguous()
            values = weight[index[0], index[1]]
            return self._sparse(index, values, (size, int(weight.shape[1])), options, p, metadata)
        options["scale"] = self.scale_of(p.name, weight, (low, high), metadata)
        layer = Synapse(int(weight.shape[1]), size, mask=mask, device="meta", dtype=dtype, **options)
        layer.weight = torch.nn.Parameter(weight)
        layer.mask = None if mask is None else mask.to(weight.device)
        return layer

    def _sparse(
        self, index: Tensor, values: Tensor, sizes: Tuple[int, int], options: Dict[str, Any], p: Projection,
        metadata: Mapping[str, Any], trained: bool = True,
    ) -> SparseSynapse:  # fmt: skip
        options["scale"] = self.scale_of(p.name, values, (options["min_weight"], options["max_weight"]), metadata)
        state = torch.random.get_rng_state()
        layer = SparseSynapse.from_index(index, sizes[1], sizes[0], dtype=values.dtype, **options)
        torch.random.set_rng_state(state)  # the weights that were drawn are replaced
        layer.weight = torch.nn.Parameter(values, requires_grad=trained)
        layer.connections = index.to(values.device)
        return layer

    def _mask(self, p: Projection, metadata: Mapping[str, Any]) -> Optional[Tensor]:
        if p.exists is not None:
            return torch.as_tensor(p.exists)
        found = self.choices.stored("mask", p.name, metadata)
        if not isinstance(found, np.ndarray) or p.weight is None or found.shape != p.weight.shape:
            return None
        return torch.as_tensor(found != 0)

    # ---- neurons ---------------------------------------------------------------------------------------------------

    def arguments(self, unit: Unit, neurons: NeuronArguments, refractory_time: float) -> Dict[str, np.ndarray]:
        """Parameters of a population by the names of `gradspike.nn`, one entry per neuron."""
        time = self.choices.get("refractory_time", unit.name, unit.metadata, refractory_time)
        times = np.asarray(time, dtype=np.float64).reshape(-1)
        result = {name: getattr(neurons, name) for name in LIF_ARGUMENTS[:-1]}
        return {**result, "refractory_time": np.broadcast_to(times, (unit.size,)) if times.size == 1 else times}

    def value(self, array: np.ndarray, form: str = "") -> Value:
        """A number where all neurons agree, else a tensor; or what the form says: "parameter:0:float32"."""
        kind, _, rest = form.partition(":")
        shape, _, dtype_name = rest.partition(":")
        same = bool((array == array[0]).all())
        if kind not in ("tensor", "parameter"):
            if same:
                return float(array[0])
            kind, shape = "tensor", "n"
        asked = self.choices.options.dtype
        dtype = asked if asked is not None else torch.float64 if dtype_name == "float64" else torch.float32
        values = array[0] if shape == "0" and same else array
        tensor = torch.as_tensor(values, dtype=torch.float64).to(dtype).to(self.choices.options.device)
        return torch.nn.Parameter(tensor) if kind == "parameter" else tensor

    def values(self, arrays: Mapping[str, np.ndarray], name: str, metadata: Mapping[str, Any]) -> Dict[str, Value]:
        forms: Dict[str, str] = {}
        found = self.choices.stored("forms", name, metadata)
        for entry in found.split(",") if isinstance(found, str) else ():
            parameter, _, form = entry.partition(":")
            forms[parameter] = form
        return {name: self.value(array, forms.get(name, "")) for name, array in arrays.items()}

    def surrogate(self, name: str, metadata: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "surrogate": str(self.choices.get("surrogate", name, metadata, "superspike")),
            "alpha": float(self.choices.get("alpha", name, metadata, 50.0)),
        }

    def neurons(self, unit: Unit, arrays: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """A `LIF` or `LI`."""
        if unit.fires:
            values = self.values(arrays, unit.name, unit.metadata)
            return LIF(unit.size, name=unit.name, dt=self.dt, **values, **self.surrogate(unit.name, unit.metadata))  # type: ignore[arg-type]
        values = self.values({name: arrays[name] for name in LI_ARGUMENTS}, unit.name, unit.metadata)
        return LI(unit.size, name=unit.name, dt=self.dt, **values)


def instant(dt: float, dtype: torch.dtype = torch.float32) -> float:
    """A synaptic time constant whose decay is 0 in a tensor's arithmetic too: 1 - (1 / tau) * dt."""
    step, one = torch.tensor(dt, dtype=dtype), torch.ones((), dtype=dtype)
    candidates = [step]
    for _ in range(4):
        candidates = [torch.nextafter(candidates[0], -one), *candidates, torch.nextafter(candidates[-1], one)]
    for tau in sorted(candidates, key=lambda tau: abs(float(tau) - dt)):
        if float(one - (one / tau) * step) == 0.0:
            return float(tau)
    return dt


def has_no_leak(array: np.ndarray) -> bool:
    return bool((array >= NO_LEAK).any())
