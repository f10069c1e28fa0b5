"""The commands that look at a saved network and run it: inspect, run."""

import argparse
import sys
from typing import Any, Dict

from gradspike import _command_line, _command_report, _spike_array, _spike_csv

_INSPECT = "Prints populations, projections and weights of a saved network, or what a graph of NIR holds."
_RUN = """Runs spikes through a saved network, on its operators (--target cpu or cuda), an emulator or a chip, and
writes the spikes of one population."""


def add_parsers(commands: Any) -> None:
    """Adds the parsers of the commands."""
    inspect = _command_line.add_command(
        commands, "inspect", "print populations, projections and weights", _INSPECT,
        "gradspike inspect net.pt\ngradspike inspect net.pt --json",
    )  # fmt: skip
    inspect.add_argument("file", help=f"{_command_line.SAVED_NETWORK}; or a graph of NIR: net.nir")
    _command_line.add_json(inspect, "description and integers")
    inspect.add_argument("--dt", type=_command_line.seconds, default=None, help="time step of a graph of NIR [s]")
    inspect.add_argument("--time-unit", default=None, help="what a graph of NIR counts times in: s, ms, us or steps")
    inspect.add_argument("--preset", default=None, help="framework that wrote a graph of NIR: snntorch, norse, ...")
    run = _command_line.add_command(
        commands, "run", "run spikes through a saved network", _RUN,
        "gradspike run net.pt --spikes in.csv --target cpu\n"
        "gradspike run net.pt --spikes in.csv --preset calibrated --seed 3 --constant cadc_noise=0.5 --output out.csv",
    )  # fmt: skip
    run.add_argument("file", help=_command_line.SAVED_NETWORK)
    _command_line.add_spikes(run, required=True)
    run.add_argument("--target", default="", help=_command_line.TARGET)
    _command_line.add_preset_options(run, "ideal")
    run.add_argument("--population", default="", help="whose spikes to write; default: the last population that fires")
    run.add_argument("--output", default="-", help="where to write spikes, CSV or .npy; default: standard output")
    run.add_argument("--report", default="", metavar="FILE", help="write the report: .html a page, .json, else text")
    _command_line.add_json(run, "what ran, rates, losses and, without --output, the spikes")


def inspect(arguments: argparse.Namespace) -> int:
    """gradspike inspect"""
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


def run(arguments: argparse.Namespace) -> int:
    """gradspike run"""
    import gradspike

    if _command_line.is_device(arguments.target):
        _command_line.refuse_preset_options(arguments)
    network = gradspike.open_network(arguments.file)
    description = network.description
    population = _command_line.firing(description, arguments.population)
    inputs = _command_line.read_spikes(description, arguments)
    if _command_line.is_device(arguments.target):
        result = network.run_model(*inputs, device=arguments.target)
    else:
        options = _command_line.preset_options(arguments, "ideal")
        result = network.deploy(arguments.target or None, *options)(*inputs)
    if arguments.report:
        _command_report.write(result.report or network.check(), arguments.report)
    spikes = result.spikes[population]
    if arguments.output != "-" or not arguments.json:
        form = _spike_array if _spike_array.is_npy(arguments.output) else _spike_csv
        form.write_spikes(arguments.output, spikes)
    if arguments.json:
        _command_line.print_json(_summary(network.name, population, result, arguments.output))
    print(f"target {result.target}: {int(spikes.sum())} spikes of '{population}'", file=sys.stderr)
    return 0


def _summary(network: str, population: str, result: Any, output: str) -> Dict[str, Any]:
    """What --json prints."""
    spikes = result.spikes[population]
    summary = {
        "format": "gradspike.run",
        "version": 1,
        "network": network,
        "target": result.target,
        "population": population,
        "steps": spikes.shape[0],
        "batch": spikes.shape[1],
        "spikes": {name: int(trace.sum()) for name, trace in result.spikes.items()},
        "lost": result.lost,
        "seconds": result.timing,
        "not_modelled": result.not_modelled,
        "output": None if output == "-" else output,
        "events": _spike_csv.events(spikes) if output == "-" else None,  # step, batch, neuron, count
    }
    if not _command_line.is_device(result.target):  # what a chip counts
        summary["counts"] = result.counts
    return summary


COMMANDS = {"inspect": inspect, "run": run}
