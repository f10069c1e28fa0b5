"""Programs of torch.export: `.pt2` files that carry the description, the integers and the mapping of their network."""

import base64
import binascii
import inspect
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from gradspike import _native_code, _reading
from gradspike._reading import Example

_TIME, _BATCH = "time", "batch"
_BASE64 = ".base64"


def exported(model: Any, example: Example) -> torch.export.ExportedProgram:
    """An evaluation copy of a model on the CPU as a program whose numbers of steps and of batch entries are free.

    Raises:
        RuntimeError: `torch.export` cannot follow the model; the message is its own.
    """
    inputs = tuple(_at_least_two(tensor) for tensor in _reading.example_list(example, "cpu"))
    if not inputs:
        raise ValueError("export: an example input is needed: give example=...")
    module = _reading.evaluation_copy(model, inputs)
    try:
        with torch.no_grad():
            program = torch.export.export(module, inputs, dynamic_shapes=_free_sizes(module, inputs))
    except Exception as error:
        raise RuntimeError(f"export: torch.export cannot follow the model: {_reading.sentence(error)}") from None
    for node in program.graph.nodes:  # absolute paths of the machine
        node.meta.pop("stack_trace", None)
    return program


def _at_least_two(tensor: Tensor) -> Tensor:
    """`torch.export` takes a size of 1 for a fixed one."""
    if tensor.dim() != 3 or 0 in tensor.shape:
        return tensor
    return tensor.repeat(1 + (tensor.shape[0] < 2), 1 + (tensor.shape[1] < 2), 1)


def _free_sizes(module: torch.nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Time and batch of every input, by the argument of the model that takes it."""
    free = {0: torch.export.Dim(_TIME, min=1), 1: torch.export.Dim(_BATCH, min=1)}
    sizes = tuple({d: size for d, size in free.items() if tensor.dim() == 3} for tensor in inputs)
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (sizes,) if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL else sizes


def write(
    program: torch.export.ExportedProgram,
    entries: Dict[str, Union[str, bytes]],
    native_code: Optional[_native_code.Package] = None,
) -> bytes:
    """The file of a program with further entries. `torch.export.load` takes entries for text: bytes become base64."""
    texts: Dict[str, str] = {}
    for name, entry in entries.items():
        if isinstance(entry, str):
            texts[name] = entry
        else:
            texts[name + _BASE64] = base64.b64encode(entry).decode()
    content = io.BytesIO()
    if native_code is None:
        torch.export.save(program, content, extra_files=texts)
    else:
        native_code.write(program, texts, content)
    return content.getvalue()


def _entry(member: str, content: bytes) -> Tuple[str, bytes]:
    name = member.split("/extra/", 1)[1]
    if not name.endswith(_BASE64):
        return name, content
    try:
        return name[: -len(_BASE64)], base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ValueError(f"entry '{name}' is no base64: {_reading.sentence(error)}") from None


def is_program(members: Sequence[str]) -> bool:
    """Whether the entries of a zip archive are those of a `.pt2` file."""
    return any(member.endswith("/archive_format") for member in members)


def is_program_beside(members: Sequence[str]) -> bool:
    """Whether a `.pt2` file holds a program, and not native code alone."""
    return any(member.endswith("/models/model.json") for member in members)


def load(file: Path, map_location: Any) -> Tuple[torch.jit.ScriptModule, Dict[str, bytes]]:
    """The program of a file as a module, and what gradspike wrote beside it.

    `torch.export.load` would unpickle objects and evaluate text of the file; the library reads the calls and the
    numbers alone.

    Raises:
        ValueError: the file is damaged, or holds native code or calls that are no operators.
    """
    with zipfile.ZipFile(file) as archive:
        try:
            entries = dict(_entry(m, archive.read(m)) for m in archive.namelist() if "/extra/gradspike/" in m)
        except ValueError as error:
            raise ValueError(f"load: '{file}' is damaged: {_reading.sentence(error)}") from None
    try:
        return as_module(file, map_location), entries
    except RuntimeError as error:
        reason = torch.classes.gradspike.Network.load_sentence(str(error))
        raise ValueError(f"load: '{file}' cannot be loaded: {reason}") from None


def as_module(file: Path, map_location: Any = "cpu") -> torch.jit.ScriptModule:
    """The calls of a program as a TorchScript module, which runs and trains."""
    content = _reading.call(torch.classes.gradspike.Network.program_as_torchscript, str(file))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(bytes(content.numpy())), map_location=map_location)
    return module
