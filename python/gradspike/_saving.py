"""Writing of models as archives (TorchScript) and programs (torch.export) that carry their network."""

import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import torch

from gradspike import _native_code, _program, _reading, chip
from gradspike._archive import INTEGERS, MAPPING, NETWORK, PathLike
from gradspike.chip._verbs import Example, Model

__all__ = ["export", "save"]


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
    entries: Dict[str, Any] = {NETWORK: network._handle.description()}
    for projection, record in network.records().items():
        entries[INTEGERS.format(projection)] = record
    if network._mapping_text:
        entries[MAPPING] = network._mapping_text
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
