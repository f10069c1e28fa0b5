"""Two runs of one network over each other: simulation and chip."""

import textwrap
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike.chip import _check_numbers
from gradspike.plot import _axes
from gradspike.plot._traces import finish_raster, mark_size

if TYPE_CHECKING:
    from gradspike.chip import Result

_FEW = 4  # pairs of traces that can still be told apart
_LABELS = ("simulation", "chip")


def spike_comparison(
    first: Tensor,
    second: Tensor,
    ax: Optional[Any] = None,
    *,
    dt: float = 1e-6,
    batch: int = 0,
    labels: Tuple[str, str] = _LABELS,
    title: Optional[str] = None,
) -> Any:
    """Raster of two runs: spikes of both, and marked, those of one of them only.

    A spike that comes a step later in the second run is one of the first only, and one of the second only.

    Args:
        first: `[time, batch, neuron]` or `[time, neuron]`.
        second: In the shape of `first`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        batch: Batch entry that is shown.
        labels: Names of the runs.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: shapes differ or are others, or there is no such batch entry.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch
        >>> simulated, measured = torch.zeros(10, 1, 3), torch.zeros(10, 1, 3)
        >>> simulated[2, 0, 0] = simulated[4, 0, 1] = measured[2, 0, 0] = 1.0
        >>> ax = spike_comparison(simulated, measured)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['in both: 1', 'simulation only: 1', 'chip only: 0', 'first difference: 4 µs']
    """
    ax = _axes.axes(ax)
    a, b = _pair(first, second, batch, "spike_comparison")
    parts = (
        ("in both", torch.minimum(a, b), {"marker": "|", "color": "#404040"}),
        (f"{labels[0]} only", (a - b).clamp(min=0), {"marker": "x", "color": _axes.COLORS[0]}),
        (f"{labels[1]} only", (b - a).clamp(min=0), {"marker": "+", "color": _axes.COLORS[1]}),
    )
    for name, counts, mark in parts:
        steps, neurons = counts.nonzero(as_tuple=True)
        size = mark_size(counts) if mark["marker"] == "|" else 22.0
        label = _wrapped(f"{name}: {int(counts.sum())}")
        times = _axes.microseconds(steps, dt)
        ax.scatter(times, neurons.numpy(), s=size, linewidths=1.2, label=label, **mark)
    _mark_first_difference(ax, a, b, dt)
    _axes.legend_outside(ax)
    return finish_raster(ax, a, dt, title)


def trace_comparison(
    first: Tensor,
    second: Tensor,
    ax: Optional[Any] = None,
    *,
    dt: float = 1e-6,
    batch: int = 0,
    neurons: Optional[Sequence[int]] = None,
    threshold: _axes.Threshold = None,
    labels: Tuple[str, str] = _LABELS,
    title: Optional[str] = None,
) -> Any:
    """Membranes of two runs: lines of the first, dashes of the second, and the area between them.

    Args:
        first: `[time, batch, neuron]` or `[time, neuron]`.
        second: In the shape of `first`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        batch: Batch entry that is shown.
        neurons: Indices of the neurons; None: the first four.
        threshold: Drawn as a dashed line; lowest and highest of neurons that differ: as a band; None: none.
        labels: Names of the runs.
        title: Title; None: none.

    Returns:
        The Axes. The legend says where the largest difference of the neurons shown is.

    Raises:
        ValueError: shapes differ or are others, or there is no such batch entry or neuron.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch
        >>> simulated = torch.zeros(10, 1, 1)
        >>> measured = simulated.clone()
        >>> measured[4] = 0.25
        >>> ax = trace_comparison(simulated, measured)
        >>> ax.get_legend().get_texts()[-1].get_text()
        'largest difference: 0.25,\\nneuron 0, 4 µs'
    """
    ax = _axes.axes(ax)
    a, b = _pair(first, second, batch, "trace_comparison")
    shown = list(_axes.chosen(neurons, a.shape[1], "trace_comparison", _FEW))
    time = _axes.microseconds(torch.arange(a.shape[0]), dt)
    for position, neuron in enumerate(shown):
        color = _axes.color(position)
        left, right = a[:, neuron].numpy(), b[:, neuron].numpy()
        ax.fill_between(time, left, right, color=color, alpha=0.2, linewidth=0)
        ax.plot(time, left, color=color, label=f"neuron {neuron}")
        ax.plot(time, right, color=color, linestyle=(0, (4, 2)))
    for name, dashes in zip(labels, ("-", (0, (4, 2)))):
        ax.plot([], [], color=_axes.GREY, linestyle=dashes, label=_wrapped(name))
    _axes.draw_threshold(ax, threshold, "-.")  # the second run is dashed
    if shown and a.shape[0] > 0:
        _say_largest_difference(ax, a[:, shown], b[:, shown], shown, dt)
    _axes.legend_outside(ax)
    return _axes.finish(ax, "time [µs]", "membrane [model units]", title)


def run_comparison(
    first: "Result",
    second: "Result",
    population: Optional[str] = None,
    *,
    dt: float = 1e-6,
    batch: int = 0,
    neurons: Optional[Sequence[int]] = None,
    threshold: _axes.Threshold = None,
    labels: Optional[Tuple[str, str]] = None,
    title: Optional[str] = None,
) -> Any:
    """Two runs of one network, below each other: spikes, and membranes where both runs recorded them.

    Args:
        first: What a run gave, such as `Network.run_model`.
        second: What another run gave, such as a `Deployed` that was called with `membrane="*"`.
        population: Spikes and membranes of this one; None: spikes of all that fire, membranes of the others.
        dt: Time step [s].
        batch: Batch entry that is shown.
        neurons: Whose membranes are shown; None: the first four.
        threshold: As for `trace_comparison`, of `population`.
        labels: Names of the runs; None: their targets.
        title: Title of the figure; None: none.

    Returns:
        The Figure.

    Raises:
        ValueError: the runs share no such population, their shapes differ, or an index does not exist.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 9, scale=20.0, name="out"), gradspike.nn.LIF(9))
        >>> network, spikes = gradspike.chip.read(model), (torch.rand(38, 1, 5) < 0.2).float()
        >>> simulated = network.run_model(spikes)
        >>> measured = network.deploy("emulator", "calibrated", seed=1)(spikes, membrane="*")
        >>> figure = run_comparison(simulated, measured, next(iter(simulated.spikes)))
        >>> len(figure.axes)
        2
    """
    panels = _panels(first, second, population)
    names = labels or (first.target, second.target)
    figure = _axes.new_figure((9.0, 1.2 + 2.8 * len(panels)))
    shared = None
    for place, (kind, name) in enumerate(panels):
        shared = ax = figure.add_subplot(len(panels), 1, place + 1, sharex=shared)
        about: Any = {"dt": dt, "batch": batch, "labels": names, "title": f"{name}: {kind}"}
        if kind == "spikes":
            spike_comparison(first.spikes[name], second.spikes[name], ax, **about)
        else:
            about.update(neurons=neurons, threshold=threshold if population else None)
            trace_comparison(first.membrane[name], second.membrane[name], ax, **about)
        if place + 1 < len(panels):
            ax.set_xlabel("")
    if title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _panels(first: "Result", second: "Result", population: Optional[str]) -> List[Tuple[str, str]]:
    """Kind and population of each panel."""
    spikes = [name for name in first.spikes if name in second.spikes]
    membranes = [name for name in first.membrane if name in second.membrane]
    if population is None:
        kinds = [("spikes", name) for name in spikes]
        kinds += [("membranes", name) for name in membranes if name not in spikes]
    else:
        kinds = [(kind, population) for kind, names in (("spikes", spikes), ("membranes", membranes))
                 if population in names]  # fmt: skip
    if not kinds:
        known = ", ".join(dict.fromkeys([*spikes, *membranes])) or "none"
        raise ValueError(f"run_comparison: population must be one that both runs recorded, {known}, got {population!r}")
    return kinds


def _pair(first: Tensor, second: Tensor, batch: int, function: str) -> Tuple[Tensor, Tensor]:
    if first.shape != second.shape:
        raise ValueError(f"{function}: second must have the shape of first, {list(first.shape)}, got "
                         f"{list(second.shape)}")  # fmt: skip
    return _axes.entry(first, batch, function), _axes.entry(second, batch, function)


def _mark_first_difference(ax: Any, a: Tensor, b: Tensor, dt: float) -> None:
    step = _check_numbers.difference(a, b, fires=False)["first_differing_step"]
    if step is not None:
        time = step * dt * 1e6
        ax.axvline(time, color=_axes.COLORS[6], linestyle=":", linewidth=1.0, label=f"first difference: {time:g} µs")


def _say_largest_difference(ax: Any, a: Tensor, b: Tensor, shown: List[int], dt: float) -> None:
    """In the legend, and a dotted line in the figure; none where the runs agree."""
    gap = (a - b).abs()
    largest = float(gap.max())
    if largest == 0.0:
        ax.plot([], [], " ", label="no difference")
        return
    step, position = divmod(int(gap.argmax()), len(shown))
    where = f"neuron {shown[position]}, {step * dt * 1e6:g} µs"
    text = f"largest difference: {largest:.3g},\n{where}"
    ax.axvline(step * dt * 1e6, color=_axes.COLORS[6], linestyle=":", linewidth=1.0, label=text)


def _wrapped(text: str) -> str:
    """Targets are long, legends narrow."""
    return textwrap.fill(_axes.entry_text(text), 28)
