"""The `gradspike` command: demo, inspect, check, run.

Exit codes of `check`: 0 fits, 1 fits with losses, 2 does not fit. Bad input is 3 everywhere, with one line on stderr.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import List, Optional

import torch
from torch import Tensor

BAD_INPUT = 3


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="gradspike", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "demo", help="train Yin-Yang, save it, run it on the emulator (gradspike demo --help)", add_help=False
    )
    for name, text in (("inspect", "print populations, projections and weights"), ("check", "does it fit the chip?")):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", help="saved network: net.pt or net.json")
        command.add_argument("--json", action="store_true", help="print JSON")
    run = commands.add_parser("run", help="run spikes through a saved network")
    run.add_argument("file", help="saved network: net.pt or net.json")
    run.add_argument("--spikes", action="append", required=True, help="CSV step,batch,neuron[,count]; once per input")
    run.add_argument("--steps", type=int, default=0, help="time steps; default: those of the model card")
    run.add_argument("--target", default="", help="cpu, or a backend; default: GRADSPIKE_BACKEND or emulator")
    run.add_argument("--population", default="", help="whose spikes to write; default: the last population that fires")
    run.add_argument("--output", default="-", help="where to write spikes, CSV; default: standard output")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command == "demo":
        from gradspike.examples import yinyang

        return yinyang.main(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return {"inspect": _inspect, "check": _check, "run": _run}[arguments.command](arguments)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"gradspike: {str(error).splitlines()[0]}", file=sys.stderr)
        return BAD_INPUT


def _inspect(arguments: argparse.Namespace) -> int:
    import gradspike

    print(gradspike.inspect(arguments.file, json=arguments.json))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    import gradspike

    report = gradspike.open_network(arguments.file).check()
    print(report.to_json() if arguments.json else report)
    return ["fits", "fits with losses", "does not fit"].index(report.verdict)


def _run(arguments: argparse.Namespace) -> int:
    import gradspike

    network = gradspike.open_network(arguments.file)
    description = network.description
    inputs = description["inputs"]
    if len(arguments.spikes) != len(inputs):
        raise ValueError(f"--spikes must be given once per input, {len(inputs)} times, got {len(arguments.spikes)}")
    steps = arguments.steps or description["model_card"]["steps"]
    spikes = [_read_spikes(path, entry["size"], steps) for path, entry in zip(arguments.spikes, inputs, strict=True)]
    if arguments.target == "cpu":
        result = network.run_model(*spikes)
    else:
        result = network.deploy(arguments.target or None)(*spikes)
    population = arguments.population or list(result.spikes)[-1]
    if population not in result.spikes:
        raise ValueError(f"--population must be one of {', '.join(result.spikes)}, got '{population}'")
    _write_spikes(arguments.output, result.spikes[population])
    print(f"target {result.target}: {int(result.spikes[population].sum())} spikes of '{population}'", file=sys.stderr)
    return 0


def _read_spikes(path: str, size: int, steps: int) -> Tensor:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] not in (["step", "batch", "neuron"], ["step", "batch", "neuron", "count"]):
        raise ValueError(f"'{path}': the header must be step,batch,neuron[,count]")
    events: List[List[int]] = []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(rows[0]) or not all(field.isdigit() for field in row):
            raise ValueError(
                f"'{path}' line {number}: must be {len(rows[0])} whole numbers >= 0, got '{','.join(row)}'"
            )
        event = [int(field) for field in row]
        if event[2] >= size:
            raise ValueError(f"'{path}' line {number}: neuron must be below {size}, got {event[2]}")
        if steps and event[0] >= steps:
            raise ValueError(f"'{path}' line {number}: step must be below {steps}, got {event[0]}")
        events.append(event)
    length = steps or max((event[0] + 1 for event in events), default=0)
    spikes = torch.zeros(length, max((event[1] + 1 for event in events), default=0), size)
    for event in events:
        spikes[event[0], event[1], event[2]] += event[3] if len(event) == 4 else 1
    return spikes


def _write_spikes(path: str, spikes: Tensor) -> None:
    counted = bool((spikes > 1).any())
    lines = ["step,batch,neuron" + (",count" if counted else "")]
    for batch, step, neuron in spikes.transpose(0, 1).nonzero().tolist():
        count = f",{int(spikes[step, batch, neuron])}" if counted else ""
        lines.append(f"{step},{batch},{neuron}{count}")
    text = "\n".join(lines) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
