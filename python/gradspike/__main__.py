"""The `gradspike` command: demo, inspect, check, map, deploy, run, plot, bench.

Exit codes of `check`, `map` and `deploy`: 0 fits, 1 fits with losses, 2 does not fit. Bad input is 3 everywhere, with
one line on stderr. `demo` gives 1 where training and emulator differ; a command that was interrupted gives 130.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Optional

from gradspike import (
    _command_bench,
    _command_demo,
    _command_line,
    _command_network,
    _command_plot,
    _command_report,
    _progress,
)
from gradspike._version import __version__

_INTERRUPTED = 130
_CLOSED_PIPE = 141
_TEXT = "From a trained network to the BrainScaleS-2 chip: train, look, check, place, run, draw, measure."
_MODULES = (_command_demo, _command_network, _command_report, _command_plot, _command_bench)
_COMMANDS = {name: command for module in _MODULES for name, command in module.COMMANDS.items()}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with _progress.wanted():
            code: int = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        print("gradspike: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"gradspike: {_line(error)}", file=sys.stderr)
        return _command_line.BAD_INPUT
    return code


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"'{error.filename}': {error.strerror}"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = _command_line.Parser(
        prog="gradspike",
        description=_TEXT,
        epilog="example: gradspike check net.pt\n\ngradspike COMMAND --help says more and holds an example of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gradspike {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _MODULES:
        module.add_parsers(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
