"""The `gradspike` command: demo, inspect, check, map, deploy, run.

Exit codes of `check`, `map` and `deploy`: 0 fits, 1 fits with losses, 2 does not fit. Bad input is 3 everywhere, with
one line on stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Dict, NoReturn, Optional

from gradspike import _command_report, _spike_csv

BAD_INPUT = 3


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse itself would exit with 2, which means "does not fit"."""

    def error(self, message: str) -> NoReturn:
        print(f"gradspike: {message}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command and returns its exit code."""
    parser = _Parser(prog="gradspike", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "demo", help="train Yin-Yang, save it, run it on the emulator (gradspike demo --help)", add_help=False
    )
    inspect = commands.add_parser(
        "inspect", help="print populations, projections and weights", epilog="example: gradspike inspect net.pt"
    )
    inspect.add_argument("file", help="saved network: net.pt, net.pt2 or net.json; or a graph of NIR: net.nir")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.add_argument("--dt", type=_seconds, default=None, help="time step of a graph of NIR [s]")
    inspect.add_argument("--time-unit", default=None, help="what a graph of NIR counts times in: s, ms, us or steps")
    inspect.add_argument("--preset", default=None, help="framework that wrote a graph of NIR: snntorch, norse, ...")
    _command_report.add_parsers(commands, _size)
    run = commands.add_parser("run", help="run spikes through a saved network")
    run.add_argument("file", help="saved network: net.pt, net.pt2 or net.json")
    run.add_argument("--spikes", action="append", required=True, help="CSV step,batch,neuron[,count]; once per input")
    run.add_argument(
        "--steps", type=_size, default=0, help="time steps; default: those of the model card, else of the input"
    )
    run.add_argument("--batch", type=_size, default=0, help="batch entries; default: up to the last one with a spike")
    run.add_argument("--target", default="", help="cpu, cuda or a backend; default: GRADSPIKE_BACKEND or emulator")
    run.add_argument("--population", default="", help="whose spikes to write; default: the last population that fires")
    run.add_argument("--output", default="-", help="where to write spikes, CSV; default: standard output")
    _command_report.document_run(run)
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command == "demo":
        from gradspike.examples import yinyang

        return yinyang.main(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return {"inspect": _inspect, "run": _run, **_command_report.COMMANDS}[arguments.command](arguments)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"gradspike: {_sentence(error)}", file=sys.stderr)
        return BAD_INPUT


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"'{error.filename}': {error.strerror}"
    return (str(error) or type(error).__name__).splitlines()[0]


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got '{text}'")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got '{text}'")
    return value


def _inspect(arguments: argparse.Namespace) -> int:
    import gradspike
    from gradspike.nir import _file

    about = {"dt": arguments.dt, "time_unit": arguments.time_unit, "preset": arguments.preset}
    if _file.is_hdf5(arguments.file):
        print(gradspike.nir.inspect(arguments.file, json=arguments.json, **about))
        return 0
    given = [f"--{name.replace('_', '-')}" for name, value in about.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} is for graphs of NIR, and '{arguments.file}' is none")
    print(gradspike.inspect(arguments.file, json=arguments.json))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    import gradspike

    network = gradspike.open_network(arguments.file)
    description = network.description
    population = _firing(description, arguments.population)
    spikes = _command_report.read_spikes(description, arguments)
    if arguments.target == "cpu" or arguments.target.startswith("cuda"):
        result = network.run_model(*spikes, device=arguments.target)
    else:
        changed = _command_report.constants(arguments)
        result = network.deploy(arguments.target or None, arguments.preset, arguments.seed, changed)(*spikes)
    if arguments.report:
        _command_report.write(result.report or network.check(), arguments.report)
    _spike_csv.write_spikes(arguments.output, result.spikes[population])
    print(f"target {result.target}: {int(result.spikes[population].sum())} spikes of '{population}'", file=sys.stderr)
    return 0


def _firing(description: Dict[str, Any], wanted: str) -> str:
    """The population whose spikes are written: the one that is wanted, else the last that fires."""
    firing = [population["name"] for population in description["populations"] if population["kind"] == "lif"]
    if not firing:
        raise ValueError(
            f"network '{description['name']}' has no population that fires, only leaky integrators: it gives no spikes"
        )
    if wanted and wanted not in firing:
        raise ValueError(f"--population must be one of {', '.join(firing)}, got '{wanted}'")
    return wanted or str(firing[-1])


if __name__ == "__main__":
    sys.exit(main())
