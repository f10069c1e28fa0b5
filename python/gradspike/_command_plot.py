"""The command plot: figures of a saved network, of its runs, of spikes and of reports."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from gradspike import _command_line, _spike_array, _spike_csv

_PLOT = """Draws a figure of a saved network, of a run of it, of a file of spikes, or of a report.

kinds of figures:
  chip-map    of a network: where its neurons and synapses lie on the chip
  weights     of a network: weights of each projection, what clips and what rounds to zero
  report      of a network or a report: resources, losses, integers, accuracies
  raster      of a run or of spikes: when which neuron spikes
  traces      of a run: membranes with threshold and spikes
  psp         of a run: membranes aligned at the spikes of the first input
  comparison  of two runs, on the operators and on a target: spikes and membranes over each other"""

_EXAMPLES = """gradspike plot net.pt --kind chip-map -o map.svg
gradspike plot net.pt --kind traces --spikes in.csv --neurons 0,1,2 -o traces.png
gradspike plot net.pt --kind comparison --spikes in.csv --preset calibrated --seed 3 -o comparison.pdf
gradspike plot in.csv -o raster.png
gradspike plot report.json -o report.png"""

_SUFFIXES = (".png", ".svg", ".pdf")
_OF_NETWORK = ("chip-map", "weights", "report")
_OF_RUN = ("raster", "traces", "psp", "comparison")


def add_parsers(commands: Any) -> None:
    """Adds the parser of the command."""
    plot = _command_line.add_command(commands, "plot", "draw figures of networks, runs and reports", _PLOT, _EXAMPLES)
    plot.add_argument(
        "file",
        help=f"{_command_line.SAVED_NETWORK}; spikes: in.csv or in.npy; or a report of `gradspike check --json`",
    )
    plot.add_argument(
        "--kind", choices=(*_OF_NETWORK, *_OF_RUN), default=None, metavar="KIND",
        help="one of the kinds above; default: raster where there are spikes, else chip-map, or report of a report",
    )  # fmt: skip
    plot.add_argument("-o", "--output", required=True, metavar="FILE", help="figure to write: .png, .svg or .pdf")
    _command_line.add_spikes(plot, required=False)
    plot.add_argument("--sample", type=_command_line.size, default=0, help="batch entry that is shown (default: 0)")
    plot.add_argument("--target", default="", help=_command_line.TARGET)
    _command_line.add_preset_options(plot, "ideal; of a comparison: calibrated")
    plot.add_argument("--population", default="", help="the only one that is shown; default: all, of psp the first")
    plot.add_argument("--projection", default="", help="the only one whose weights are shown; default: all")
    plot.add_argument(
        "--neurons", type=_command_line.sizes, default=None, metavar="0,1,...",
        help="whose membranes are shown; default: the first few",
    )  # fmt: skip
    plot.add_argument("--instance", type=_command_line.size, default=0, help="execution instance of the chip map")
    plot.add_argument("--title", default=None, help="title of the figure; default: what it shows")
    plot.add_argument("--dpi", type=_command_line.count, default=None, help="dots per inch of a .png (default: 150)")
    _command_line.add_json(plot, "what was drawn")


def plot(arguments: argparse.Namespace) -> int:
    """gradspike plot"""
    if not arguments.output.lower().endswith(_SUFFIXES):
        raise ValueError(f"--output must end in {', '.join(_SUFFIXES)}, got '{arguments.output}'")
    source, kind = _source(arguments)
    figure, about = _DRAW[kind](source, arguments)
    _save(figure, arguments.output, arguments.dpi or 150)
    about = {"kind": kind, "file": arguments.file, "output": arguments.output, **about}
    if arguments.json:
        panels = [ax.get_title() for ax in figure.axes]
        _command_line.print_json({"format": "gradspike.plot", "version": 1, "panels": panels, **about})
    print(f"gradspike: wrote {arguments.output}", file=sys.stderr)
    return 0


def _save(figure: Any, path: str, dpi: int) -> None:
    """The same figure gives the same bytes: without dates, and with the same names inside an SVG."""
    import matplotlib

    suffix = Path(path).suffix.lower()
    metadata: Dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
    with matplotlib.rc_context({"svg.hashsalt": "gradspike"}):
        figure.savefig(path, dpi=dpi, metadata=metadata)


# ---- what the file is ------------------------------------------------------------------------------------------------


@dataclass
class _Source:
    """What figures are drawn of: a report, spikes, or a network and its model."""

    report: Any = None
    spikes: Any = None
    network: Any = None
    model: Any = None


def _source(arguments: argparse.Namespace) -> Tuple[_Source, str]:
    """What the file holds, and the kind of the figure."""
    path = Path(arguments.file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    with path.open("rb") as file:
        begin = file.read(64)
    if begin.startswith(b"step,"):
        lines = _spike_csv.read_spikes(str(path), _spike_csv.MAX_ELEMENTS)
        lines.size = 1 + max((event[2] for event in lines.events), default=0)
        spikes = lines.dense(arguments.steps or max(lines.steps, 1), arguments.batch or max(lines.batch, 1))
        return _Source(spikes=spikes), _kind(arguments.kind, "raster", ("raster",), "spikes")
    if begin.startswith(_spike_array.MAGIC):
        _command_line.refuse(arguments, ("steps", "batch"), "for CSV files: an array has its own")
        spikes = _spike_array.read_spikes(str(path), None)
        return _Source(spikes=spikes), _kind(arguments.kind, "raster", ("raster",), "spikes")
    report = _report(path) if begin.lstrip().startswith(b"{") else None
    if report is not None:
        return _Source(report=report), _kind(arguments.kind, "report", ("report",), "a report")
    from gradspike import _archive

    model, network = _archive.open_model(path)
    kinds = _OF_NETWORK + _OF_RUN if arguments.spikes else _OF_NETWORK
    kind = _kind(arguments.kind, "raster" if arguments.spikes else "chip-map", kinds, "a network without --spikes")
    return _Source(network=network, model=model), kind


def _kind(wanted: Optional[str], default: str, known: Sequence[str], what: str) -> str:
    if wanted is not None and wanted not in known:
        raise ValueError(f"--kind must be one of {', '.join(known)} for {what}, got '{wanted}'")
    return wanted or default


def _report(path: Path) -> Any:
    """The report of a file; None where its JSON is a network."""
    from gradspike import chip
    from gradspike.chip import _report_file

    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text).get("format")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' must be JSON: {error}") from None
    if found == "gradspike.network":
        return None
    if found != _report_file.FORMAT:
        what = "no format" if found is None else f"the format {found!r}"
        raise ValueError(
            f"'{path}' must be a network, spikes, or a report as --json of check, map or deploy gives it: it has {what}"
        )
    current = chip.Report.schema()["properties"]["version"]["const"]
    return chip.Report(dict(_report_file.read_data(text, f"the report '{path}'", (current,))))


# ---- figures ---------------------------------------------------------------------------------------------------------

Drawn = Tuple[Any, Dict[str, Any]]


def _chip_map(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    mapping = source.network.map()
    count = len(mapping.instances)
    title = f"{source.network.name} on the chip"
    title += f", execution instance {arguments.instance} of {count}" if count > 1 else ""
    ax = figures.chip_map(mapping, instance=arguments.instance, title=_title(arguments, title))
    return ax.figure, {"instance": arguments.instance, "instances": count}


def _weights(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    projections = source.network.check().data["projections"]
    known = list(projections)
    names = [_command_line.one_of("--projection", arguments.projection, known)] if arguments.projection else known
    weights = source.network.integers() if source.model is source.network else source.network.weights()
    panels: List[_Panel] = []
    for name in names:
        about = projections[name]
        options = {key: about[key] for key in ("min_weight", "max_weight", "rounding")}
        scale, weight = about["scale"], weights[name]
        if source.model is source.network:  # a network file holds integers only
            scale, weight = 1.0, weight.float()
        options["title"] = f"{name}: {about['in_features']} to {about['out_features']}, scale {about['scale']:g}"

        def draw(ax: Any, weight: Any = weight, scale: float = scale, options: Dict[str, Any] = options) -> None:
            figures.weight_histogram(weight, ax, scale=scale, **options)

        panels.append((1.0, draw))
    return _stack(panels, _title(arguments, source.network.name), 2.8, shared=False), {"projections": names}


def _report_figure(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    report = source.report or source.network.check()
    return figures.report_figure(report, title=arguments.title), {"verdict": report.verdict}


def _raster(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    if source.spikes is not None:
        title = _title(arguments, Path(arguments.file).name)
        ax = figures.spike_raster(source.spikes, batch=arguments.sample, title=title)
        return ax.figure, {"spikes": int(source.spikes[:, arguments.sample].sum())}
    run = _Run(source.network, arguments)
    trains = dict(run.result.spikes)
    if arguments.population:
        trains = {arguments.population: trains[_command_line.firing(run.description, arguments.population)]}
    else:
        names = [entry["name"] for entry in run.description["inputs"]]
        trains = {**{f"input {name}": train for name, train in zip(names, run.inputs)}, **trains}
    _sample(arguments, run.inputs[0].shape[1])
    panels: List[_Panel] = []
    for name, train in trains.items():
        count = int(train[:, arguments.sample].sum())

        def draw(ax: Any, train: Any = train, title: str = f"{name}: {count} spikes") -> None:
            figures.spike_raster(train, ax, dt=run.dt, batch=arguments.sample, title=title)

        panels.append((1.0 if train.shape[2] <= 20 else 2.0, draw))
    counts = {name: int(train[:, arguments.sample].sum()) for name, train in trains.items()}
    return _stack(panels, _title(arguments, run.title), 1.7), {"target": run.result.target, "spikes": counts}


def _traces(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    run = _Run(source.network, arguments)
    names = list(run.result.membrane)
    if arguments.population:
        names = [_command_line.one_of("--population", arguments.population, names)]
    _sample(arguments, run.inputs[0].shape[1])
    panels: List[_Panel] = []
    for name in names:

        def draw(ax: Any, name: str = name) -> None:
            figures.membrane_traces(
                run.result.membrane[name], ax, dt=run.dt, batch=arguments.sample, neurons=arguments.neurons,
                threshold=run.threshold(name), spikes=run.result.spikes.get(name), title=name,
                decision=name not in run.result.spikes, labels=run.labels(name, arguments.neurons),
            )  # fmt: skip

        panels.append((1.0, draw))
    about = {"target": run.result.target, "populations": names}
    return _stack(panels, _title(arguments, run.title), 3.0), about


def _psp(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures

    run = _Run(source.network, arguments)
    names = list(run.result.membrane)
    name = _command_line.one_of("--population", arguments.population or run.first, names)
    title = _title(arguments, f"{name}, {run.title.replace(f', sample {arguments.sample}', '')}")
    ax = figures.psp_overlay(
        run.result.membrane[name], run.inputs[0], dt=run.dt, neurons=arguments.neurons, title=title
    )
    return ax.figure, {"target": run.result.target, "population": name}


def _comparison(source: _Source, arguments: argparse.Namespace) -> Drawn:
    from gradspike import plot as figures
    from gradspike.chip import _check_numbers

    if arguments.target == "cpu":  # that of a GPU may be compared with it
        raise ValueError("--target must be cuda or a backend: it is compared with the operators on the CPU, got 'cpu'")
    run = _Run(source.network, arguments, preset="calibrated")
    _sample(arguments, run.inputs[0].shape[1])
    simulated, measured = source.network.run_model(*run.inputs, device="cpu"), run.result
    threshold = run.threshold(arguments.population) if arguments.population else None
    figure = figures.run_comparison(
        simulated, measured, arguments.population or None, dt=run.dt, batch=arguments.sample,
        neurons=arguments.neurons, threshold=threshold, title=_title(arguments, run.title),
    )  # fmt: skip
    sample = slice(arguments.sample, arguments.sample + 1)
    differences = {
        name: _check_numbers.difference(train[:, sample], measured.spikes[name][:, sample], fires=True)
        for name, train in simulated.spikes.items()
    }
    return figure, {"targets": [simulated.target, measured.target], "differences": differences}


class _Run:
    """A run of the network on the target, all membranes recorded."""

    def __init__(self, network: Any, arguments: argparse.Namespace, preset: str = "ideal") -> None:
        self.description = network.description
        self.inputs = _command_line.read_spikes(self.description, arguments)
        if self.inputs[0].shape[0] == 0 or self.inputs[0].shape[1] == 0:
            raise ValueError("--spikes must hold a spike, or --steps and --batch be given, got an empty run")
        if _command_line.is_device(arguments.target):
            _command_line.refuse_preset_options(arguments)
            self.result = network.run_model(*self.inputs, device=arguments.target)
        else:
            options = _command_line.preset_options(arguments, preset)
            self.result = network.deploy(arguments.target or None, *options)(*self.inputs, membrane="*")
        self._time = network.check().data["time"]
        self.dt = float(self._time["dt"])
        self.first = str(self.description["populations"][0]["name"])
        self.title = f"{network.name}, {self.result.target}, sample {arguments.sample}"

    def threshold(self, population: str) -> Any:
        """Lowest and highest of a population; None where it does not fire."""
        return self._time["populations"].get(population, {}).get("threshold")

    def labels(self, population: str, neurons: Optional[Sequence[int]]) -> Optional[List[str]]:
        """Names of the classes, where the neurons of the last population stand for them."""
        last, names = self.description["populations"][-1], self.description["model_card"]["class_names"]
        if population != last["name"] or len(names) != last["size"]:
            return None
        shown = range(len(names)) if neurons is None else neurons
        return [str(names[k]) for k in shown if k < len(names)] if len(names) <= 8 or neurons else None


def _sample(arguments: argparse.Namespace, batch: int) -> None:
    if arguments.sample >= batch:
        raise ValueError(f"--sample must lie in 0 to {batch - 1}, got {arguments.sample}")


def _title(arguments: argparse.Namespace, default: str) -> str:
    return str(default if arguments.title is None else arguments.title)


_Panel = Tuple[float, Callable[[Any], None]]


def _stack(panels: Sequence[_Panel], title: str, height: float, shared: bool = True) -> Any:
    """Panels below each other, each of its height; with one time axis where that is shared."""
    from gradspike.plot import _axes

    heights = [share * height for share, _ in panels]
    figure = _axes.new_figure((9.0, 0.7 + sum(heights)))
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    first = None
    for place, (_, draw) in enumerate(panels):
        ax = figure.add_subplot(grid[place], sharex=first if shared else None)
        first = first or ax
        draw(ax)
        if shared and place + 1 < len(panels):
            ax.set_xlabel("")
    figure.suptitle(title, parse_math=False)
    return figure


_DRAW: Dict[str, Callable[[_Source, argparse.Namespace], Drawn]] = {
    "chip-map": _chip_map,
    "weights": _weights,
    "report": _report_figure,
    "raster": _raster,
    "traces": _traces,
    "psp": _psp,
    "comparison": _comparison,
}
COMMANDS = {"plot": plot}
