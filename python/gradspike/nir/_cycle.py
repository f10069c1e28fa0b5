"""Populations with a loop between them as one recurrent layer over their concatenation."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gradspike.nir._layers import LIF_ARGUMENTS, Layers, has_no_leak, instant
from gradspike.nir._network import Analysis, Group, Projection
from gradspike.nn import RecurrentLIF

Signal = Tuple[str, Tuple[float, ...]]
"""A source and the delay of its signal, () where it has none."""


@dataclass
class Cycle:
    """Blocks of the two weights of a recurrent layer, and what feeds it."""

    members: Tuple[str, ...]
    sizes: Tuple[int, ...]
    sources: Dict[Signal, int] = field(default_factory=dict)
    """Sizes of the signals that are concatenated, in their order."""
    outer: List[Projection] = field(default_factory=list)
    inner: List[Projection] = field(default_factory=list)

    def start(self, member: str) -> int:
        return sum(self.sizes[: self.members.index(member)])

    def span(self, member: str) -> slice:
        start = self.start(member)
        return slice(start, start + self.sizes[self.members.index(member)])


def cycle_of(analysis: Analysis, group: Group) -> Cycle:
    """Collects the projections of a group."""
    result = Cycle(group.members, tuple(analysis.units[name].size for name in group.members))
    for member in group.members:
        for p in analysis.into(member):
            if p.source in group.members:
                result.inner.append(p)
            else:
                result.outer.append(p)
                result.sources[signal_of(p)] = analysis.units[p.source].size
    return result


def signal_of(p: Projection) -> Signal:
    return p.source, () if p.delay is None else tuple(p.delay.tolist())


def recurrent_layer(
    cycle: Cycle, layers: Layers, arguments: Mapping[str, Dict[str, np.ndarray]],
    signs: Mapping[str, np.ndarray], analysis: Analysis,
) -> RecurrentLIF:  # fmt: skip
    """The layer with the weights of the graph; the masks say which blocks exist."""
    starts = dict(zip(cycle.sources, np.cumsum([0, *cycle.sources.values()])))
    columns = {signal: slice(int(start), int(start) + cycle.sources[signal]) for signal, start in starts.items()}
    size, features = sum(cycle.sizes), sum(cycle.sources.values())
    outer = [(p, columns[signal_of(p)]) for p in cycle.outer]
    inner = [(p, cycle.span(p.source)) for p in cycle.inner]
    input_weight, input_mask = _blocks(cycle, outer, (size, features), layers, signs)
    recurrent_weight, mask = _blocks(cycle, inner, (size, size), layers, signs)
    dtypes = {layers.dtype(p) for p in (*cycle.outer, *cycle.inner)}
    dtype = torch.float64 if torch.float64 in dtypes else torch.float32
    name = "+".join(cycle.members)
    weights = [layers.weight(array, name, dtype) for array in (input_weight, recurrent_weight)]
    options = {**_weight_options("input", cycle.outer, weights[0], layers), "mask": mask, "input_mask": input_mask}
    options.update(_weight_options("recurrent", cycle.inner, weights[1], layers))
    options.update(_common(cycle, layers, "rounding", "none"), **_common(cycle, layers, "gradient", "clipped"))
    result = RecurrentLIF(
        features, size, name=name, dt=layers.dt, device="meta", dtype=dtype, **options,
        **_neuron_values(cycle, layers, arguments, analysis),
    )  # fmt: skip
    result.input_weight, result.recurrent_weight = (torch.nn.Parameter(w) for w in weights)
    for attribute, value in (("mask", mask), ("input_mask", input_mask)):
        setattr(result, attribute, None if value is None else value.to(weights[0].device))
    return result


def _blocks(
    cycle: Cycle, blocks: List[Tuple[Projection, slice]], shape: Tuple[int, int], layers: Layers,
    signs: Mapping[str, np.ndarray],
) -> Tuple[np.ndarray, Optional[Tensor]]:  # fmt: skip
    """The weight of all blocks and where a connection exists; None: everywhere."""
    weight, exists = np.zeros(shape), np.zeros(shape, dtype=bool)
    taken = set()
    for p, columns in blocks:
        rows = cycle.span(p.target)
        weight[rows, columns] += p.matrix(rows.stop - rows.start) * signs[p.target][:, None]
        stored = layers.choices.stored("mask", p.name, p.metadata) if p.exact else None
        stored = stored if p.exists is None else p.exists
        known = isinstance(stored, np.ndarray) and stored.shape == (
            rows.stop - rows.start,
            columns.stop - columns.start,
        )
        diagonal = p.weight is None or p.weight.ndim == 1
        exists[rows, columns] |= (
            stored != 0 if known else np.eye(rows.stop - rows.start, dtype=bool) if diagonal else True
        )
        if (p.target, columns.start) in taken:
            layers.notes.append(f"'{p.name}' is added to another weight between the same neurons")
        taken.add((p.target, columns.start))
    return weight, None if exists.all() else torch.as_tensor(exists)


def _weight_options(side: str, projections: List[Projection], weight: Tensor, layers: Layers) -> Dict[str, Any]:
    """Scale and bounds of one of the two weights: those that its projections agree on."""
    stored = [p.metadata if p.exact else {} for p in projections]
    bounds = {layers.bounds(p.name, m) for p, m in zip(projections, stored)}
    low, high = bounds.pop() if len(bounds) == 1 else (-63.0, 63.0)
    scales = {layers.scale_of(p.name, weight, (low, high), m) for p, m in zip(projections, stored)}
    scale = scales.pop() if len(scales) == 1 else layers.scale_of("", weight, (low, high), {})
    return {f"{side}_scale": scale, f"{side}_min_weight": low, f"{side}_max_weight": high}


def _common(cycle: Cycle, layers: Layers, option: str, default: str) -> Dict[str, Any]:
    found = {
        str(layers.choices.get(option, p.name, p.metadata if p.exact else {}, default))
        for p in (*cycle.outer, *cycle.inner)
    }
    return {option: found.pop() if len(found) == 1 else default}


def _neuron_values(
    cycle: Cycle, layers: Layers, arguments: Mapping[str, Dict[str, np.ndarray]], analysis: Analysis
) -> Dict[str, Any]:
    """Parameters over the concatenation; those of a single member keep the form that its file says."""
    joined = {name: np.concatenate([arguments[member][name] for member in cycle.members]) for name in LIF_ARGUMENTS}
    first = analysis.units[cycle.members[0]]
    surrogate: Dict[str, Any] = layers.surrogate(first.name, first.metadata)
    if len(cycle.members) == 1:
        return {**layers.values(joined, first.name, first.metadata), **surrogate}
    for name in ("tau_syn",):
        if not (joined[name] == joined[name][0]).all():  # a tensor, in whose arithmetic an instant is another number
            joined[name] = np.where(joined[name] == layers.dt, instant(layers.dt), joined[name])
    if has_no_leak(joined["tau_mem"]) and not has_no_leak(joined["tau_mem"][:1]):
        joined["tau_mem"] = np.minimum(joined["tau_mem"], 3e38)  # the largest of float32
    return {**{name: layers.value(array) for name, array in joined.items()}, **surrogate}
