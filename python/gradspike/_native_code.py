"""Native code of AOTInductor: programs compiled for one device, beside the program itself in a `.pt2` file."""

import json
import operator
import tempfile
import warnings
import weakref
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike import _reading

_FORMAT, _VERSION = "gradspike.native_code", 1
_DESCRIPTION = "gradspike/native_code.json"
_FOLDER = "/data/aotinductor/"
_DEVICES = ("cpu", "cuda")


def device_of(native_code: Union[bool, str]) -> Optional[str]:
    """The device to compile for, None where no native code is wanted."""
    if native_code is False:
        return None
    device = "cpu" if native_code is True else native_code
    if device not in _DEVICES:
        raise ValueError(f"native_code must be False, True, 'cpu' or 'cuda', got {native_code!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("native_code='cuda' needs a GPU to compile on, and PyTorch finds none")
    return device


class Package:
    """What AOTInductor made of a program: its files, and the description that stands beside them."""

    def __init__(self, program: torch.export.ExportedProgram, device: str) -> None:
        module, populations = _with_signals(program)
        self.files = _compiled(module, program)
        self.description = json.dumps(
            {
                "format": _FORMAT,
                "version": _VERSION,
                "torch": ".".join(torch.__version__.split(".")[:2]),
                "device": device,
                "cpu_features": torch.classes.gradspike.NativeCode.cpu_features(),
                "inputs": list(_inputs(program)),
                "num_outputs": len(program.graph_signature.user_outputs),
                "populations": populations,
            }
        )

    def write(self, program: torch.export.ExportedProgram, texts: Dict[str, str], target: Any) -> None:
        """Puts program, native code and texts into one file, as `torch.export.save` does without native code."""
        from torch.export.pt2_archive._package import package_pt2

        with tempfile.TemporaryDirectory(prefix="gradspike-") as folder:
            paths: List[Any] = []
            for name, content in self.files.items():
                paths.append(str(Path(folder, name)))
                Path(folder, name).write_bytes(content)
            extra = {**texts, _DESCRIPTION: self.description}
            package_pt2(target, exported_programs={"model": program}, aoti_files={"model": paths}, extra_files=extra)


def _with_signals(program: torch.export.ExportedProgram) -> Tuple[torch.fx.GraphModule, List[str]]:
    """The program as a module that returns, behind its outputs, the first result of every population, and their names.

    It is what they send: spikes, of leaky integrators the membrane.
    """
    module = program.module(check_guards=False)
    _name_constants(module, program)
    output = next(node for node in module.graph.nodes if node.op == "output")
    signals: Dict[str, torch.fx.Node] = {}
    for node in list(module.graph.nodes):
        name = node.kwargs.get("population") if str(node.target).startswith("gradspike.") else None
        if name:
            with module.graph.inserting_after(node):
                signals[name] = module.graph.call_function(operator.getitem, (node, 0))
    results = (*output.args[0], *signals.values())
    output.args = (results,)
    codegen: Any = module.graph._codegen
    flat = torch.utils._pytree.tree_structure(tuple(range(len(results))))
    codegen.pytree_info = codegen.pytree_info._replace(out_spec=flat)
    module.recompile()
    return module, list(signals)


def _name_constants(module: torch.fx.GraphModule, program: torch.export.ExportedProgram) -> None:
    """Makes constants buffers, whose names the compiler keeps. Single numbers it writes into the code."""
    for path, value in program.constants.items():
        if isinstance(value, Tensor) and value.dim() > 0:
            parent, _, name = path.rpartition(".")
            owner = module.get_submodule(parent)
            delattr(owner, name)
            owner.register_buffer(name, value, persistent=False)


def _compiled(module: torch.fx.GraphModule, program: torch.export.ExportedProgram) -> Dict[str, bytes]:
    """The files of the package by name.

    Raises:
        RuntimeError: the compiler is missing or fails.
    """
    assert program.example_inputs is not None
    options = {"aot_inductor.package": True}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=r"`isinstance\(treespec, LeafSpec\)`")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
            paths: Any = torch._inductor.aot_compile(module, program.example_inputs[0], options=options)
    except Exception as error:
        raise RuntimeError(
            "export: the native code cannot be compiled, which takes a C++ compiler (g++, or the one that CXX names): "
            f"{_reading.sentence(error) or type(error).__name__}"
        ) from None
    files = {Path(path).name: Path(path) for path in paths if isinstance(path, str)}
    return {name: content for name, path in files.items() if (content := _content(path, files)) is not None}


def _content(path: Path, files: Dict[str, Path]) -> Optional[bytes]:
    """Sources are left out: they name folders of this machine. PyTorch finds the files by the name of the first."""
    belongs_to = path.name.split(".wrapper")[0].split(".kernel")[0]
    if ".kernel" in path.name and f"{belongs_to}.kernel.cpp" in files:
        return None
    if path.suffix == ".cpp":
        return b"// compiled, see the shared object\n"
    return path.read_bytes()


def _inputs(program: torch.export.ExportedProgram) -> Iterator[Dict[str, Any]]:
    """Name, dtype and sizes of every input; -1 is any number of steps or batch entries."""
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs:
            value = node.meta["val"]
            sizes = [size if isinstance(size, int) else -1 for size in value.shape]
            yield {"name": node.name, "dtype": str(value.dtype).split(".")[1], "sizes": sizes}


def is_in(members: List[str]) -> bool:
    """Whether the entries of a zip archive hold native code."""
    return any(_FOLDER in member for member in members)


class NativeModule(torch.nn.Module):
    """Native code of a file as a module: what it returns are the outputs of the program, and it only runs forward.

    It has no parameters. Reading and deploying it takes the program that stands beside it in the file.
    """

    def __init__(self, file: Path, device: Any, program: Optional[torch.nn.Module]) -> None:
        super().__init__()
        self.training = False
        self._file = str(file)
        self._code = _load(file, torch.device(device))
        weakref.finalize(self, self._code.close)
        # No submodule: its parameters are not those of the native code.
        self.__dict__["_program"] = program

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs of the model for inputs of the example's dtype, any number of steps and batch entries."""
        outputs = _reading.call(self._code.run, list(inputs))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def train(self, mode: bool = True) -> "NativeModule":
        """Native code is in evaluation mode for good.

        Raises:
            RuntimeError: `mode` is True.
        """
        if mode:
            raise RuntimeError(f"native code cannot be trained: load '{self._file}' without allow_native_code")
        return self

    def extra_repr(self) -> str:
        return repr(self._file)

    def __reduce__(self) -> Any:
        raise TypeError(f"native code cannot be copied or pickled: load '{self._file}' again")

    @staticmethod
    def __gradspike_model__(module: "NativeModule") -> Tuple[torch.nn.Module, None]:
        program: Optional[torch.nn.Module] = module.__dict__["_program"]
        if program is None:
            raise ValueError(f"'{module._file}' holds native code and no program, so no network can be read from it")
        return program, None


def _load(file: Path, device: torch.device) -> Any:
    try:
        return _reading.call(torch.classes.gradspike.NativeCode, str(file), device)
    except RuntimeError as error:
        raise ValueError(f"load: '{file}' cannot be loaded: {_reading.sentence(error)}") from None
