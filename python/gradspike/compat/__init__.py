"""Runs scripts that were written for hxtorch, unmodified, on gradspike.

    python -m gradspike.compat script.py [arguments]

or, before the script's imports, `gradspike.compat.install()`. `import hxtorch`, `hxtorch.spiking`, `hxtorch.snn` and
`hxtorch.core` then give gradspike's modules, the very same objects, and the packages of the chip's coordinates, logs
and calibrations give the few names that scripts touch. Where the real packages can be imported, those are taken, unless
told otherwise. docs/migration.md says what differs.
"""

from gradspike.compat._finder import install, installed, uninstall
from gradspike.compat._packages import answered

__all__ = ["answered", "install", "installed", "uninstall"]
