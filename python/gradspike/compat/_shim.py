"""Modules of packages that are not there: a few names, and one sentence for every other one."""

import importlib.machinery
from types import ModuleType
from typing import Any

from gradspike._version import __version__


class Shim(ModuleType):
    """A module with the names given, all of them public.

    Args:
        name: Name of the module.
        doc: What it stands for, one sentence.
        **names: What it holds.
    """

    def __init__(self, name: str, doc: str, **names: Any) -> None:
        super().__init__(name, doc)
        self.__path__ = []  # a package: `from module import name` then asks the finder, which says what is missing
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, origin="gradspike.compat", is_package=True)
        self.__version__ = f"gradspike {__version__}"
        self.__dict__.update(names)

    @property
    def __all__(self) -> list[str]:
        return sorted(name for name in self.__dict__ if not name.startswith("_"))

    def missing(self, name: str) -> str:
        """The sentence about a name that is not here."""
        here = ", ".join(self.__all__) or "nothing"
        return (
            f"{self.__name__}.{name} is not among what gradspike.compat answers of {self.__name__} ({here}): it needs "
            "the chip's own packages"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise AttributeError(self.missing(name))

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} of gradspike.compat>"
