"""Spikes and membranes of one run: rasters, traces, postsynaptic potentials."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike.plot import _axes

GROUPS = ("neuron", "source", "batch")


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

    Raises:
        ValueError: the shape is another one, or there is no such batch entry.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch
        >>> ax = spike_raster((torch.rand(38, 2, 20) < 0.1).float(), batch=1, title="hidden")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('time [µs]', 'neuron')
    """
    ax = _axes.axes(ax)
    values = _axes.entry(spikes, batch, "spike_raster")
    steps, neurons = values.nonzero(as_tuple=True)
    times = _axes.microseconds(steps, dt)
    ax.scatter(times, neurons.numpy(), s=mark_size(values), marker="|", color=_axes.COLORS[0], linewidths=1.2)
    return finish_raster(ax, values, dt, title)


def mark_size(spikes: Tensor) -> float:
    """Few neurons get taller marks."""
    return 20.0 if spikes.shape[1] > 20 else 60.0


def finish_raster(ax: Any, spikes: Tensor, dt: float, title: Optional[str]) -> Any:
    """Limits and labels of Axes with spikes `[time, neuron]`."""
    ax.set_xlim(-0.5 * dt * 1e6, (max(spikes.shape[0], 1) - 0.5) * dt * 1e6)
    ax.set_ylim(-0.5, max(spikes.shape[1] - 0.5, 0.5))
    _axes.whole_numbers(ax.yaxis)
    return _axes.finish(ax, "time [µs]", "neuron", title)


def membrane_traces(
    membrane: Tensor,
    ax: Optional[Any] = None,
    *,
    dt: float = 1e-6,
    batch: int = 0,
    neurons: Optional[Sequence[int]] = None,
    threshold: _axes.Threshold = None,
    spikes: Optional[Tensor] = None,
    decision: bool = False,
    labels: Optional[Sequence[str]] = None,
    title: Optional[str] = None,
) -> Any:
    """Membranes over time, with threshold and spikes, or with the decision: the largest maximum and its neuron.

    Args:
        membrane: `[time, batch, neuron]` or `[time, neuron]`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        batch: Batch entry that is shown.
        neurons: Indices of the neurons; None: the first eight.
        threshold: Drawn as a dashed line; lowest and highest of neurons that differ: as a band; None: none.
        spikes: Spikes of the same neurons, in the shape of `membrane`: marked in rows above the traces; None: none.
        decision: Marks the largest value of all traces shown, as a max-over-time readout decides.
        labels: Legend text of each neuron shown; None: "neuron i".
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: a shape is another one, or there is no such batch entry or neuron.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch
        >>> ax = membrane_traces(torch.randn(38, 1, 3).cumsum(0), threshold=1.0, labels=["yin", "yang", "dot"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['yin', 'yang', 'dot', 'threshold']
    """
    ax = _axes.axes(ax)
    values = _axes.entry(membrane, batch, "membrane_traces")
    shown = _axes.chosen(neurons, values.shape[1], "membrane_traces")
    fired = None if spikes is None else _same_shape(_axes.entry(spikes, batch, "membrane_traces"), values)
    time = _axes.microseconds(torch.arange(values.shape[0]), dt)
    for position, neuron in enumerate(shown):
        label = _axes.entry_text(labels[position]) if labels is not None else f"neuron {neuron}"
        line = {"color": _axes.color(position), "linestyle": _axes.style(position)}
        ax.plot(time, values[:, neuron].numpy(), label=label, **line)
    _axes.draw_threshold(ax, threshold)
    if fired is not None:
        _mark_spikes(ax, fired[:, list(shown)], dt)
    if decision and shown:
        _mark_decision(ax, values, list(shown), dt, labels)
    _axes.legend_outside(ax)
    return _axes.finish(ax, "time [µs]", "membrane [model units]", title)


def _same_shape(spikes: Tensor, values: Tensor) -> Tensor:
    if spikes.shape != values.shape:
        raise ValueError(
            f"membrane_traces: spikes must have the shape of membrane, {list(values.shape)} without the batch, got "
            f"{list(spikes.shape)}"
        )
    return spikes


def _mark_spikes(ax: Any, spikes: Tensor, dt: float) -> None:
    """A row of marks for each neuron above all traces: on a trace, a step with a spike shows the reset already."""
    low, high = ax.get_ylim()
    row = 0.05 * (high - low)
    mark = {"linestyle": "none", "marker": "|", "markersize": 7, "markeredgewidth": 1.5}
    for position in range(spikes.shape[1]):
        times = _axes.microseconds(spikes[:, position].nonzero().flatten(), dt)
        height = high + row * (spikes.shape[1] - 1 - position)
        ax.plot(times, [height] * len(times), color=_axes.color(position), **mark)
    ax.set_ylim(low, high + row * spikes.shape[1])
    ax.plot([], [], color=_axes.GREY, label="spikes", **mark)


def _mark_decision(ax: Any, values: Tensor, shown: List[int], dt: float, labels: Optional[Sequence[str]]) -> None:
    if values.shape[0] == 0:
        return
    index = int(values[:, shown].argmax())
    step, position = divmod(index, len(shown))
    peak = float(values[step, shown[position]])
    winner = labels[position] if labels is not None else f"neuron {shown[position]}"
    ax.plot(
        [step * dt * 1e6], [peak], marker="o", markersize=9, fillstyle="none", color=_axes.color(position),
        linestyle="none", label=f"decision: {winner}",
    )  # fmt: skip


def psp_overlay(
    membrane: Tensor,
    spikes: Tensor,
    ax: Optional[Any] = None,
    *,
    dt: float = 1e-6,
    by: str = "neuron",
    neurons: Optional[Sequence[int]] = None,
    sources: Optional[Sequence[int]] = None,
    before: int = 5,
    after: int = 40,
    baseline: bool = True,
    labels: Optional[Sequence[str]] = None,
    title: Optional[str] = None,
) -> Any:
    """Postsynaptic potentials: membranes aligned at the input spikes, each pale, and their mean.

    A window that holds more than one input spike shows their sum: for single potentials let inputs spike far apart.

    Args:
        membrane: `[time, batch, neuron]` or `[time, neuron]`.
        spikes: Input spikes `[time, batch, source]` or `[time, source]`.
        ax: Axes to draw into; None: new ones.
        dt: Time step [s].
        by: What has a colour and a mean of its own: each "neuron", each "source" (input neuron) or each entry of the
            "batch", where every entry has other weights, say.
        neurons: Indices of the neurons; None: the first eight.
        sources: Indices of the input neurons whose spikes count; None: all of them.
        before: Steps shown before the spike, at least 0.
        after: Steps shown after the spike, at least 1.
        baseline: Subtracts from each window its value at the step of the spike: a spike reaches the membrane in the
            next step.
        labels: Legend text of each group, in ascending order of its index; None: "neuron i" and so on.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: a shape is another one, time or batch differ, an index does not exist, `by` is unknown, or no input
            spikes.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> spikes = torch.zeros(100, 1, 1)
        >>> spikes[10::45] = 1.0
        >>> weight = torch.tensor([[0.5], [1.0], [-1.0]])
        >>> current = gradspike.functional.graded_spikes(spikes, weight, scale=32.0)
        >>> ax = psp_overlay(gradspike.functional.li(current).membrane, spikes, labels=["16", "32", "-32 LSB"])
        >>> [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
        ['16 (2 windows)', '32 (2 windows)', '-32 LSB (2 windows)', 'input spike']
    """
    ax = _axes.axes(ax)
    values, events = _with_batch(membrane), _with_batch(spikes)
    _check_psp(values, events, by, before, after)
    shown = _axes.chosen(neurons, values.shape[2], "psp_overlay")
    counted = _axes.chosen(sources, events.shape[2], "psp_overlay: sources", events.shape[2])
    groups = _windows(values, events, (shown, counted), by, (before, after))
    if not groups:
        raise ValueError("psp_overlay: spikes must hold a spike of a source that is shown, got none")
    time = _axes.microseconds(torch.arange(-before, after + 1), dt)
    for position, index in enumerate(sorted(groups)):
        windows = torch.stack(groups[index])
        if baseline:
            windows = windows - windows[:, before : before + 1]
        line = {"color": _axes.color(position), "linestyle": _axes.style(position)}
        if len(windows) > 1:
            ax.plot(time, windows.T.numpy(), color=_axes.color(position), alpha=_paleness(len(windows)), linewidth=0.7)
        name = _axes.entry_text(labels[position]) if labels is not None else f"{by} {index}"
        label = f"{name} ({len(windows)} window{'s' if len(windows) > 1 else ''})"
        ax.plot(time, windows.nanmean(0).numpy(), linewidth=2.0, label=label, **line)
    ax.axvline(0.0, color=_axes.GREY, linestyle=":", label="input spike")
    _axes.legend_outside(ax)
    what = "membrane − value at the spike [model units]" if baseline else "membrane [model units]"
    return _axes.finish(ax, "time since the input spike [µs]", what, title)


def _paleness(windows: int) -> float:
    """Many lines are paler, so that their mean stands out."""
    return max(0.05, min(0.4, 3.0 / windows))


def _with_batch(tensor: Tensor) -> Tensor:
    values = tensor.detach().to("cpu", torch.float32)
    if values.dim() not in (2, 3):
        raise ValueError(
            f"psp_overlay: traces must have shape [time, batch, neuron] or [time, neuron], got {list(tensor.shape)}"
        )
    return values if values.dim() == 3 else values.unsqueeze(1)


def _check_psp(values: Tensor, events: Tensor, by: str, before: int, after: int) -> None:
    if values.shape[:2] != events.shape[:2]:
        raise ValueError(
            f"psp_overlay: spikes must have time and batch of membrane, {list(values.shape[:2])}, got "
            f"{list(events.shape[:2])}"
        )
    if by not in GROUPS:
        raise ValueError(f"psp_overlay: by must be one of {', '.join(GROUPS)}, got {by!r}")
    if before < 0 or after < 1:
        raise ValueError(
            f"psp_overlay: before must be at least 0 and after at least 1, got before={before} and after={after}"
        )


def _windows(
    values: Tensor, events: Tensor, shown: Tuple[Sequence[int], Sequence[int]], by: str, around: Tuple[int, int]
) -> Dict[int, List[Tensor]]:
    """Windows of each group; NaN where a window reaches beyond the record."""
    neurons, sources = shown
    before, after = around
    padded = torch.nn.functional.pad(values, (0, 0, 0, 0, before, after), value=float("nan"))
    groups: Dict[int, List[Tensor]] = {}
    for step, batch, position in events[:, :, list(sources)].nonzero().tolist():
        for neuron in neurons:
            key = {"neuron": neuron, "source": sources[position], "batch": batch}[by]
            groups.setdefault(key, []).append(padded[step : step + before + after + 1, batch, neuron])
    return groups
