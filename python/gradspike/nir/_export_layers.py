"""Nodes of single layers: weights with what NIR has no word for as metadata, neurons by `_inverse`."""

from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import torch
from torch import Tensor

from gradspike import nn
from gradspike.functional import hardware_weights
from gradspike.nir._conventions import Convention
from gradspike.nir._inverse import Parameters, neuron_spec
from gradspike.nir._layers import LI_ARGUMENTS, LIF_ARGUMENTS
from gradspike.nir._signals import Spec

WEIGHTS = ("model", "quantised", "integers")


class LayerExport:
    """Makes nodes under one convention."""

    def __init__(self, used: Convention, weights: str, metadata: bool) -> None:
        self.used = used
        self.weights = weights
        self.metadata = metadata
        self.inexact: List[str] = []
        self.unsaid: List[str] = []

    def weight(self, w: Tensor, scale: float, bounds: Tuple[float, float], rounding: str, units: str) -> np.ndarray:
        """The weight as it is, or what the chip's integers stand for."""
        w = w.detach()
        factor = torch.as_tensor(scale, dtype=torch.float32).to(w.dtype).to(w.device)
        if self.weights != "model":
            by = "half_even" if rounding == "none" else rounding
            integers = hardware_weights(w, scale, *bounds, by).to(w.dtype)
            w = integers if self.weights == "integers" or units == "lsb" else integers * (1.0 / factor)
        elif units == "lsb":
            w = w * factor
        return as_array(w if w.dtype == torch.float64 else w.float())

    def said(self, entries: Dict[str, Any]) -> Dict[str, Any]:
        return entries if self.metadata else {}

    def synapse(self, layer: Any) -> Spec:
        """`Synapse` or `SparseSynapse`."""
        sparse = isinstance(layer, nn.SparseSynapse)
        bounds = (layer.min_weight, layer.max_weight)
        effective = layer.to_dense() if sparse else layer.effective_weight()
        scale = scale_of(layer)
        matrix = self.weight(effective, scale, bounds, layer.rounding, layer.units)
        mask = None
        if sparse:
            mask = np.zeros(matrix.shape, dtype=np.uint8)
            mask[tuple(layer.connections.cpu().numpy())] = 1
        elif layer.mask is not None:
            mask = layer.mask.cpu().numpy().astype(np.uint8)
        entries = self.weight_metadata(scale, bounds, layer)
        if mask is not None:
            entries.update(mask=mask, kind="sparse" if sparse else "dense")
        return Spec("Linear", {"weight": matrix}, self.said(entries))

    def weight_metadata(self, scale: float, bounds: Tuple[float, float], layer: Any) -> Dict[str, Any]:
        in_integers = self.weights == "integers" or layer.units == "lsb"
        return {
            "scale": 1.0 if in_integers else float(scale), "min_weight": float(bounds[0]),
            "max_weight": float(bounds[1]), "rounding": layer.rounding, "gradient": layer.gradient,
        }  # fmt: skip

    def neurons(self, layer: Any, name: str, hint: Mapping[str, Any], part: Any = None, per_lsb: float = 1.0) -> Spec:
        """A population. `per_lsb`: model weight of an integer, where the weights are integers."""
        fires = not isinstance(layer, nn.LI) and not (isinstance(layer, nn.AELIF) and not layer.fire)
        names = LIF_ARGUMENTS if fires else LI_ARGUMENTS
        parameters = Parameters(layer, names, layer.size, part)
        spec, off = neuron_spec(parameters, fires, self.used, dict(hint))
        if off:
            self.inexact.append(f"{', '.join(off)} of '{name}'")
        if per_lsb != 1.0:
            field = "w_in" if "w_in" in spec.fields else "r"
            spec.fields[field] = spec.fields[field] * per_lsb
        entries: Dict[str, Any] = {}
        if fires:
            entries.update(surrogate=layer.surrogate, alpha=float(layer.alpha))
            times = parameters.arrays["refractory_time"]
            if times.any():
                entries["refractory_time"] = float(times[0]) if (times == times[0]).all() else times
                self.unsaid.append(f"the refractory time of '{name}'")
        if spec.type in ("LIF", "LI", "IF", "I"):
            entries["lif"] = "instant_synapse"
        if parameters.forms:
            entries["forms"] = ",".join(parameters.forms.values())
        spec.metadata = self.said(entries)
        return spec


def scale_of(layer: Any) -> float:
    """The scale of a synapse as a number, also where it is trained."""
    return float(layer.scale.detach()) if isinstance(layer.scale, Tensor) else float(layer.scale)


def as_array(tensor: Tensor) -> np.ndarray:
    """A copy as NumPy's array."""
    return tensor.detach().cpu().numpy().copy()


def is_plain(layer: nn.AELIF) -> bool:
    """Whether leak and spikes are its only terms."""
    return layer.leaky and not (layer.exponential or layer.subthreshold_adaptation or layer.spike_triggered_adaptation)
