"""Programs of torch.export: `.pt2` files that carry the description, the integers and the mapping of their network."""

import base64
import binascii
import inspect
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple, Union

import torch
from torch import Tensor

from gradspike import _reading
from gradspike._reading import Example

_TIME, _BATCH = "time", "batch"
_BASE64 = ".base64"


def exported(model: Any, example: Example) -> torch.export.ExportedProgram:
    """An evaluation copy of a model as a program whose numbers of steps and of batch entries are free.

    Raises:
        RuntimeError: `torch.export` cannot follow the model; the message is its own.
    """
    inputs = tuple(_reading.example_list(example))
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


def _free_sizes(module: torch.nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Time and batch of every input, by the argument of the model that takes it."""
    free = {0: torch.export.Dim(_TIME, min=1), 1: torch.export.Dim(_BATCH, min=1)}
    sizes = tuple({d: size for d, size in free.items() if tensor.dim() == 3} for tensor in inputs)
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (sizes,) if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL else sizes


def write(program: torch.export.ExportedProgram, entries: Dict[str, Union[str, bytes]]) -> bytes:
    """The file of a program with further entries. `torch.export.load` takes entries for text: bytes become base64."""
    texts: Dict[str, str] = {}
    for name, entry in entries.items():
        if isinstance(entry, str):
            texts[name] = entry
        else:
            texts[name + _BASE64] = base64.b64encode(entry).decode()
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=texts)
    return content.getvalue()


def _entry(member: str, content: bytes) -> Tuple[str, bytes]:
    name = member.split("/extra/", 1)[1]
    if not name.endswith(_BASE64):
        return name, content
    return name[: -len(_BASE64)], base64.b64decode(content, validate=True)


def is_program(members: Sequence[str]) -> bool:
    """Whether the entries of a zip archive are those of a `.pt2` file."""
    return any(member.endswith("/archive_format") for member in members)


def load(file: Path) -> Tuple[torch.export.ExportedProgram, Dict[str, bytes]]:
    """The program of a file, and what gradspike wrote beside it.

    Raises:
        ValueError: the file is damaged, or holds native code alone.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.namelist()
        try:
            entries = dict(_entry(m, archive.read(m)) for m in members if "/extra/gradspike/" in m)
        except binascii.Error as error:
            raise ValueError(f"load: '{file}' is damaged: {_reading.sentence(error)}") from None
    if not any("/models/" in member and member.endswith(".json") for member in members):
        raise ValueError(f"load: '{file}' holds native code and no program: it cannot be read")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            program = torch.export.load(io.BytesIO(file.read_bytes()))
    except Exception as error:
        raise ValueError(f"load: '{file}' is damaged: {_reading.sentence(error)}") from None
    return program, entries
