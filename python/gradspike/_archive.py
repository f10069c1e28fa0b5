"""Reading of archives: files of models that carry the description, the integers and the mapping of their network."""

import base64
import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import torch

from gradspike import _native_code, _program, _reading, chip
from gradspike.chip._verbs import Example, Model

__all__ = ["inspect", "load", "open_network"]

NETWORK = "gradspike/network.json"
MAPPING = "gradspike/mapping.json"
INTEGERS = "gradspike/integers/{}.bin"

_HDF5 = b"\x89HDF\r\n\x1a\n"

_dumps = json.dumps  # `inspect` has an option of this name

PathLike = Union[str, "os.PathLike[str]"]


def load(
    path: PathLike,
    *,
    name: Optional[str] = None,
    example: Example = None,
    map_location: Any = "cpu",
    allow_native_code: bool = False,
) -> Any:
    """Opens an archive or a program, registers its network and returns the model, which runs and can be trained on.

    The parameters are the truth: the integers are made again and compared with the stored ones; a difference is a
    warning. A file that plain `torch.jit.save` wrote is read again under `name` (default: the stem of the file), or
    refused where its layers carry no names.

    Args:
        path: The archive.
        name: Name of the network for a file that carries none.
        example: Example input, for a file without a description whose sizes do not follow from its weights.
        map_location: Device of the parameters; native code takes "cpu" alone.
        allow_native_code: Returns a module that runs the native code of a file that `export(..., native_code=True)`
            wrote, forward alone. Native code runs with all rights of the user: allow it only for files whose origin
            you trust. Without it, nothing of the native code is extracted, loaded or run, and the program beside it is
            returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is neither a TorchScript file nor a program, or holds no network; or native
            code is allowed and the file has none, or none that runs here. One sentence says which.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
        >>> path = getfixture("tmp_path") / "net.pt"
        >>> network = gradspike.save(model, path)
        >>> gradspike.load(path)(torch.zeros(38, 2, 5)).shape
        torch.Size([38, 2, 20])
    """
    if allow_native_code:
        return _open_native(Path(path), name, example, map_location)
    return _open(Path(path), name, example, map_location)[0]


def open_network(path: PathLike) -> chip.Network:
    """Opens an archive or a network file as a `gradspike.chip.Network`."""
    return open_model(path)[1]


def open_model(path: PathLike) -> Tuple[Model, chip.Network]:
    """Opens an archive or a network file: the model, which of a network file is the network itself, and the network."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"PK"):  # as the C++ library tells them apart
        return _open(Path(path), None, None, "cpu")
    if head == _HDF5:
        raise ValueError(f"'{path}' is a graph of NIR, or other HDF5: gradspike.nir.from_nir makes a module of it")
    network = chip.load_network(Path(path))
    return network, network


def inspect(path: PathLike, *, json: bool = False) -> str:
    """What a saved network holds, as a table, or as JSON: populations, projections, model card, integers."""
    network = open_network(path)
    description = network.description
    integers = network.integers()
    if json:
        summary = {
            name: {"nonzero": int((q != 0).sum()), "largest": int(q.abs().max())} for name, q in integers.items()
        }
        return _dumps({"network": description, "integers": summary})
    populations = description["populations"]
    lines = [f"network {network.name}"]
    lines += [f"  input       {entry['name']}: {entry['size']} neurons" for entry in description["inputs"]]
    lines += [f"  population  {p['name']}: {p['size']} {p['kind'].upper()}" for p in populations]
    for p in description["projections"]:
        q = integers[p["name"]]
        where = f"{p['in_features']} -> {populations[p['target']]['name']} ({p['out_features']})"
        where += f" {p['delay_steps']} step later" if p["delay_steps"] else ""
        existing = sum(bin(byte).count("1") for byte in base64.b64decode(p["mask"])) if p["mask"] else q.numel()
        zeros = f"{existing - int((q != 0).sum())} of {existing} weights are 0"
        lines.append(
            f"  projection  {p['name']}: {where}, {p['receptor']} {p['min_weight']}..{p['max_weight']}, {zeros}"
        )
    card = description["model_card"]
    lines += [f"  {key:<11} {value}" for key, value in card.items() if value]
    return "\n".join(lines)


def _open(file: Path, name: Optional[str], example: Example, map_location: Any) -> Tuple[torch.nn.Module, chip.Network]:
    if not file.is_file():
        raise FileNotFoundError(f"load: there is no file '{file}'")
    _require_device(map_location)
    if _program.is_program(_checked_members(file)):
        return _open_program(file, name, example, map_location)
    entries: Dict[str, Any] = dict.fromkeys(_entry_names(file), "")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        try:
            model: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=map_location, _extra_files=entries)
        except Exception as error:
            reason = torch.classes.gradspike.Network.load_sentence(str(error))
            raise ValueError(f"load: '{file}' cannot be loaded: {reason}") from None
    if NETWORK in entries:
        return model, _stored_network(model, file, entries)
    return model, _read_plain(model, file, name, example)


def _require_device(map_location: Any) -> None:
    """Raises for a device that does not exist here; what PyTorch says of it is about deserialising."""
    if not isinstance(map_location, (str, torch.device)):
        return  # a function or a table, which PyTorch takes too
    try:
        device = torch.device(map_location)
    except RuntimeError:
        raise ValueError(f"load: map_location must be a device such as cpu or cuda:0, got '{map_location}'") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"load: map_location '{map_location}' needs a GPU that PyTorch can use, and there are {found}")


def _open_program(
    file: Path, name: Optional[str], example: Example, map_location: Any
) -> Tuple[torch.nn.Module, chip.Network]:
    model, entries = _program.load(file, map_location)
    network = _stored_network(model, file, entries) if NETWORK in entries else _read_plain(model, file, name, example)
    _remember(model, network)
    return model, network


def _open_native(file: Path, name: Optional[str], example: Example, map_location: Any) -> _native_code.NativeModule:
    if not file.is_file():
        raise FileNotFoundError(f"load: there is no file '{file}'")
    members = _checked_members(file)
    if not _native_code.is_in(members):
        raise ValueError(
            f"load: '{file}' holds no native code: gradspike.export writes it with native_code=True; without "
            "allow_native_code the file is read as it is"
        )
    if str(map_location) not in ("cpu", "cpu:0"):
        raise ValueError(f"load: native code runs on the CPU: map_location must be 'cpu', got {map_location!r}")
    program = None
    if _program.is_program_beside(members):
        program = _open(file, name, example, "cpu")[0]
    return _native_code.NativeModule(file, map_location, program)


def _entry_names(file: Path) -> List[str]:
    """Names of the entries that gradspike wrote."""
    members = _checked_members(file)
    if not any(member.endswith("/constants.pkl") for member in members):
        written = "a checkpoint of torch.save" if any(m.endswith("/data.pkl") for m in members) else "a zip archive"
        raise ValueError(
            f"load: '{file}' is {written}, but neither a TorchScript file nor a program of torch.export: "
            "gradspike.save and gradspike.export write them"
        )
    return [member.split("/extra/", 1)[1] for member in members if "/extra/gradspike/" in member]


def _checked_members(file: Path) -> List[str]:
    """Names of all entries. Compares their check sums, which PyTorch does not."""
    with open(file, "rb") as content:
        head = content.read(2)
    if head != b"PK":
        raise ValueError(
            f"load: '{file}' is neither a TorchScript file nor a program of torch.export, as gradspike.save and "
            "gradspike.export write them; chip.load_network opens network files"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        reason = _reading.sentence(error)
        if reason == "File is not a zip file":  # it begins like one
            reason = "the zip archive has no end: the file was cut short"
        raise ValueError(f"load: '{file}' is damaged: {reason}") from None
    except Exception as error:  # headers that make no sense: unknown compression, encryption, offsets, text
        raise ValueError(f"load: '{file}' is damaged: {_reading.sentence(error) or type(error).__name__}") from None
    if damaged is not None:
        raise ValueError(f"load: '{file}' is damaged: entry {damaged!r} does not match its check sum")
    return members


def _read_plain(model: torch.jit.ScriptModule, file: Path, name: Optional[str], example: Example) -> chip.Network:
    try:
        network = chip.read(model, example, name or file.stem)
    except RuntimeError as error:
        raise ValueError(
            f"load: '{file}' was saved without a network description, and reading it again failed: "
            f"{_reading.sentence(error)}"
        ) from None
    _remember(model, network)
    return network


def _stored_network(model: torch.jit.ScriptModule, file: Path, entries: Dict[str, Any]) -> chip.Network:
    """Reads the graph again and compares it with what the archive says; a difference in the integers is a warning."""
    prefix, suffix = INTEGERS.split("{}")
    records = {
        entry[len(prefix) : -len(suffix)]: torch.frombuffer(bytearray(content), dtype=torch.uint8)
        for entry, content in entries.items()
        if entry.startswith(prefix) and content
    }
    try:
        description = bytes(entries[NETWORK]).decode()
        mapping = bytes(entries.get(MAPPING) or b"").decode()
        handle = _reading.call(torch.classes.gradspike.Network.open, model._c, description, mapping, records)
    except (RuntimeError, UnicodeDecodeError) as error:
        reason = _reading.sentence(error)
        of_another_version = " has format version " in reason or "that this version does not know" in reason
        what = "cannot be loaded" if of_another_version else "is damaged"
        raise ValueError(f"load: '{file}' {what}: {reason}") from None
    network = chip.Network(handle)
    for warning in network.warnings:
        warnings.warn(f"'{file}': {warning}", stacklevel=4)
    _remember(model, network)
    return network


def _remember(model: torch.nn.Module, network: chip.Network) -> None:
    options: Dict[str, Any] = json.loads(network._handle.options())
    _reading.remember(model, options)
