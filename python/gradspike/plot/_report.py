"""Figures of a report: what a network uses of the chip, what its weights lose, how well it still decides."""

from collections.abc import Mapping as MappingType
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union

from gradspike.chip import _figure_data
from gradspike.plot import _axes

if TYPE_CHECKING:
    from gradspike.chip import Report

    ReportLike = Union[Report, MappingType[str, Any]]

_USAGE_COLORS = {"fits": _axes.PLAIN, "near": _axes.LOST, "over": _axes.OVER}
_MARK_COLORS = {"plain": _axes.PLAIN, "zero": _axes.LOST, "edge": _axes.OVER}
_MARK_TEXTS = {"plain": "integer weights", "zero": "0: no synaptic effect", "edge": "at a bound: clipped lie here"}


def _data_of(report: "ReportLike") -> Dict[str, Any]:
    return dict(report) if isinstance(report, MappingType) else report.data


def resource_usage(
    report: "ReportLike", ax: Optional[Any] = None, *, layer: str = "", title: Optional[str] = None
) -> Any:
    """What a network uses of each limit, as bars from 0 to the limit; bars that are full change their colour.

    Args:
        report: From `gradspike.chip.check` and others, or its `data`.
        ax: Axes to draw into; None: new ones.
        layer: A layer; "": the whole chip.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: the report says nothing of such a layer.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 128, name="hidden"), gradspike.nn.LIF(128))
        >>> ax = resource_usage(gradspike.chip.check(model))
        >>> ax.get_yticklabels()[0].get_text(), float(ax.patches[0].get_width())
        ('neuron circuits', 25.0)
    """
    data = _data_of(report)
    of_layer = [resource for resource in data["resources"] if layer and resource["layer"] == layer]
    resources = of_layer if layer else _figure_data.of_chip(data)
    if not resources:
        layers = ", ".join(dict.fromkeys(r["layer"] for r in data["resources"] if r["layer"])) or "none"
        raise ValueError(f"resource_usage: layer must be one of the report, {layers}, got {layer!r}")
    ax = _axes.axes(ax, (7.0, 1.2 + 0.32 * len(resources)))
    for place, resource in enumerate(resources):
        share, state = _figure_data.usage(resource)
        ax.barh(place, 100.0 * share, color=_USAGE_COLORS[state], height=0.62)
        text = f"{resource['used']:,} of {resource['limit']:,}"
        ax.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    largest = max(100.0 * _figure_data.usage(resource)[0] for resource in resources)
    ax.axvline(100.0, color=_axes.GREY, linestyle="--")
    ax.set_xlim(0.0, max(102.0, 1.05 * largest))
    ax.set_yticks(range(len(resources)), [resource["quantity"] for resource in resources], parse_math=False)
    ax.invert_yaxis()
    return _axes.finish(ax, "used share of the limit [%]", "", title)


def weight_losses(report: "ReportLike", ax: Optional[Any] = None, *, title: Optional[str] = None) -> Any:
    """Shares of the weights of each projection that are clipped and that round to zero, and the rounding error.

    Args:
        report: From `gradspike.chip.check` and others, or its `data`; of a model, since a network file holds integers.
        ax: Axes to draw into; None: new ones.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: the report holds no losses.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden", scale=64.0), gradspike.nn.LIF(20))
        >>> ax = weight_losses(gradspike.chip.check(model))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['clipped', 'rounded to zero']
    """
    losses = _data_of(report)["weights"]
    if not losses:
        raise ValueError("weight_losses: report must be one of a model with weights, got one without losses of weights")
    ax = _axes.axes(ax, (7.0, 1.4 + 0.6 * len(losses)))
    for place, entry in enumerate(losses.values()):
        for kind, shift, color in (("clipped", -0.19, _axes.OVER), ("rounded_to_zero", 0.19, _axes.LOST)):
            label = kind.replace("_", " ") if place == 0 else None
            ax.barh(place + shift, 100.0 * entry[kind] / max(entry["count"], 1), height=0.36, color=color, label=label)
    names = [f"{name}\nrms error {entry['rms_rounding_error']:.3f} LSB" for name, entry in losses.items()]
    ax.set_yticks(range(len(losses)), names, parse_math=False)
    ax.set_xlim(0.0, max(1.0, 1.05 * ax.get_xlim()[1]))
    ax.invert_yaxis()
    _axes.legend_outside(ax)
    return _axes.finish(ax, "share of the weights [%]", "", title)


def integer_histogram(
    report: "ReportLike", projection: str, ax: Optional[Any] = None, *, title: Optional[str] = None
) -> Any:
    """Histogram of the integers of a projection between its bounds; zero and both bounds are marked.

    Args:
        report: From `gradspike.chip.check` and others, or its `data`.
        projection: Name of the projection.
        ax: Axes to draw into; None: new ones.
        title: Title; None: name, scale and what is lost.

    Returns:
        The Axes.

    Raises:
        ValueError: there is no such projection, or no histogram of it: it has no weights, or one is NaN.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden", scale=64.0), gradspike.nn.LIF(20))
        >>> ax = integer_histogram(gradspike.chip.check(model), "hidden")
        >>> int(sum(bar.get_height() for bar in ax.patches))
        100
    """
    data = _data_of(report)
    if projection not in data["projections"]:
        known = ", ".join(data["projections"]) or "none"
        raise ValueError(f"integer_histogram: projection must be one of {known}, got {projection!r}")
    about, losses = data["projections"][projection], data["weights"].get(projection)
    bins = _figure_data.bins(about)
    if not bins:
        raise ValueError(f"integer_histogram: projection '{projection}' must have weights that are numbers, got none")
    ax = _axes.axes(ax)
    for mark, color in _MARK_COLORS.items():
        bars = [entry for entry in bins if entry.mark == mark]
        middles, heights = [(entry.first + entry.last) / 2 for entry in bars], [float(entry.weights) for entry in bars]
        width = max([entry.last - entry.first + 1 for entry in bars], default=1)
        ax.bar(middles, heights, width=0.9 * width, color=color, label=_MARK_TEXTS[mark])
    ax.set_xlim(bins[0].first - 1, bins[-1].last + 1)
    _axes.legend_outside(ax)
    if title is None:
        title = f"{projection}: scale {about['scale']:.6g}"
        if losses:
            title += f", {losses['clipped']:,} clipped, {losses['rounded_to_zero']:,} rounded to zero"
    return _axes.finish(ax, "integer weight [LSB]", "number of weights", title)


def accuracies(report: "ReportLike", ax: Optional[Any] = None, *, title: Optional[str] = None) -> Any:
    """Accuracy of each variant of a check run: a dot for each run, a stroke for the mean.

    Args:
        report: From `gradspike.chip.report` with labels, or its `data`.
        ax: Axes to draw into; None: new ones.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: the report holds no accuracies.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 3, name="out"), gradspike.nn.LI(3, name="out"))
        >>> spikes, labels = (torch.rand(38, 4, 5) < 0.1).float(), torch.tensor([0, 1, 2, 0])
        >>> ax = accuracies(gradspike.chip.report(model, spikes, labels, seeds=2))
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['float', 'integer', 'ideal', 'calibrated']
    """
    run = _data_of(report)["check_run"]
    shown = [variant for variant in run["variants"] if variant["accuracies"]] if run else []
    if not shown:
        raise ValueError("accuracies: report must be one of gradspike.chip.report with labels, got one without them")
    ax = _axes.axes(ax, (7.0, 1.2 + 0.4 * len(shown)))
    for place, variant in enumerate(shown):
        values, mean = variant["accuracies"], variant["accuracy"]["mean"]
        ax.scatter(values, [place] * len(values), color=_axes.PLAIN, alpha=0.6, s=30, label=None if place else "a run")
        mark = {"color": _axes.COLORS[6], "marker": "|", "linestyle": "none", "markersize": 16}
        ax.plot([mean], [place], label=None if place else "mean", **mark)
        ax.annotate(f"{mean:.3f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_yticks(range(len(shown)), [variant["name"] for variant in shown], parse_math=False)
    _axes.legend_outside(ax, 1.1)
    return _axes.finish(ax, "accuracy", "", title)


def report_figure(report: "ReportLike", *, title: Optional[str] = None) -> Any:
    """A report in one figure: resources, losses, accuracies where it has them, and the integers of each projection.

    Args:
        report: From `gradspike.chip.check` and others, or its `data`.
        title: Title; None: network, verdict and target.

    Returns:
        The Figure.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden", scale=64.0), gradspike.nn.LIF(20))
        >>> figure = report_figure(gradspike.chip.check(model))
        >>> [ax.get_title() for ax in figure.axes][:2]
        ['resources of the chip', 'losses of the weights']
    """
    data = _data_of(report)
    panels: List[Tuple[float, Callable[[Any], Any]]] = []
    if _figure_data.of_chip(data):
        height = 0.8 + 0.3 * len(_figure_data.of_chip(data))
        panels.append((height, lambda ax: resource_usage(data, ax, title="resources of the chip")))
    if data["weights"]:
        height = 1.0 + 0.6 * len(data["weights"])
        panels.append((height, lambda ax: weight_losses(data, ax, title="losses of the weights")))
    run = data["check_run"]
    if run and any(variant["accuracies"] for variant in run["variants"]):
        panels.append((2.4, lambda ax: accuracies(data, ax, title="accuracy")))
    for name, projection in data["projections"].items():
        if projection["histogram"] is not None:
            panels.append((2.6, partial(integer_histogram, data, name)))
    heights = [height for height, _ in panels] or [1.0]
    figure = _axes.new_figure((9.0, 0.6 + sum(heights)))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for place, (_, draw) in enumerate(panels):
        draw(figure.add_subplot(grid[place]))
    if title is None:
        title = f"{data['network']}: {data['verdict'].replace('_', ' ')}, {data['target']}"
    figure.suptitle(title, parse_math=False)
    return figure
