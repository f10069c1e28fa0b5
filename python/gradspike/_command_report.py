"""The commands that give a report: check, map, deploy. Printed, as JSON, or as a page; the exit code is the verdict."""

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from gradspike import _label_csv, _spike_csv

_CODES = "Exit codes: 0 fits, 1 fits with losses, 2 does not fit, 3 bad input (one line on standard error)."

_CHECK = f"""Does a saved network fit the chip? What does it use, what do its weights lose?

example: gradspike check net.pt --html report.html

{_CODES}"""

_MAP = f"""Places a saved network on the chip: neuron circuits, synapse rows, routing.

example: gradspike map net.pt --output mapping.json --html report.html

{_CODES}"""

_DEPLOY = f"""Runs spikes through a saved network side by side: with float weights and integers on the CPU, on the
ideal emulator, and on a target with its preset, once per seed. Prints rates, differences and, with labels, accuracy.

example: gradspike deploy net.pt --spikes in.csv --labels labels.csv --preset calibrated --seeds 5 --html report.html

{_CODES}"""

_RUN = """example: gradspike run net.pt --spikes in.csv --preset calibrated --seed 3 --constant cadc_noise=0.5

Exit codes: 0 it ran, 3 bad input (one line on standard error)."""


def add_parsers(commands: Any, size: Any) -> None:
    """Adds the parsers of the commands; `size` is the type of arguments that count."""
    check = _parser(commands, "check", "does it fit the chip?", _CHECK)
    check.add_argument("--target", default="", help="what it is checked for; default: emulator ideal")
    check.add_argument("--chips", type=size, default=1, help="execution instances that are allowed (default: 1)")
    placed = _parser(commands, "map", "place it on the chip", _MAP)
    placed.add_argument("--output", default="", help="where to write the mapping, JSON")
    deploy = _parser(commands, "deploy", "run spikes on model, emulators and target, side by side", _DEPLOY)
    deploy.add_argument(
        "--spikes", action="append", required=True, help="CSV step,batch,neuron[,count]; once per input"
    )
    deploy.add_argument("--labels", default="", help="CSV batch,label: classes of the samples, for the accuracy")
    deploy.add_argument(
        "--steps", type=size, default=0, help="time steps; default: those of the model card, else of the input"
    )
    deploy.add_argument("--batch", type=size, default=0, help="batch entries; default: up to the last one with a spike")
    deploy.add_argument("--target", default="", help="backend; default: GRADSPIKE_BACKEND or emulator")
    deploy.add_argument("--seeds", type=size, default=5, help="how many chips are tried (default: 5)")
    add_preset_options(deploy, "calibrated")


def document_run(parser: argparse.ArgumentParser) -> None:
    """Adds presets, and an example to the help text of `run`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _RUN
    add_preset_options(parser, "ideal")
    parser.add_argument("--report", default="", metavar="FILE", help="write the report: .html a page, .json, else text")


def add_preset_options(parser: argparse.ArgumentParser, preset: str) -> None:
    """Adds --preset, --seed and --constant."""
    parser.add_argument("--preset", default=preset, help=f"preset of the target (default: {preset})")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the chip: its fixed pattern (default: 0)")
    parser.add_argument(
        "--constant", action="append", default=[], type=_constant, metavar="NAME=VALUE",
        help="constant of the preset that is changed; may be given several times",
    )  # fmt: skip


def _parser(commands: Any, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="saved network: net.pt, net.pt2 or net.json")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, format gradspike.report")
    parser.add_argument(
        "--since",
        type=_earlier_report,
        metavar="FILE",
        help="say what changed since an earlier report, JSON as --json gives it",
    )
    parser.add_argument(
        "--html", default="", metavar="FILE", help="write the report as one page, with a map of the chip"
    )
    return parser


def _seed(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'")
    return int(text)


def _constant(text: str) -> Tuple[str, float]:
    name, separator, value = text.partition("=")
    try:
        if not (name and separator):
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE with a number, got '{text}'") from None


def _earlier_report(path: str) -> Any:
    from gradspike.chip import _since

    try:
        return _since.read_data(Path(path))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{path}' cannot be read: {error}") from None


def constants(arguments: argparse.Namespace) -> Optional[Dict[str, float]]:
    """The constants that were given, by name; the last of a name counts."""
    return dict(arguments.constant) or None


def read_spikes(description: Dict[str, Any], arguments: argparse.Namespace) -> Any:
    """The inputs of a network from the CSV files that were given."""
    sizes = [entry["size"] for entry in description["inputs"]]
    if len(arguments.spikes) != len(sizes):
        raise ValueError(f"--spikes must be given once per input, {len(sizes)} times, got {len(arguments.spikes)}")
    steps = arguments.steps or description["model_card"]["steps"]
    return _spike_csv.read_inputs(arguments.spikes, sizes, steps, arguments.batch)


def check(arguments: argparse.Namespace) -> int:
    """gradspike check"""
    import gradspike

    network = gradspike.open_network(arguments.file)
    target = {"target": arguments.target} if arguments.target else {}
    return _show(network.check(chips=arguments.chips, **target), arguments)


def map(arguments: argparse.Namespace) -> int:
    """gradspike map"""
    import gradspike

    network = gradspike.open_network(arguments.file)
    try:
        mapping = network.map()
    except RuntimeError:  # the report names every misfit
        return _show(network.check(), arguments)
    if arguments.output:
        Path(arguments.output).write_text(mapping.to_json() + "\n", encoding="utf-8")
    return _show(mapping.report, arguments)


def deploy(arguments: argparse.Namespace) -> int:
    """gradspike deploy"""
    import gradspike
    from gradspike import _archive

    model, network = _archive.open_model(arguments.file)
    if arguments.seeds < 1:
        raise ValueError("--seeds must be at least 1, got 0")
    inputs = read_spikes(network.description, arguments)
    labels = _label_csv.read_labels(arguments.labels, inputs[0].shape[1]) if arguments.labels else None
    report = gradspike.chip.report(
        model, inputs, labels, arguments.seeds, arguments.preset, target=arguments.target or None,
        seed=arguments.seed, constants=constants(arguments),
    )  # fmt: skip
    return _show(report, arguments)


def write(report: Any, path: str) -> None:
    """Writes a report in the form that the end of the name says: .html, .json, or text."""
    if path.endswith(".html"):
        report.save_html(path)
    else:
        Path(path).write_text(report.to_json() + "\n" if path.endswith(".json") else report.text, encoding="utf-8")


def _show(report: Any, arguments: argparse.Namespace) -> int:
    if arguments.since is not None:
        report = report.since(arguments.since)
    if arguments.html:
        report.save_html(arguments.html)
        print(f"gradspike: wrote {arguments.html}", file=sys.stderr)
    print(report.to_json() if arguments.json else report, end="\n" if arguments.json else "")
    return int(report.exit_code)


COMMANDS = {"check": check, "map": map, "deploy": deploy}
