"""The command demo: trains Yin-Yang, saves it, runs it on the emulator."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from gradspike import _command_line

_DEMO = """Trains the network 5-120-3 of Yin-Yang twice, with the integers of the chip and with float weights, saves it,
compares training and emulator, and writes archive, network file, report and figures into a folder."""

_CODES = """Exit codes: 0 done, 1 training and emulator differ, 3 bad input (one line on standard error)."""


def add_parsers(commands: Any) -> None:
    """Adds the parser of the command."""
    from gradspike.examples import yinyang

    demo = _command_line.add_command(
        commands, "demo", "train Yin-Yang, save it, run it on the emulator", _DEMO,
        "gradspike demo --quick --no-plots --output runs/quick", _CODES,
    )  # fmt: skip
    yinyang.add_options(demo)
    _command_line.add_json(demo, "the summary, as in report.json,")


def demo(arguments: argparse.Namespace) -> int:
    """gradspike demo"""
    from gradspike.examples import yinyang

    if not arguments.json:
        return yinyang.execute(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        code = yinyang.execute(arguments)
    report = json.loads(Path(arguments.output, "report.json").read_text(encoding="utf-8"))
    _command_line.print_json({**report, "folder": str(arguments.output)})
    return code


COMMANDS = {"demo": demo}
