"""Archives: TorchScript files that carry the description, the integers and the mapping of their network."""

import base64
import io
import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch

from gradspike import _native_code, _program, _reading, chip
from gradspike.chip._verbs import Example, Model

__all__ = ["export", "inspect", "load", "open_network", "save"]

_NETWORK = "gradspike/network.json"
_MAPPING = "gradspike/mapping.json"
_INTEGERS = "gradspike/integers/{}.bin"

_HDF5 = b"\x89HDF\r\n\x1a\n"

_dumps = json.dumps  # `inspect` has an option of this name

PathLike = Union[str, "os.PathLike[str]"]


def save(
    model: Model,
    path: Optional[PathLike] = None,
    *,
    network: Optional[PathLike] = None,
    name: Optional[str] = None,
    example: Example = None,
    projections: Optional[Dict[str, Dict[str, Any]]] = None,
    card: Optional[Dict[str, Any]] = None,
    inputs: Optional[Dict[str, Dict[str, Any]]] = None,
    neuron_permutation: Optional[Sequence[int]] = None,
) -> chip.Network:
    """Writes a model as an archive that Python and C++ can run, train on and put on a chip.

    The file is a TorchScript file of CPU tensors with the network's description, its integers and, where the network
    fits a chip or several execution instances, its mapping. It is written whole or not at all.

    Args:
        model: A module, also compiled, wrapped by DDP or scripted, an `Experiment`, or a function (see
            `gradspike.chip.read`).
        path: Archive to write, "net.pt".
        network: Network file to write, "net.json": description and integers alone, which run without PyTorch.
        name: Name of the network; default: the stored name of a loaded model, else the stem of the file.
        example: Example input or inputs; needed for functions and for models that can only be traced.
        projections: Wishes by projection, see `gradspike.chip.read`.
        card: Model card: "steps", "encoder", "decoder", "class_names".
        inputs: Wishes by input, see `gradspike.chip.read`.
        neuron_permutation: See `gradspike.chip.read`.

    Returns:
        The network of the saved file.

    Raises:
        ValueError: neither path nor network is given, or the model has hooks, which a saved graph would lose.
        RuntimeError: the model cannot be read, or a weight is NaN.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
        >>> network = gradspike.save(model, getfixture("tmp_path") / "net.pt")
        >>> network.name
        'net'
    """
    if path is None and network is None:
        raise ValueError("save: path or network must be given")
    model, example = _reading.plain(model, example)
    stored = _reading.stored_options(model)
    if isinstance(model, chip.Network):
        raise TypeError("save: model must be the module or function itself, got a Network")
    if isinstance(model, torch.nn.Module):
        model = _reading.unwrapped(model)
        _reading.refuse_hooks(model)
    scripted = _reading.scripted(model, example, share_parameters=False)
    options = {**stored, **_wishes(projections, card, inputs, neuron_permutation)}
    stem = Path(path if path is not None else network).stem  # type: ignore[arg-type]
    options["name"] = name or stored.get("name") or stem
    result = chip.Network(_reading.read_handle(scripted, example, _reading.with_plasticity(model, options)))
    _write(scripted, result, path, network)
    return result


def _wishes(
    projections: Optional[Dict[str, Dict[str, Any]]],
    card: Optional[Dict[str, Any]],
    inputs: Optional[Dict[str, Dict[str, Any]]],
    neuron_permutation: Optional[Sequence[int]],
) -> Dict[str, Any]:
    """Those that were given, as options of reading."""
    permutation = None if neuron_permutation is None else [int(circuit) for circuit in neuron_permutation]
    wishes = {"projections": projections, "card": card, "inputs": inputs, "neuron_permutation": permutation}
    return {key: value for key, value in wishes.items() if value is not None}


def export(
    model: Any,
    path: PathLike,
    *,
    example: Example = None,
    name: Optional[str] = None,
    projections: Optional[Dict[str, Dict[str, Any]]] = None,
    card: Optional[Dict[str, Any]] = None,
    inputs: Optional[Dict[str, Dict[str, Any]]] = None,
    neuron_permutation: Optional[Sequence[int]] = None,
    native_code: bool = False,
) -> chip.Network:
    """Writes a model as a program of `torch.export`, a `.pt2` file, with what an archive of `save` carries.

    Numbers of time steps and of batch entries are free. `load`, `open_network` and `inspect` take either kind of file.

    Args:
        model: A module, also compiled or wrapped by DDP, an `Experiment`, or a function (see `gradspike.chip.read`);
            not scripted.
        path: File to write, "net.pt2".
        example: Example input or inputs `[time, batch, neuron]`.
        name: Name of the network; default: the stem of the file.
        projections: Wishes by projection, see `gradspike.chip.read`.
        card: Model card, see `gradspike.chip.read`.
        inputs: Wishes by input, see `gradspike.chip.read`.
        neuron_permutation: Order of the circuits, see `gradspike.chip.read`.
        native_code: Compiles the program for the CPU with AOTInductor, too, and puts the native code beside it. It runs
            where `load(..., allow_native_code=True)` says so, on processors that have the instructions of this one;
            everywhere else the file is read as one without it. Takes a C++ compiler, and tens of seconds the first
            time. Default: False.

    Returns:
        The network of the saved file.

    Raises:
        ValueError: there is no example, or the model has hooks, which a saved program would lose, or native_code is
            neither True nor False.
        RuntimeError: `torch.export` cannot follow the model, or it cannot be read, or a weight is NaN, or the native
            code cannot be compiled.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
        >>> network = gradspike.export(model, getfixture("tmp_path") / "net.pt2", example=torch.zeros(38, 2, 5))
        >>> network.name
        'net'
    """
    _native_code.require_choice(native_code)
    model, example = _reading.plain(model, example)
    if isinstance(model, torch.nn.Module):
        _reading.refuse_hooks(_reading.unwrapped(model))
    stored = _reading.stored_options(model)
    options = {
        **stored,
        **_wishes(projections, card, inputs, neuron_permutation),
        "name": name or stored.get("name") or Path(path).stem,
    }
    options = _reading.with_plasticity(model, options)
    try:
        program = _program.exported(model, example)
        on_cpu = _reading.example_list(example, "cpu")  # where the program is
        network = chip.Network(_reading.read_handle(_reading.scripted(program, on_cpu), on_cpu, options))
    except RuntimeError:
        _refuse_by_place(model, _reading.example_list(example, "cpu"), options)
        raise
    compiled = _native_code.Package(program) if native_code else None
    _replace(path, _program.write(program, _entries(network), compiled))
    try:
        _program.as_module(Path(path))
    except RuntimeError as error:
        warnings.warn(
            f"export: '{path}' holds what gradspike.load and the C++ program do not run, torch.export.load does: "
            f"{_reading.sentence(error)}",
            stacklevel=2,
        )
    return network


def _refuse_by_place(model: Any, example: Example, options: Dict[str, Any]) -> None:
    """Raises where the model itself cannot be read, by the place in its source, which its program does not know."""
    options = {**options, "name": f"{options['name']} to export"}
    try:
        _reading.read_handle(_reading.scripted(model, example, share_parameters=False), example, options)
    finally:
        chip.clear(options["name"])


def _entries(network: chip.Network) -> Dict[str, Any]:
    """What a file says about its network: description, integers and, where it fits, mapping."""
    entries: Dict[str, Any] = {_NETWORK: network._handle.description()}
    for projection, record in network.records().items():
        entries[_INTEGERS.format(projection)] = record
    if network._mapping_text:
        entries[_MAPPING] = network._mapping_text
    return entries


def _write(
    scripted: torch.jit.ScriptModule, network: chip.Network, path: Optional[PathLike], network_path: Optional[PathLike]
) -> None:
    if path is not None:
        entries = _entries(network)
        content = io.BytesIO()  # a file would put its temporary name into the archive
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
            torch.jit.save(scripted, content, _extra_files=entries)
        _replace(path, _without_source_ranges(content.getvalue()))
    if network_path is not None:
        _replace(network_path, network.network_file().encode())


def _without_source_ranges(archive: bytes) -> bytes:
    """The archive without the tables that map its code to the files it was scripted from.

    They hold absolute paths of the machine that saved the file, and make two savings of one model differ.
    """
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return result.getvalue()


def _replace(path: PathLike, content: bytes) -> None:
    """Writes beside the file and renames, so that a failure leaves the old file and readers never see half of one."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, target.stat().st_mode & 0o777 if target.is_file() else 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
        map_location: Device of the parameters, and of native code.
        allow_native_code: Returns a module that runs the native code of a file that `export(..., native_code=True)`
            wrote, forward alone. Native code runs with all rights of the user: allow it only for files whose origin
            you trust. Without it, nothing of the native code is extracted, loaded or run, and the program beside it is
            returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is neither a TorchScript file nor a program, or holds no network; or native
            code is allowed and the file has none, or none that runs here. One sentence says which.
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
    if _NETWORK in entries:
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
    network = _stored_network(model, file, entries) if _NETWORK in entries else _read_plain(model, file, name, example)
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
    prefix, suffix = _INTEGERS.split("{}")
    records = {
        entry[len(prefix) : -len(suffix)]: torch.frombuffer(bytearray(content), dtype=torch.uint8)
        for entry, content in entries.items()
        if entry.startswith(prefix) and content
    }
    try:
        description = bytes(entries[_NETWORK]).decode()
        mapping = bytes(entries.get(_MAPPING) or b"").decode()
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
