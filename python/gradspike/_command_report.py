"""The commands that give a report: check, map, deploy. Printed, as JSON, or as a page; the exit code is the verdict."""

import argparse
import sys
from pathlib import Path
from typing import Any

from gradspike import _command_line, _label_csv

_CHECK = "Does a saved network fit the chip? What does it use, what do its weights lose?"
_MAP = "Places a saved network on the chip: neuron circuits, synapse rows, routing."
_DEPLOY = """Runs spikes through a saved network side by side: with float weights and integers on the CPU, on the
ideal emulator, and on a target with its preset, once per seed. Prints rates, differences and, with labels, accuracy."""


def add_parsers(commands: Any) -> None:
    """Adds the parsers of the commands."""
    check = _parser(commands, "check", "does it fit the chip?", _CHECK, "gradspike check net.pt --html report.html")
    check.add_argument("--target", default="", help="what it is checked for; default: emulator ideal")
    check.add_argument(
        "--chips", type=_command_line.count, default=1, help="execution instances that are allowed (default: 1)"
    )
    placed = _parser(
        commands, "map", "place it on the chip", _MAP, "gradspike map net.pt --output mapping.json --html report.html"
    )
    placed.add_argument("--output", default="", help="where to write the mapping, JSON")
    deploy = _parser(
        commands, "deploy", "run spikes on model, emulators and target, side by side", _DEPLOY,
        "gradspike deploy net.pt --spikes in.csv --labels labels.csv --preset calibrated --seeds 5 --html report.html\n"
        "gradspike deploy net.pt --spikes in.csv --json",
    )  # fmt: skip
    _command_line.add_spikes(deploy, required=True)
    deploy.add_argument("--labels", default="", help="CSV batch,label: classes of the samples, for the accuracy")
    deploy.add_argument("--target", default="", help="backend; default: GRADSPIKE_BACKEND or emulator")
    deploy.add_argument("--seeds", type=_command_line.size, default=5, help="how many chips are tried (default: 5)")
    _command_line.add_preset_options(deploy, "calibrated")


def _parser(commands: Any, name: str, summary: str, text: str, examples: str) -> Any:
    parser = _command_line.add_command(commands, name, summary, text, examples, _command_line.VERDICT_CODES)
    parser.add_argument("file", help=_command_line.SAVED_NETWORK)
    _command_line.add_json(parser, "the report, format gradspike.report,")
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


def _earlier_report(path: str) -> Any:
    from gradspike.chip import _report_file

    try:
        return _report_file.read_data(Path(path))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{path}' cannot be read: {error}") from None


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
    inputs = _command_line.read_spikes(network.description, arguments)
    labels = _label_csv.read_labels(arguments.labels, inputs[0].shape[1]) if arguments.labels else None
    preset, seed, constants = _command_line.preset_options(arguments, "calibrated")
    report = gradspike.chip.report(
        model, inputs, labels, arguments.seeds, preset, target=arguments.target or None,
        seed=seed, constants=constants,
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
