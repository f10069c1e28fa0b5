"""gradspike: train spiking networks with the integer weights that the BrainScaleS-2 chip holds.

`gradspike.functional` has one function per operator, `gradspike.nn` the modules, `gradspike.spiking` those of scripts
written for hxtorch, `gradspike.chip` reading, mapping and deploying, `gradspike.nir` import and export of NIR graphs,
`gradspike.transforms` encoders and decoders, `gradspike.datasets` the data of the examples and `gradspike.plot` the
figures. `save` and `load` write and read archives, `inspect` prints what is in one.
"""

import importlib
from types import ModuleType
from typing import List

from gradspike import _library, _vmap
from gradspike._version import __version__

_library.load()
_vmap.register()

# The operators have to be registered before a module that names them is imported.
from gradspike import chip, datasets, distributed, functional, nn, plot, tracking, transforms  # noqa: E402
from gradspike._archive import inspect, load, open_network  # noqa: E402
from gradspike._library import VersionInfo, version_info  # noqa: E402
from gradspike._saving import export, save  # noqa: E402
from gradspike.functional import suggest_scale  # noqa: E402

__all__ = [
    "VersionInfo",
    "__version__",
    "chip",
    "datasets",
    "distributed",
    "export",
    "functional",
    "inspect",
    "load",
    "nn",
    "open_network",
    "plot",
    "save",
    "suggest_scale",
    "tracking",
    "transforms",
    "version_info",
]

_LAZY = ("compat", "nir", "spiking")
"""Modules that are imported when they are used first."""


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"gradspike.{name}")
    raise AttributeError(f"module 'gradspike' has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted([*globals(), *_LAZY])
