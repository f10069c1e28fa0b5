"""Values per epoch."""

from typing import Any, Mapping, Optional, Sequence

from gradspike.plot import _axes


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

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> ax = learning_curve({"float": [0.5, 0.9], "integer": [0.4, 0.8]}, ylabel="test accuracy")
        >>> [line.get_label() for line in ax.lines]
        ['float', 'integer']
    """
    ax = _axes.axes(ax)
    for position, (name, values) in enumerate(curves.items()):
        epochs = range(1, len(values) + 1)
        line = {"color": _axes.color(position), "linestyle": _axes.style(position)}
        ax.plot(epochs, list(values), **line, marker="o", label=_axes.entry_text(name))
    _axes.whole_numbers(ax.xaxis)
    _axes.legend_outside(ax)
    return _axes.finish(ax, "epoch", ylabel, title)
