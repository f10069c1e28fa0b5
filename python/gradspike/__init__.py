"""gradspike: train spiking networks with the integer weights that the BrainScaleS-2 chip holds.

`gradspike.functional` has one function per operator, `gradspike.nn` the modules, `gradspike.transforms` encoders and
decoders, `gradspike.datasets` the data of the examples and `gradspike.plot` the figures.
"""

from gradspike import _library
from gradspike._version import __version__

_library.load()

# The operators have to be registered before a module that names them is imported.
from gradspike import datasets, functional, nn, plot, transforms  # noqa: E402
from gradspike._library import VersionInfo, version_info  # noqa: E402

__all__ = [
    "VersionInfo",
    "__version__",
    "datasets",
    "functional",
    "nn",
    "plot",
    "transforms",
    "version_info",
]
