"""`from_nir` and `analyse`."""

import os
import warnings
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import torch

from gradspike.nir import _policy
from gradspike.nir._analysis import analysed
from gradspike.nir._build import Builder, split
from gradspike.nir._conventions import Convention, convention
from gradspike.nir._file import read_raw
from gradspike.nir._network import Analysis, natural
from gradspike.nir._options import Choices, Options, Scale
from gradspike.nir._problems import NIRImportError, NIRWarning, Problem, counted
from gradspike.nir._raw import RawGraph, raw_of
from gradspike.nir._report import ImportReport, NodeReport


class Imported(NamedTuple):
    """What `from_nir` gives."""

    module: torch.fx.GraphModule
    """`forward(*inputs [time, batch, size])`: one tensor per output, a tuple where there are several."""
    report: ImportReport


def raw_graph(graph: Any) -> RawGraph:
    """A graph of `nir`, or the file at a path, in raw form."""
    if isinstance(graph, RawGraph):
        return graph
    return read_raw(graph) if isinstance(graph, (str, os.PathLike)) else raw_of(graph)


def analyse(graph: Any, *, dt: float, time_unit: str, conv: str = "refuse") -> Analysis:
    """The normal form of a graph: for builders of other modules, and to look at.

    Args:
        graph: A `nir.NIRGraph` or the path of a file.
        dt: Time step [s].
        time_unit: Unit of the times in the graph: "s", "ms", "us" or "steps".
        conv: "unroll" writes convolutions and poolings out as matrices.

    Returns:
        Analysis, whose `problems` say what no builder can import; nothing is raised for these.

    Raises:
        NIRImportError: the file is no NIR file, or a damaged one.
        ValueError: dt or time_unit is out of its range.
        TypeError: graph is neither a graph nor a path.
    """
    return analysed(raw_graph(graph), dt, time_unit, conv)


def from_nir(
    graph: Any,
    *,
    preset: Optional[str] = None,
    dt: Optional[float] = None,
    time_unit: Optional[str] = None,
    spike: Optional[str] = None,
    reset: Optional[str] = None,
    decay: Optional[str] = None,
    bias: str = "refuse",
    lif: Optional[str] = None,
    conv: str = "refuse",
    rounding: Optional[str] = None,
    scale: Scale = None,
    min_weight: Optional[float] = None,
    max_weight: Optional[float] = None,
    gradient: Optional[str] = None,
    surrogate: Optional[str] = None,
    alpha: Optional[float] = None,
    refractory_time: Optional[float] = None,
    inputs: Optional[Sequence[str]] = None,
    outputs: Optional[Sequence[str]] = None,
    dtype: Optional[torch.dtype] = None,
    device: Any = None,
    metadata: bool = True,
) -> Imported:
    """A graph of NIR as a module of `gradspike.nn` layers, exactly or not at all.

    A NIR file does not say what its times are counted in, what a spike is, or how neurons reset: these are arguments.
    Where a node is not imported exactly, an argument has switched that on, and the report says so; all else is refused
    at once. The equations of NIR are stepped by explicit Euler: the membrane sees the current of the step before.

    Nodes: Input, Output, Linear, Affine, CubaLIF, CubaLI, LIF, LI, IF, I, Scale, Threshold, Flatten, Delay (whole
    steps) and nested graphs; edges in any order; several edges into a node are summed; what lies between two
    populations is multiplied into one weight. Populations with loops between them become one `RecurrentLIF` with block
    masks, whose spikes arrive one step later. Shapes are flattened, row-major.

    Args:
        graph: A `nir.NIRGraph` or the path of a file.
        preset: Conventions of the framework that wrote the file: "hxtorch", "norse", "snntorch", "lava", "nengo",
            "spikingjelly", "rockpool", "sinabs" or "spyx". Arguments that are given go first.
        dt: Time step [s]. Needed, unless the preset or the metadata of `to_nir` has it.
        time_unit: What times in the file are counted in: "s", "ms", "us" or "steps". Needed like dt.
        spike: What a spike of weight 1 does to the current of a CubaLIF: "held" for one step lifts it by
            `w_in * dt / tau_syn`, "dirac" (an area of 1 in the file's time unit) by `w_in / tau_syn`, "jump" by `w_in`.
            The membrane of a LIF: by `r * dt / tau`, `r / tau` and `r`; of an IF: by `r * dt`, `r` and `r`.
            Default "held", the reading of NIR's own reference.
        reset: "value" (default): to v_reset. "subtract" is refused, since neither the neurons here nor the chip do it.
        decay: "euler" (default): `1 - dt / tau` per step. "exponential": `exp(-dt / tau)` per step, by a time constant
            whose Euler step is that.
        bias: Of Affine nodes, where it is not zero: "refuse"; "leak" shifts the leak to where a constant input holds
            the membrane, right in the steady state; "add" adds it in every step, exact in simulation and on no chip.
        lif: LIF, LI, IF and I, which have no synaptic current: "refuse" (default); "instant_synapse" gives them one
            that lasts one step, so that their spikes and voltages come one step later, and are the same otherwise.
        conv: Conv1d, Conv2d, SumPool2d and AvgPool2d: "refuse", or "unroll", which writes each out as the matrix that
            it is, exactly; its weights are then trained one by one.
        rounding: "none" (default) computes with the weights as they are; "half_even" or "half_away" with the integers
            that the chip holds, see `gradspike.nn.Synapse`.
        scale: Model weight to LSB, for all weights or by name of the weight node. Default: `suggest_scale` of each.
        min_weight: Lower bound [LSB]; default -63.
        max_weight: Upper bound [LSB]; default 63.
        gradient: Straight-through rule to the weights; default "clipped".
        surrogate: Surrogate derivative of the spikes; default "superspike".
        alpha: Steepness of the surrogate; default 50.
        refractory_time: Refractory time of neurons that spike [s], which NIR does not have; default 0.
        inputs: Names of the Input nodes, in the order of the module's arguments. Default: as the metadata says, else
            in natural order of their names; files have no order.
        outputs: Likewise for the results.
        dtype: Of weights and per-neuron parameters, torch.float32 or torch.float64; default: the default dtype.
        device: Of weights and per-neuron parameters.
        metadata: Whether what is not given is taken from metadata that `to_nir` wrote; the report lists what was.

    Returns:
        Imported(module, report). The module can be trained, scripted, saved, read and deployed; its layers carry the
        names of the nodes. Voltages are those of NIR; a current is counted in units of the jump per spike.

    Raises:
        NIRImportError: nodes are refused, and `problems` has each with reason and remedy; or the file is none of NIR's.
        ValueError: an argument is out of its range, or dt or time_unit is neither given nor known.
        TypeError: graph is neither a graph nor a path.
        ImportError: a path is given, and h5py is missing.
        NIRWarning: (a warning) a time constant is implausible.

    Example:
        >>> import nir, numpy
        >>> ones = numpy.ones(2)
        >>> neurons = nir.CubaLIF(5e-3 * ones, 10e-3 * ones, ones, 0 * ones, ones, w_in=5 * ones)
        >>> graph = nir.NIRGraph.from_list(nir.Linear(numpy.eye(2)), neurons)
        >>> module, report = from_nir(graph, dt=1e-3, time_unit="s")
        >>> report.exact, module(torch.ones(30, 1, 2)).sum(0).tolist()
        (True, [[8.0, 8.0]])
    """
    options = Options(
        bias, lif, conv, rounding, scale, min_weight, max_weight, gradient, surrogate, alpha, refractory_time, dtype,
        device, metadata,
    )  # fmt: skip
    options.check()
    raw = raw_graph(graph)
    used, stored = convention(
        preset, raw.metadata if metadata else {}, dt=dt, time_unit=time_unit, spike=spike, reset=reset, decay=decay
    )
    assert used.dt is not None and used.time_unit is not None
    analysis = analysed(raw, used.dt, used.time_unit, conv)
    choices = Choices(options, raw.metadata)
    choices.used.update(stored)
    problems = analysis.problems + _policy.refusals(analysis, used, choices)
    if problems:
        raise NIRImportError(_sentence(problems), sorted(problems, key=lambda p: natural(p.node)))
    for note in analysis.notes:
        if "steps" in note:
            warnings.warn(f"from_nir: {note}", NIRWarning, stacklevel=2)
    builder = Builder(
        analysis, used, choices, *(_names(given, analysis, choices, kind) for given, kind in
                                   ((inputs, "inputs"), (outputs, "outputs"))),
    )  # fmt: skip
    module = builder.build()
    return Imported(module, _report(builder, preset, used, options))


def _sentence(problems: List[Problem]) -> str:
    nodes = len({problem.node for problem in problems})
    return f"from_nir: {counted(nodes, 'node')} of the graph cannot be imported as they are:"


def _names(given: Optional[Sequence[str]], analysis: Analysis, choices: Choices, kind: str) -> List[str]:
    wanted = analysis.inputs if kind == "inputs" else analysis.outputs
    if given is not None:
        return split(list(given), wanted, kind)
    found = choices.stored(kind, "graph", analysis.metadata)
    names = found.split("\n") if isinstance(found, str) else None
    return names if names is not None and sorted(names) == sorted(u.name for u in wanted) else split(None, wanted, kind)


def _report(builder: Builder, preset: Optional[str], used: Convention, options: Options) -> ImportReport:
    analysis = builder.analysis
    said = {"dt": used.dt, "time_unit": used.time_unit, "spike": used.spike, "reset": used.reset, "decay": used.decay}
    notes = [*analysis.notes, *builder.layers.notes, *([used.remark] if used.remark else [])]
    folded = [p for p in analysis.projections if len(p.weights) > 1]
    notes += [f"{', '.join(map(repr, p.weights))} are one weight, '{p.name}'" for p in folded]
    notes += _shared(analysis)
    rows = [
        _row(builder, name, kind, options) for name, kind in sorted(analysis.types.items(), key=lambda e: natural(e[0]))
    ]
    return ImportReport(
        {**({"preset": preset} if preset else {}), **said}, builder.inputs, builder.outputs, rows,
        _policy.approximations(analysis, used, options), notes, _policy.not_for_chip(analysis, options),
        builder.choices.used,
    )  # fmt: skip


def _shared(analysis: Analysis) -> List[str]:
    counts: Dict[str, int] = {}
    for p in analysis.projections:
        for name in p.weights:
            counts[name] = counts.get(name, 0) + 1
    return [
        f"the weight '{name}' stands in {count} projections, each with its own copy"
        for name, count in counts.items()
        if count > 1
    ]


def _row(builder: Builder, name: str, kind: str, options: Options) -> NodeReport:
    analysis = builder.analysis
    module = builder.modules.get(name, "")
    status, remark = "exact", ""
    unit = analysis.units.get(name)
    if unit is not None and kind in ("LIF", "LI", "IF", "I"):
        status, remark = "approximate", "one step later"
    if unit is not None and kind in ("Input", "Output"):
        remark = f"flattened from {list(unit.shape)}" if len(unit.shape) > 1 else f"{unit.size} elements"
    if any(b.node == name for b in analysis.biases):
        status = "approximate" if options.bias == "leak" else "exact"
        remark = "bias as a shift of the leak" if options.bias == "leak" else "bias added"
    ways = [p for p in analysis.projections if name in p.nodes]
    if ways and kind not in ("Flatten", "Port", "Delay") and any(len(p.weights) > 1 for p in ways):
        status = "folded" if status == "exact" else status
        remark = remark or _fold_remark(ways)
    elif kind == "Affine" and not remark:
        remark = "its bias is zero"
    return NodeReport(name, kind, status, module, remark)


def _fold_remark(ways: List[Any]) -> str:
    names = sorted({p.name for p in ways})
    return f"into '{names[0]}'" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
