"""Where a network lies on the chip."""

from collections.abc import Mapping as MappingType
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from gradspike.plot import _axes

if TYPE_CHECKING:
    from gradspike import chip

CIRCUITS_PER_ROW = 256
CIRCUIT_ROWS = 2
SYNAPSE_ROWS = 256
ROW_MODE_COLORS = {
    "excitatory": _axes.COLORS[0],
    "inhibitory": _axes.COLORS[1],
    "signed": _axes.COLORS[2],
    "disabled": _axes.GREY,
}


def chip_map(
    mapping: Union["chip.Mapping", MappingType[str, Any]],
    ax: Optional[Any] = None,
    *,
    instance: int = 0,
    title: Optional[str] = None,
) -> Any:
    """Where a network lies on the chip: neuron circuits of both hemispheres, and the synapse rows in use.

    Hemisphere 0 is drawn above hemisphere 1, each with its 256 synapse rows (row 0 next to its neurons) and its 256
    neuron circuits, as on the die: the neurons of both hemispheres face each other in the middle.

    Args:
        mapping: What `gradspike.chip.map` gives; or one made by hand:
            `{"populations": [{"name": str, "circuits": [0..511, ...]}, ...],
            "rows": [{"hemisphere": 0 or 1, "row": 0..255, "mode": "excitatory", "inhibitory", "signed" or "disabled",
            "columns": [0..255, ...] (optional; all)}, ...]}`. Circuits 0..255 are those of hemisphere 0.
        ax: Axes to draw into; None: new ones.
        instance: Which execution instance of a mapping with several is shown.
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        ValueError: an execution instance, circuit, hemisphere, row or mode does not exist.
        ImportError: matplotlib is missing.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden"), gradspike.nn.LIF(20, name="hidden"))
        >>> ax = chip_map(gradspike.chip.map(model), title="hidden layer")
        >>> ax.get_legend().get_texts()[0].get_text()
        'hidden (20 circuits)'
    """
    if not isinstance(mapping, MappingType):
        _axes.require_index("chip_map", "instance", instance, len(mapping.instances))
        mapping = _as_drawn(mapping.instances[instance])
    ax = _axes.axes(ax, size=(9.0, 8.0), dpi=200)  # fine enough to tell neighbouring rows apart
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
    _axes.legend_outside(ax)
    return _axes.finish(
        ax, "column (neuron circuit of its hemisphere)", "synapse row: hemisphere 1 | hemisphere 0", title
    )


def _as_drawn(mapping: MappingType[str, Any]) -> Dict[str, Any]:
    """Circuits of each population and synapse rows in use, of one execution instance of a mapping."""
    columns: Dict[Tuple[int, int], List[int]] = {}
    for hemisphere, row, column, *_ in mapping["synapses"]:
        columns.setdefault((hemisphere, row), []).append(column)
    modes = {"e": "excitatory", "i": "inhibitory", "-": "disabled"}
    rows = [
        {"hemisphere": side, "row": row, "mode": modes[mapping["row_modes"][side][row]], "columns": used}
        for (side, row), used in columns.items()
    ]
    populations = [
        {
            "name": population["name"],
            "circuits": [circuit for neuron in population["neurons"] for circuit in neuron["circuits"]],
        }
        for population in mapping["populations"]
    ]
    return {"populations": populations, "rows": rows}


_BAND = 18  # height of a band of neuron circuits, in synapse rows
_GAP = 6


def _draw_arrays(ax: Any) -> None:
    """All synapses as pale fields, so that the share in use can be seen."""
    from matplotlib.patches import Rectangle

    inner = _BAND + _GAP
    for y in (inner, -inner - SYNAPSE_ROWS):
        ax.add_patch(
            Rectangle(
                (0, y), CIRCUITS_PER_ROW, SYNAPSE_ROWS, facecolor=_axes.PALE_GREY, edgecolor=_axes.GREY, linewidth=0.8
            )
        )


def _draw_circuits(ax: Any, populations: Sequence[MappingType[str, Any]]) -> List[Tuple[str, str]]:
    """Draws each population into the bands of the hemispheres; gives the legend entries."""
    from matplotlib.patches import Rectangle

    for y in (0, -_BAND):
        ax.add_patch(Rectangle((0, y), CIRCUITS_PER_ROW, _BAND, fill=False, edgecolor=_axes.GREY, linewidth=0.8))
    entries = []
    for position, population in enumerate(populations):
        color = _axes.color(position + len(ROW_MODE_COLORS) - 1)
        for circuit in population["circuits"]:
            _axes.require_index("chip_map", "circuit", circuit, CIRCUIT_ROWS * CIRCUITS_PER_ROW)
            hemisphere, column = divmod(circuit, CIRCUITS_PER_ROW)
            ax.add_patch(Rectangle((column, 0 if hemisphere == 0 else -_BAND), 1, _BAND, color=color, linewidth=0))
        entries.append((f"{_axes.entry_text(population['name'])} ({len(population['circuits'])} circuits)", color))
    return entries


def _draw_row(ax: Any, row: MappingType[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    _axes.require_index("chip_map", "hemisphere", row["hemisphere"], CIRCUIT_ROWS)
    _axes.require_index("chip_map", "row", row["row"], SYNAPSE_ROWS)
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
