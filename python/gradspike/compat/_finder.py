"""Answers imports of packages that are not there."""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Dict, NoReturn, Optional, Sequence

from gradspike.compat import _packages
from gradspike.compat._shim import Shim


class _Loader:
    """Gives the module of a package, and registers the modules in it under their names.

    They are registered at once: an import of each by itself would bind it in its package again, over functions that
    have the name of their module.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _packages.modules_of(spec.name)[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        for name, inner in _packages.modules_of(module.__spec__.name).items():
            sys.modules[name] = inner
            parent, _, child = name.rpartition(".")
            if parent and not hasattr(sys.modules[parent], child):
                setattr(sys.modules[parent], child, inner)


class _Finder:
    """Stands before all other finders and asks them first, unless it was told to answer in any case."""

    def __init__(self, force: bool) -> None:
        self.force = force
        self.replaced: Dict[str, ModuleType] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        root, _, inside = name.partition(".")
        if root not in _packages.ROOTS:
            return None
        if not inside:
            if not self.force and _real_spec(root) is not None:
                return None
            return ModuleSpec(name, _Loader(), origin="gradspike.compat", is_package=True)  # type: ignore[arg-type]
        if _is_ours(root):
            _refuse(name)
        return None


_installed: Optional[_Finder] = None


def _real_spec(root: str) -> Optional[ModuleSpec]:
    """What other finders have of a package; a folder without code is no package."""
    for finder in sys.meta_path:
        if isinstance(finder, _Finder) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(root, None)
        if spec is not None and spec.loader is not None and spec.origin is not None:
            return spec
    return None


def _is_ours(root: str) -> bool:
    """Whether the package that was imported is the one that is answered."""
    return isinstance(sys.modules.get(root), Shim)


def _refuse(name: str) -> NoReturn:
    """Says that a module is not there, and why."""
    for prefix in _packages.PREFIXES:
        if name.startswith(prefix + "."):
            _import_own(name, name[len(prefix) + 1 :])
    parent, _, child = name.rpartition(".")
    module = sys.modules.get(parent)
    if isinstance(module, Shim):
        raise ImportError(module.missing(child), name=name)
    raise ModuleNotFoundError(f"No module named {name!r}: gradspike.compat answers no such module", name=name)


def _import_own(name: str, path: str) -> None:
    """Imports a module of `gradspike.spiking` for what it says about a package that it needs."""
    try:
        _packages.spiking_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(_packages.SPIKING):
            raise
    where = importlib.import_module(_packages.SPIKING).__name__
    raise ModuleNotFoundError(f"No module named {name!r}: {where} has no module {path!r}", name=name)


def install(force: bool = False) -> bool:
    """Answers `import hxtorch` and its companions from now on; a second call changes nothing but `force`.

    Args:
        force: Whether to answer even where the real packages can be imported; modules of them that were imported
            before are put aside until `uninstall`.

    Returns:
        Whether gradspike answers: False where hxtorch itself can be imported.

    Example:
        >>> import gradspike.compat
        >>> gradspike.compat.install()
        True
        >>> import hxtorch.spiking, gradspike.spiking
        >>> hxtorch.spiking is gradspike.spiking
        True
        >>> gradspike.compat.uninstall()
    """
    global _installed
    if _installed is not None and (_installed.force or not force):
        return True
    loaded = sys.modules.get("hxtorch")
    if not force and (_real_spec("hxtorch") is not None or (loaded is not None and not _is_ours("hxtorch"))):
        return False
    uninstall()
    _installed = _Finder(force)
    if force:
        _installed.replaced = _taken_out(_packages.ROOTS)
    sys.meta_path.insert(0, _installed)
    return True


def installed() -> bool:
    """Whether `install` was called and gradspike answers."""
    return _installed is not None


def uninstall() -> None:
    """Answers no more; names that a script has imported stay with it."""
    global _installed
    if _installed is None:
        return
    sys.meta_path.remove(_installed)
    loaded = [root for root in _packages.ROOTS if root in sys.modules]
    _taken_out([root for root in loaded if _is_ours(root)])
    sys.modules.update(_installed.replaced)
    _installed = None


def _taken_out(roots: Sequence[str]) -> Dict[str, ModuleType]:
    """Removes packages and their modules from what is imported, and returns them."""
    names = [name for name in sys.modules if name.partition(".")[0] in roots]
    return {name: sys.modules.pop(name) for name in names}
