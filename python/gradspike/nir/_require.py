"""Optional packages: nobody needs them until a function that uses them is called."""

import importlib
from typing import Any


def require(package: str, what: str) -> Any:
    """The package `nir` or `h5py`; a sentence says what needs it where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(f"{what} needs the package {package}: pip install 'gradspike[nir]'") from None
