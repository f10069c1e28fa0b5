"""What all figures share: colours, new figures without a display, labels, legends."""

import io
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito, Color Universal Design, 2008; yellow last, since it is faint on white."""

GREY = "#7F7F7F"
PALE_GREY = "#F2F2F2"
PLAIN, LOST, OVER = COLORS[0], COLORS[4], COLORS[1]
"""Bars of reports: as it should be, a loss or nearly full, beyond a bound."""

Threshold = Union[float, Sequence[float], None]


def new_figure(size: Tuple[float, float], dpi: int = 100) -> Any:
    """A figure made without pyplot: no display is opened, and no figure stays behind in its registry.

    It shows itself in a notebook, also where pyplot, which teaches notebooks to show figures, was never used.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("gradspike.plot needs matplotlib: install it with pip install matplotlib") from error

    class NotebookFigure(Figure):
        def _repr_png_(self) -> Tuple[bytes, Dict[str, int]]:
            """The picture, and its width on a page: fine figures have more pixels, not more size."""
            image = io.BytesIO()
            self.savefig(image, format="png")
            return image.getvalue(), {"width": round(100 * self.get_figwidth())}

    figure = NotebookFigure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes(ax: Optional[Any], size: Tuple[float, float] = (7.0, 4.0), dpi: int = 100) -> Any:
    """The given Axes, or those of a new figure."""
    return new_figure(size, dpi).add_subplot() if ax is None else ax


def finish(ax: Any, xlabel: str, ylabel: str, title: Optional[str]) -> Any:
    """Labels the axes and gives them back."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title is not None:
        ax.set_title(title, parse_math=False)  # names may hold a dollar
    return ax


def legend_outside(ax: Any, left: float = 1.01) -> None:
    """Beside the axes, where it covers no data."""
    if ax.get_legend_handles_labels()[0]:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(left, 1.0), borderaxespad=0.0, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def entry_text(name: str) -> str:
    """A name as a legend shows it: entries that begin with an underscore are left out of legends."""
    return f" {name}" if name.startswith("_") else name


def color(position: int) -> str:
    return COLORS[position % len(COLORS)]


def style(position: int) -> str:
    """Lines beyond the number of colours differ in their dashes."""
    return ("-", "--", ":", "-.")[position // len(COLORS) % 4]


def entry(tensor: Tensor, batch: int, function: str) -> Tensor:
    """One batch entry [time, neuron] on the CPU."""
    values = tensor.detach().to("cpu", torch.float32)
    if values.dim() == 2:
        return values
    if values.dim() != 3:
        raise ValueError(
            f"{function}: traces must have shape [time, batch, neuron] or [time, neuron], got {list(tensor.shape)}"
        )
    require_index(function, "batch", batch, values.shape[1])
    return values[:, batch]


def require_index(function: str, name: str, index: int, count: int) -> None:
    """Raises unless the index is one of `count`."""
    if not 0 <= index < count:
        raise ValueError(f"{function}: {name} must lie in 0 to {count - 1}, got {index}")


def chosen(neurons: Optional[Sequence[int]], count: int, function: str, most: int = len(COLORS)) -> Sequence[int]:
    """The neurons that are shown: the given ones, else the first."""
    if neurons is None:
        return range(min(count, most))
    for neuron in neurons:
        require_index(function, "neuron", neuron, count)
    return list(neurons)


def microseconds(steps: Tensor, dt: float) -> Any:
    """Times of steps, as an array."""
    return (steps.to(torch.float64) * (dt * 1e6)).numpy()


def draw_threshold(ax: Any, threshold: Threshold, dashes: str = "--") -> None:
    """A dashed line; a pair of different values, lowest and highest of many neurons, is a band."""
    if threshold is None:
        return
    values = [float(threshold)] if isinstance(threshold, (int, float)) else [float(value) for value in threshold]
    if min(values) == max(values):
        ax.axhline(values[0], color=GREY, linestyle=dashes, label="threshold")
    else:
        ax.axhspan(min(values), max(values), color=GREY, alpha=0.2, linewidth=0, label="thresholds")


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers only."""
    axis.get_major_locator().set_params(integer=True)
