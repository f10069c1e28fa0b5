"""Finds and loads the operator libraries, and says which ones are running."""

import importlib.resources
import json
import os
import platform
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional

import torch

from gradspike._version import __version__

BUILT_FOR_TORCH = "2.11"
BUILT_FOR_CUDA_MAJOR = "13"
LIBRARY = "libgradspike.so"
CUDA_LIBRARY = "libgradspike_cuda.so"

_loaded_from: Optional[Path] = None
_cuda_state = "no CUDA library beside the CPU library"


def check_torch_version(version: str) -> None:
    """Raises ImportError where `version` is not the PyTorch series that the libraries are built for."""
    if version.split("+")[0].split(".")[:2] != BUILT_FOR_TORCH.split("."):
        raise ImportError(
            f"gradspike {__version__} is built for PyTorch {BUILT_FOR_TORCH}, but PyTorch {version} is running: "
            f"install torch=={BUILT_FOR_TORCH}.* or build gradspike again against this PyTorch"
        )


def find_directory() -> Path:
    """Folder of the libraries: $GRADSPIKE_LIBRARY_DIR, else `lib` in the package, else `build/lib` of a source tree.

    Raises:
        ImportError: the library is in none of them.
    """
    named = os.environ.get("GRADSPIKE_LIBRARY_DIR")
    candidates = [Path(named)] if named else [_packaged_directory(), _source_tree_directory()]
    for candidate in candidates:
        if (candidate / LIBRARY).is_file():
            return candidate
    searched = " and ".join(str(candidate) for candidate in candidates)
    raise ImportError(
        f"gradspike needs {LIBRARY}, which is not in {searched}: build it with make, "
        "or set GRADSPIKE_LIBRARY_DIR to the folder that holds it"
    )


def _packaged_directory() -> Path:
    # Joined before str(): an editable install gives a multiplexed path that only resolves with a file name.
    return Path(str(importlib.resources.files("gradspike") / "lib" / LIBRARY)).parent


def _source_tree_directory() -> Path:
    return Path(__file__).resolve().parents[2] / "build" / "lib"


def load() -> None:
    """Loads the CPU library and, where PyTorch can use it, the CUDA library. A second call does nothing."""
    global _loaded_from, _cuda_state
    if _loaded_from is not None:
        return
    check_torch_version(torch.__version__)
    directory = find_directory()
    torch.ops.load_library(str(directory / LIBRARY))
    _loaded_from = directory
    _cuda_state = _load_cuda(directory / CUDA_LIBRARY, torch.version.cuda)


def _load_cuda(path: Path, torch_cuda: Optional[str]) -> str:
    """Loads the CUDA library; a failure is a warning, since everything else works without it."""
    if not path.is_file():
        return "not built"
    if torch_cuda is None:
        return "built, not loaded: this PyTorch has no CUDA"
    if torch_cuda.split(".")[0] != BUILT_FOR_CUDA_MAJOR:
        reason = f"it is built for CUDA {BUILT_FOR_CUDA_MAJOR}, and this PyTorch uses CUDA {torch_cuda}"
        return _cuda_not_loaded(reason)
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        return _cuda_not_loaded(str(error))
    return "loaded"


def _cuda_not_loaded(reason: str) -> str:
    warnings.warn(f"gradspike runs on the CPU only, because its CUDA library did not load: {reason}", stacklevel=2)
    return f"built, not loaded: {reason}"


@dataclass(frozen=True)
class VersionInfo:
    """What is running: versions, machine, CUDA, and where the libraries lie. `print` gives the list for a bug report.

    Attributes:
        gradspike: Version of the package.
        torch: Version of PyTorch.
        torch_built: Version of PyTorch that the library was built with.
        cpu_isa: Instruction set of the operators: generic, avx2 or avx512.
        cuda: Whether the CUDA library is loaded, and why not.
        library_directory: Folder of the libraries.
        library_version: Version that the library says; another one than `gradspike` is a mixed installation.
        revision: Commit of a source tree, and whether its files differ from it; "" for an installed package.
        python: Version of Python.
        system: Operating system, its version and the machine.
        threads: Threads of PyTorch.
        gpus: Version of CUDA that PyTorch is built with, and the GPUs that it can use.
    """

    gradspike: str
    torch: str
    torch_built: str
    cpu_isa: str
    cuda: str
    library_directory: str
    library_version: str = ""
    revision: str = ""
    python: str = ""
    system: str = ""
    threads: int = 0
    gpus: str = ""

    def __str__(self) -> str:
        mixed = f" (the library is {self.library_version})" if self.library_version != self.gradspike else ""
        return "\n".join(
            [
                f"gradspike {self.gradspike}{mixed}",
                f"revision  {self.revision or 'installed package'}",
                f"torch     {self.torch} (built for {self.torch_built})",
                f"python    {self.python}",
                f"system    {self.system}",
                f"cpu       {self.cpu_isa}, {self.threads} threads",
                f"cuda      {self.cuda}",
                f"gpus      {self.gpus}",
                f"libraries {self.library_directory}",
            ]
        )


def version_info() -> VersionInfo:
    """What a bug report needs: versions of the package, of PyTorch and of the loaded libraries, and the machine.

    Example:
        >>> import gradspike
        >>> gradspike.version_info().torch_built.startswith("2.11")
        True
    """
    from gradspike.chip import _revision

    source_tree = Path(__file__).resolve().parents[2]
    return replace(
        versions(),
        revision=_revision.revision_of(str(source_tree)) if (source_tree / ".git").exists() else "",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        threads=torch.get_num_threads(),
        gpus=_gpus(),
    )


def _gpus() -> str:
    if torch.version.cuda is None:
        return "this PyTorch has no CUDA"
    try:
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    except RuntimeError as error:  # a driver that is too old, or a GPU that is in use
        names = [str(error).splitlines()[0]]
    return f"CUDA {torch.version.cuda}: {', '.join(names) or 'none'}"


def versions() -> VersionInfo:
    """What results depend on, without asking the machine."""
    built = _built_info()
    return VersionInfo(
        gradspike=__version__,
        torch=torch.__version__,
        torch_built=str(built.get("torch", BUILT_FOR_TORCH)),
        cpu_isa=str(built.get("cpu_isa", torch.backends.cpu.get_cpu_capability())),
        cuda=_cuda_state,
        library_directory=str(_loaded_from),
        library_version=str(built.get("version", __version__)),
    )


def _built_info() -> Dict[str, Any]:
    """What the library says about its own build; empty where it says nothing."""
    operator = getattr(torch.ops.gradspike, "_version_info", None)
    if operator is None:
        return {}
    info = json.loads(operator())
    return info if isinstance(info, dict) else {}
