"""Runs a script, a module or a line of code with hxtorch's names answered."""

import builtins
import os
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, Callable, List, Optional, Sequence

from gradspike.compat._finder import install
from gradspike.compat._packages import answered

_USAGE = "usage: python -m gradspike.compat [--force] [--list] (script.py | -m module | -c code) [arguments]"
_BAD_USAGE = 2
_FAILED = 1


def main(arguments: Sequence[str]) -> int:
    """Runs what the arguments name and returns its exit code.

    Options: `--force` takes gradspike even where hxtorch itself can be imported, `--list` prints what is answered.
    """
    rest = list(arguments)
    force = False
    while rest and rest[0] in ("--force", "--list", "-h", "--help"):
        option = rest.pop(0)
        if option == "--force":
            force = True
        else:
            print(_list() if option == "--list" else _USAGE)
            return 0
    if not rest or (rest[0].startswith("-") and (rest[0] not in ("-m", "-c") or len(rest) < 2)):
        wrong = f"gradspike.compat: unknown option {rest[0]!r}\n" if rest and rest[0] not in ("-m", "-c") else ""
        print(wrong + _USAGE, file=sys.stderr)
        return _BAD_USAGE
    if not install(force):
        print("gradspike.compat: hxtorch itself can be imported and is used; --force for gradspike", file=sys.stderr)
    return _run(rest)


def _list() -> str:
    entries = answered()
    width = max(map(len, entries))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in entries.items())


def _run(words: List[str]) -> int:
    if words[0] == "-m":
        sys.argv[:] = words[1:]
        _set_first_path(os.getcwd())
        return _reported(lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True))
    if words[0] == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        _set_first_path("")
        return _reported(lambda: _execute(compile(words[1], "<string>", "exec"), None))
    path = words[0]
    sys.argv[:] = words
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        return _reported(lambda: runpy.run_path(path, run_name="__main__"))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"gradspike.compat: can't open file {path!r}: {error.strerror}", file=sys.stderr)
        return _BAD_USAGE
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    return _reported(lambda: _execute(compile(source, path, "exec"), path))


def _set_first_path(folder: str) -> None:
    """The folder of the script in the place of the folder of this package's caller."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _execute(code: CodeType, path: Optional[str]) -> None:
    """Runs code as the module `__main__`."""
    module = ModuleType("__main__")
    if path is not None:
        module.__file__ = os.path.abspath(path)
        module.__loader__ = SourceFileLoader("__main__", path)
    module.__dict__.update(__builtins__=builtins, __cached__=None)
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


_kept: List[ModuleType] = []
"""Modules that were `__main__` before: their functions are on the stack."""


def _reported(run: Callable[[], Any]) -> int:
    """Runs; an error is shown as Python would show it, without the frames of this package."""
    try:
        run()
    except Exception as error:
        error = error.with_traceback(_of_script(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        return _FAILED
    return 0


def _of_script(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """The part of a traceback below the frames of this package and of runpy; None where there is none."""
    below = trace
    while below is not None and _is_ours(below.tb_frame.f_code.co_filename):
        below = below.tb_next
    return below


def _is_ours(file: str) -> bool:
    return file == __file__ or file.endswith("<frozen runpy>") or os.path.basename(file) == "runpy.py"
