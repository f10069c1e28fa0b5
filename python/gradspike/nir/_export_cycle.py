"""A recurrent layer as populations in loops: one, or those that an import put together."""

from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import numpy as np
import torch

from gradspike import nn
from gradspike.nir._signals import Signal, Spec, Term, picked_columns

if TYPE_CHECKING:
    from gradspike.nir._export_walk import Walk


def recurrent_nodes(walk: "Walk", layer: nn.RecurrentLIF, path: str, signal: Signal) -> Signal:
    """The populations, and a weight for each block that exists."""
    from gradspike.nir._export_walk import names_of

    population, name_in, name_rec = names_of(layer, path)
    blocks: List[Tuple[str, int]] = list(walk.meta.get("blocks", {}).get(path, [(population, layer.size)]))
    starts = np.cumsum([0, *(size for _, size in blocks)])
    spans = [slice(int(start), int(start) + size) for start, (_, size) in zip(starts, blocks)]
    names = [walk.sketch.reserve(name) for name, _ in blocks]
    per_lsb = 1.0
    if walk.export.weights == "integers":
        per_lsb = 1.0 / layer.input_scale
        if layer.input_scale != layer.recurrent_scale:
            reason = f"its weights have the scales {layer.input_scale:g} and {layer.recurrent_scale:g}"
            walk.refuse(path, "RecurrentLIF", reason, "one scale, or weights='quantised'")
    for k, (name, span) in enumerate(zip(names, spans)):
        part = span if len(blocks) > 1 else None
        spec = walk.export.neurons(layer, name, walk._hint(path, k), part, per_lsb)
        walk.add(name, spec, span.stop - span.start, reserved=True)
    recurrent = Signal(
        tuple(Term(name, span.stop - span.start, _place(span, layer.size)) for name, span in zip(names, spans)),
        layer.size,
    )
    if len(blocks) == 1:
        recurrent = Signal((Term(names[0], layer.size),), layer.size)
    _connect(walk, layer, "input", name_in, signal, names, spans)
    _connect(walk, layer, "recurrent", name_rec, recurrent, names, spans)
    return recurrent


def _place(span: slice, size: int) -> np.ndarray:
    index = np.full(size, -1)
    index[span] = np.arange(span.stop - span.start)
    return index


def _connect(
    walk: "Walk", layer: nn.RecurrentLIF, side: str, name: str, signal: Signal, names: List[str], spans: List[slice]
) -> None:
    """One Linear per term of the signal and population, where the mask leaves any connection."""
    weight: torch.Tensor = getattr(layer, f"{side}_weight")
    found: Optional[torch.Tensor] = layer.input_mask if side == "input" else layer.mask
    mask = np.ones(tuple(weight.shape), dtype=np.uint8) if found is None else found.cpu().numpy().astype(np.uint8)
    scale = float(getattr(layer, f"{side}_scale"))
    bounds = (float(getattr(layer, f"{side}_min_weight")), float(getattr(layer, f"{side}_max_weight")))
    masked = weight.detach() if found is None else weight.detach() * found
    matrix = walk.export.weight(masked, scale, bounds, layer.rounding, layer.units)
    for target, span in zip(names, spans):
        for term in signal.terms:
            size = term.size
            block, exists = matrix[span], mask[span]
            if term.index is not None:
                block, exists = picked_columns(block, term.index, size), picked_columns(exists, term.index, size)
            if not exists.any():
                continue
            metadata: Any = walk.export.weight_metadata(scale, bounds, layer)
            if not exists.all():
                metadata.update(mask=exists, kind="dense")
            spec = Spec("Linear", {"weight": block}, walk.export.said(metadata))
            whole = len(names) == 1 and len(signal.terms) == 1
            part = walk.add(name if whole else f"{term.node}->{target}", spec, block.shape[0])
            walk.sketch.connect(Signal((Term(term.node, size),), size), part.terms[0].node)
            walk.sketch.connect(part, target)
