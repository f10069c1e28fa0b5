"""`to_nir`."""

import warnings
from typing import Any, Dict, List

import torch
from torch import Tensor

from gradspike import _reading, nn
from gradspike._version import __version__
from gradspike.nir._build import META
from gradspike.nir._conventions import SPIKES, Convention
from gradspike.nir._export_layers import WEIGHTS, LayerExport
from gradspike.nir._export_walk import Walk
from gradspike.nir._problems import NIRExportError, NIRWarning, counted
from gradspike.nir._require import require
from gradspike.nir._signals import Spec
from gradspike.nir._trace import traced
from gradspike.nir._units import TIME_UNITS

_NEURONS = (nn.AELIF, nn.LI, nn.LIF, nn.RecurrentLIF, nn.SynapseLIF)


def to_nir(
    model: Any,
    *,
    time_unit: str = "s",
    spike: str = "held",
    weights: str = "model",
    example: Any = None,
    metadata: bool = True,
) -> Any:
    """A model of `gradspike.nn` layers as a graph of NIR, which means the same under the convention that is named.

    `Synapse` and `SparseSynapse` become Linear, `LIF` and an `AELIF` with leak and spikes alone CubaLIF, `LI` CubaLI,
    `RecurrentLIF` a CubaLIF in a loop with a Linear; modules that `from_nir` made become the nodes they were, with
    their names. Sums become several edges, concatenations and slices weights over parts. The model is traced, not run;
    dropout is left out, as in evaluation.

    Args:
        model: A module of such layers, also compiled or wrapped by DDP; not scripted.
        time_unit: What times are counted in: "s", "ms", "us" or "steps". The documentation of NIR says ms, most
            frameworks read s.
        spike: How the graph is to be read, see `from_nir`: it decides w_in.
        weights: "model": weights as they are before rounding; "quantised": integer over scale, what the chip computes
            with; "integers": in LSB, and 1 / scale goes into w_in (r of LIF and IF).
        example: Input or inputs `[time, batch, size]`, where the size of an input does not follow from the layers.
        metadata: Whether to write what NIR has no words for (dt, convention, scale, bounds, rounding, masks, refractory
            time, surrogate) as metadata, from which `from_nir` takes what its arguments do not say.

    Returns:
        nir.NIRGraph, for `nir.write`. `from_nir(to_nir(model))` gives the spikes of the model, bit for bit.

    Raises:
        NIRExportError: layers or operations have no counterpart; `problems` has each with reason and remedy.
        ValueError: an argument is out of its range, or the layers differ in dt.
        ImportError: the package nir is missing.
        NIRWarning: (a warning) the neurons have a refractory time, which other tools do not read from the metadata.

    Example:
        >>> from gradspike import nn
        >>> model = torch.nn.Sequential(nn.Synapse(3, 4), nn.LIF(4), nn.Synapse(4, 2), nn.LI(2))
        >>> graph = to_nir(model)
        >>> sorted(graph.nodes)
        ['0', '1', '2', '3', 'input', 'output']
        >>> spikes = torch.ones(20, 1, 3)
        >>> torch.equal(from_nir(graph).module(spikes), model(spikes))
        True
    """
    for argument, value, choices in (
        ("time_unit", time_unit, TIME_UNITS), ("spike", spike, SPIKES), ("weights", weights, WEIGHTS)
    ):  # fmt: skip
        if value not in choices:
            raise ValueError(f"to_nir: {argument} must be one of {', '.join(choices)}, got {value!r}")
    nir = require("nir", "to_nir")
    root, graph = traced(model)
    used = Convention(_common_dt(root), time_unit, spike)
    stored = getattr(_reading.unwrapped(model), "meta", {})
    walk = Walk(root, graph, LayerExport(used, weights, metadata), _example_sizes(example),
                stored.get(META, {}) if isinstance(stored, dict) else {})  # fmt: skip
    walk.run()
    if walk.problems:
        sentence = f"to_nir: {counted(len(walk.problems), 'part')} of the model cannot be exported:"
        raise NIRExportError(sentence, walk.problems)
    _warn(walk.export)
    return _graph(nir, walk, used, metadata)


def _common_dt(root: torch.nn.Module) -> float:
    found = {m.dt: path for path, m in root.named_modules() if isinstance(m, _NEURONS)}
    if len(found) > 1:
        listed = ", ".join(f"{dt:g} s ('{path}')" for dt, path in found.items())
        raise ValueError(f"to_nir: all layers must have one dt, got {listed}")
    return next(iter(found), 1e-6)


def _example_sizes(example: Any) -> List[int]:
    inputs = [example] if isinstance(example, Tensor) else list(example or ())
    return [int(tensor.shape[-1]) for tensor in inputs]


def _warn(export: LayerExport) -> None:
    if export.unsaid:
        kept = "it is in the metadata, which other tools do not read" if export.metadata else "it is lost"
        warnings.warn(f"to_nir: NIR has no word for {', '.join(export.unsaid)}: {kept}", NIRWarning, stacklevel=3)
    if export.inexact:
        warnings.warn(
            f"to_nir: in this time unit {'; '.join(export.inexact)} comes back with another last bit: "
            "time_unit='s' is exact",
            NIRWarning,
            stacklevel=3,
        )


def _graph(nir: Any, walk: Walk, used: Convention, metadata: bool) -> Any:
    nodes = {name: _node(nir, spec) for name, spec in walk.sketch.nodes.items()}
    about: Dict[str, Any] = {}
    if metadata:
        about = {"library": "gradspike", "version": __version__, "dt": used.dt, "time_unit": used.time_unit,
                 "spike": used.spike, "reset": used.reset, "inputs": "\n".join(walk.inputs),
                 "outputs": "\n".join(walk.outputs)}  # fmt: skip
    return nir.NIRGraph(nodes=nodes, edges=walk.sketch.edges, metadata=about)


def _node(nir: Any, spec: Spec) -> Any:
    if spec.type in ("Input", "Output"):
        return getattr(nir, spec.type)({f"{spec.type.lower()}": spec.fields["shape"]})
    return getattr(nir, spec.type)(**spec.fields, metadata=spec.metadata)
