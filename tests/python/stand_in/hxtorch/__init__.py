"""A stand-in for hxtorch that refuses what the published interface does not promise.

It has the part that a server for a chip needs: signatures, order of calls, shapes and types are those of the behaviour
contract of hxtorch (revision R1), and what the contract leaves open is refused. Its chip is a plain float64 loop. Calls
are written to the file that HXTORCH_STAND_IN_LOG names; HXTORCH_STAND_IN_FAILURE makes it fail as a chip can.
"""

import os

__version__ = "stand-in"

_initialised = False


def log(text: str) -> None:
    path = os.environ.get("HXTORCH_STAND_IN_LOG")
    if path:
        with open(path, "a") as file:
            file.write(text + "\n")


def failure() -> str:
    return os.environ.get("HXTORCH_STAND_IN_FAILURE", "")


def require_hardware() -> None:
    if not _initialised:
        raise RuntimeError("hxtorch.init_hardware() must be called before an experiment runs on hardware")


def init_hardware() -> None:
    global _initialised
    log("init_hardware")
    if _initialised:
        raise RuntimeError("init_hardware was called twice")
    if failure() == "no chip":
        raise RuntimeError("No connection to the hardware.")
    _initialised = True


def release_hardware() -> None:
    global _initialised
    log("release_hardware")
    require_hardware()
    _initialised = False
