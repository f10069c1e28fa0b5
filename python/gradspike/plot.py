"""Figures of spikes, traces, weights, learning and placement.

Every function draws into `ax`, or into a new figure where that is None, and returns the Axes; nothing is shown, so the
functions work without a display. Colours are those of Okabe and Ito, which readers with impaired colour vision can
tell apart. Needs matplotlib, which is imported when a function is called.
"""

import math
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike import functional

__all__ = ["chip_map", "learning_curve", "membrane_traces", "spike_raster", "weight_histogram"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito, Color Universal Design, 2008; yellow last, since it is faint on white."""

GREY = "#7F7F7F"
PALE_GREY = "#F2F2F2"
CIRCUITS_PER_ROW = 256
CIRCUIT_ROWS = 2
SYNAPSE_ROWS = 256
ROW_MODE_COLORS = {"excitatory": COLORS[0], "inhibitory": COLORS[1], "signed": COLORS[2], "disabled": GREY}


def spike_raster(
    spikes: Tensor, ax: Optional[Any] = None, *, dt: float = 1e-6, batch: int = 0, title: Optional[str] = None
) -> Any:
    """Raster plot: a mark per neuron and step with a spike.

    Args:
        spikes: `[time, batch, neuron]` or `[time, neuron]`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        batch: Batch entry that is shown.
        title: Title; None: none.

    Returns:
        The Axes.
    """
    ax = _axes(ax)
    values = _entry(spikes, batch, "spike_raster")
    steps, neurons = values.nonzero(as_tuple=True)
    ax.scatter(_microseconds(steps, dt), neurons.numpy(), s=12, marker="|", color=COLORS[0], linewidths=1.0)
    ax.set_xlim(-0.5 * dt * 1e6, (values.shape[0] - 0.5) * dt * 1e6)
    ax.set_ylim(-0.5, max(values.shape[1] - 0.5, 0.5))
    ax.yaxis.get_major_locator().set_params(integer=True)
    return _finish(ax, "time [µs]", "neuron", title)


def membrane_traces(
    membrane: Tensor,
    ax: Optional[Any] = None,
    *,
    dt: float = 1e-6,
    batch: int = 0,
    neurons: Optional[Sequence[int]] = None,
    threshold: Optional[float] = None,
    decision: bool = False,
    labels: Optional[Sequence[str]] = None,
    title: Optional[str] = None,
) -> Any:
    """Membranes over time, with the threshold, or with the decision: the largest maximum and its neuron.

    Args:
        membrane: `[time, batch, neuron]` or `[time, neuron]`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        batch: Batch entry that is shown.
        neurons: Indices of the neurons; None: the first eight.
        threshold: Drawn as a dashed line; None: none.
        decision: Marks the largest value of all traces shown, as a max-over-time readout decides.
        labels: Legend text of each neuron shown; None: "neuron i".
        title: Title; None: none.

    Returns:
        The Axes.
    """
    ax = _axes(ax)
    values = _entry(membrane, batch, "membrane_traces")
    shown = list(range(min(values.shape[1], len(COLORS)))) if neurons is None else list(neurons)
    time = _microseconds(torch.arange(values.shape[0]), dt)
    for position, neuron in enumerate(shown):
        label = labels[position] if labels is not None else f"neuron {neuron}"
        ax.plot(time, values[:, neuron].numpy(), color=_color(position), linestyle=_style(position), label=label)
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linestyle="--", label="threshold")
    if decision and shown:
        _mark_decision(ax, values, shown, dt, labels)
    _legend_outside(ax)
    return _finish(ax, "time [µs]", "membrane [model units]", title)


def _mark_decision(ax: Any, values: Tensor, shown: List[int], dt: float, labels: Optional[Sequence[str]]) -> None:
    index = int(values[:, shown].argmax())
    step, position = divmod(index, len(shown))
    peak = float(values[step, shown[position]])
    winner = labels[position] if labels is not None else f"neuron {shown[position]}"
    ax.plot(
        [step * dt * 1e6], [peak], marker="o", markersize=9, fillstyle="none", color=_color(position), linestyle="none",
        label=f"decision: {winner}",
    )  # fmt: skip


def weight_histogram(
    weight: Tensor,
    ax: Optional[Any] = None,
    *,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    title: Optional[str] = None,
) -> Any:
    """Histogram of `scale * weight` in LSB, with the bounds beyond which weights clip and the bin that rounds to zero.

    Args:
        weight: Any shape; NaN and infinite values are left out.
        ax: Axes to draw into; None: new ones.
        scale: Model weight to LSB.
        min_weight: Lower bound [LSB].
        max_weight: Upper bound [LSB].
        rounding: "half_even" or "half_away".
        title: Title; None: none.

    Returns:
        The Axes.
    """
    ax = _axes(ax)
    values = weight.detach().cpu().reshape(1, -1)
    values = values[torch.isfinite(values)].unsqueeze(0)
    statistics = functional.weight_statistics(values, scale, min_weight, max_weight, rounding)
    scaled = functional.linear_saturating(values, scale, -math.inf, math.inf).double().flatten()
    zero = functional.hardware_weights(values, scale, min_weight, max_weight, rounding).flatten() == 0
    edges = _bins(min([min_weight, *scaled.tolist()]), max([max_weight, *scaled.tolist()]))
    labels = ["weights", f"round to 0: {statistics.to_zero}"]
    parts = [scaled[~zero].numpy(), scaled[zero].numpy()]
    ax.hist(parts, bins=edges, stacked=True, color=[COLORS[0], COLORS[4]], label=labels)
    for bound, text in ((min_weight, "bounds"), (max_weight, None)):
        ax.axvline(bound, color=COLORS[1], linestyle="--", label=text)
    clipped = statistics.clipped_low + statistics.clipped_high
    ax.plot([], [], " ", label=f"clip: {clipped} of {statistics.total}")
    _legend_outside(ax)
    return _finish(ax, "scale × weight [LSB]", "number of weights", title)


def _bins(low: float, high: float) -> List[float]:
    """Edges at half integers, so that no bin mixes two integers; at most 256 bins."""
    first, last = math.floor(low) - 0.5, math.ceil(high) + 0.5
    width = max(1, math.ceil((last - first) / 256))
    return [first + width * i for i in range(math.ceil((last - first) / width) + 1)]


def learning_curve(
    curves: Mapping[str, Sequence[float]],
    ax: Optional[Any] = None,
    *,
    ylabel: str = "accuracy",
    title: Optional[str] = None,
) -> Any:
    """Values per epoch, one line for each name.

    Args:
        curves: Name to values, the first one of epoch 1.
        ax: Axes to draw into; None: new ones.
        ylabel: Label of the value, with its unit where it has one.
        title: Title; None: none.

    Returns:
        The Axes.
    """
    ax = _axes(ax)
    for position, (name, values) in enumerate(curves.items()):
        epochs = range(1, len(values) + 1)
        ax.plot(epochs, list(values), color=_color(position), linestyle=_style(position), marker="o", label=name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    _legend_outside(ax)
    return _finish(ax, "epoch", ylabel, title)


def chip_map(mapping: Mapping[str, Any], ax: Optional[Any] = None, *, title: Optional[str] = None) -> Any:
    """Where a network lies on the chip: neuron circuits of both hemispheres, and the synapse rows in use.

    Hemisphere 0 is drawn above hemisphere 1, each with its 256 synapse rows (row 0 next to its neurons) and its 256
    neuron circuits, as on the die: the neurons of both hemispheres face each other in the middle.

    Args:
        mapping: `{"populations": [{"name": str, "circuits": [0..511, ...]}, ...],
            "rows": [{"hemisphere": 0 or 1, "row": 0..255, "mode": "excitatory", "inhibitory", "signed" or "disabled",
            "columns": [0..255, ...] (optional; all)}, ...]}`. Circuits 0..255 are those of hemisphere 0.
        ax: Axes to draw into; None: new ones.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: a circuit, hemisphere, row or mode does not exist.
    """
    ax = _axes(ax, size=(9.0, 8.0), dpi=200)  # fine enough to tell neighbouring rows apart
    _draw_arrays(ax)
    for row in mapping.get("rows", ()):
        _draw_row(ax, row)
    labels = _draw_circuits(ax, mapping.get("populations", ()))
    modes = {row.get("mode", "signed"): ROW_MODE_COLORS[row.get("mode", "signed")] for row in mapping.get("rows", ())}
    for text, color in [*labels, *((f"{mode} row", color) for mode, color in sorted(modes.items()))]:
        ax.plot([], [], marker="s", linestyle="none", color=color, label=text)
    extent = SYNAPSE_ROWS + _GAP + _BAND
    ax.set_xlim(-4, CIRCUITS_PER_ROW + 4)
    ax.set_ylim(-extent - 4, extent + 4)
    inner = _BAND + _GAP
    ax.set_yticks([-extent, -inner, 0, inner, extent], ["255", "0", "neurons", "0", "255"])
    _legend_outside(ax)
    return _finish(ax, "column (neuron circuit of its hemisphere)", "synapse row: hemisphere 1 | hemisphere 0", title)


_BAND = 18  # height of a band of neuron circuits, in synapse rows
_GAP = 6


def _draw_arrays(ax: Any) -> None:
    """All synapses as pale fields, so that the share in use can be seen."""
    from matplotlib.patches import Rectangle

    inner = _BAND + _GAP
    for y in (inner, -inner - SYNAPSE_ROWS):
        ax.add_patch(
            Rectangle((0, y), CIRCUITS_PER_ROW, SYNAPSE_ROWS, facecolor=PALE_GREY, edgecolor=GREY, linewidth=0.8)
        )


def _draw_circuits(ax: Any, populations: Sequence[Mapping[str, Any]]) -> List[Tuple[str, str]]:
    """Draws each population into the bands of the hemispheres; gives the legend entries."""
    from matplotlib.patches import Rectangle

    for y in (0, -_BAND):
        ax.add_patch(Rectangle((0, y), CIRCUITS_PER_ROW, _BAND, fill=False, edgecolor=GREY, linewidth=0.8))
    entries = []
    for position, population in enumerate(populations):
        color = _color(position + len(ROW_MODE_COLORS) - 1)
        for circuit in population["circuits"]:
            _check_index("circuit", circuit, CIRCUIT_ROWS * CIRCUITS_PER_ROW)
            hemisphere, column = divmod(circuit, CIRCUITS_PER_ROW)
            ax.add_patch(Rectangle((column, 0 if hemisphere == 0 else -_BAND), 1, _BAND, color=color, linewidth=0))
        entries.append((f"{population['name']} ({len(population['circuits'])} circuits)", color))
    return entries


def _draw_row(ax: Any, row: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    _check_index("hemisphere", row["hemisphere"], CIRCUIT_ROWS)
    _check_index("row", row["row"], SYNAPSE_ROWS)
    mode = row.get("mode", "signed")
    if mode not in ROW_MODE_COLORS:
        raise ValueError(f"chip_map: mode must be one of {', '.join(ROW_MODE_COLORS)}, got {mode!r}")
    offset = _BAND + _GAP + row["row"]
    y = offset if row["hemisphere"] == 0 else -offset - 1
    for first, count in _runs(sorted(row.get("columns", range(CIRCUITS_PER_ROW)))):
        ax.add_patch(Rectangle((first, y), count, 1, color=ROW_MODE_COLORS[mode], linewidth=0))


def _runs(indices: Sequence[int]) -> List[Tuple[int, int]]:
    """Ascending indices as runs (first, count): one patch per run keeps a full chip quick to draw."""
    runs: List[Tuple[int, int]] = []
    for index in indices:
        if runs and index == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs


def _check_index(kind: str, value: int, count: int) -> None:
    if not 0 <= value < count:
        raise ValueError(f"chip_map: {kind} must lie in 0 to {count - 1}, got {value}")


def _axes(ax: Optional[Any], size: Tuple[float, float] = (7.0, 4.0), dpi: int = 100) -> Any:
    """New Axes are made without pyplot: no display is opened, and no figure stays behind in its registry."""
    if ax is not None:
        return ax
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("gradspike.plot needs matplotlib: install it with pip install matplotlib") from error
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _finish(ax: Any, xlabel: str, ylabel: str, title: Optional[str]) -> Any:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title is not None:
        ax.set_title(title)
    return ax


def _legend_outside(ax: Any) -> None:
    """Beside the axes, where it covers no data."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False)


def _color(position: int) -> str:
    return COLORS[position % len(COLORS)]


def _style(position: int) -> str:
    """Lines beyond the number of colours differ in their dashes."""
    return ("-", "--", ":", "-.")[position // len(COLORS) % 4]


def _entry(tensor: Tensor, batch: int, function: str) -> Tensor:
    """One batch entry [time, neuron] on the CPU."""
    values = tensor.detach().to("cpu", torch.float32)
    if values.dim() == 2:
        return values
    if values.dim() != 3:
        raise ValueError(
            f"{function}: traces must have shape [time, batch, neuron] or [time, neuron], got {list(tensor.shape)}"
        )
    if not 0 <= batch < values.shape[1]:
        raise ValueError(f"{function}: batch must lie in 0 to {values.shape[1] - 1}, got {batch}")
    return values[:, batch]


def _microseconds(steps: Tensor, dt: float) -> Any:
    return (steps.to(torch.float64) * (dt * 1e6)).numpy()
