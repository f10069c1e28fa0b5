"""Archives: TorchScript files that carry the description, the integers and the mapping of their network."""

import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Union

import torch

from gradspike import _reading, chip

__all__ = ["inspect", "load", "open_network", "save"]

_NETWORK = "gradspike/network.json"
_MAPPING = "gradspike/mapping.json"
_INTEGERS = "gradspike/integers/{}.bin"

_dumps = json.dumps  # `inspect` has an option of this name

PathLike = Union[str, "os.PathLike[str]"]


def save(
    model: chip.Model,
    path: Optional[PathLike] = None,
    *,
    network: Optional[PathLike] = None,
    name: Optional[str] = None,
    example: chip.Example = None,
    projections: Optional[Dict[str, Dict[str, Any]]] = None,
    card: Optional[Dict[str, Any]] = None,
) -> chip.Network:
    """Writes a model as an archive that Python and C++ can run, train on and put on a chip.

    The file is a TorchScript file of CPU tensors with the network's description, its integers and, where the network
    fits a chip, its mapping. It is written whole or not at all.

    Args:
        model: A module, also compiled, wrapped by DDP or scripted, or a function (see `gradspike.chip.read`).
        path: Archive to write, "net.pt".
        network: Network file to write, "net.json": description and integers alone, which run without PyTorch.
        name: Name of the network; default: the stem of the file.
        example: Example input or inputs; needed for functions and for models that can only be traced.
        projections: Wishes by projection, see `gradspike.chip.read`.
        card: Model card: "steps", "encoder", "decoder", "class_names".

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
    stored = _reading.stored_options(model)
    if isinstance(model, torch.nn.Module):
        model = _reading.unwrapped(model)
        _reading.refuse_hooks(model)
    scripted = _reading.scripted(model, example, share_parameters=False)
    options = {**stored, **{key: value for key, value in (("projections", projections), ("card", card)) if value}}
    stem = Path(path if path is not None else network).stem  # type: ignore[arg-type]
    options["name"] = name or stored.get("name") or stem
    handle = torch.classes.gradspike.Network.read(scripted, _reading.example_list(example), json.dumps(options))
    result = chip.Network(handle)
    _write(scripted, result, path, network)
    return result


def _write(
    scripted: torch.jit.ScriptModule, network: chip.Network, path: Optional[PathLike], network_path: Optional[PathLike]
) -> None:
    entries: Dict[str, Any] = {_NETWORK: network._handle.description()}
    for projection, record in network.records().items():
        entries[_INTEGERS.format(projection)] = record
    if network.check().fits:
        entries[_MAPPING] = network._handle.map()
    if path is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
            _replace(path, lambda temporary: torch.jit.save(scripted, temporary, _extra_files=entries))
    if network_path is not None:
        text = network.network_file()
        _replace(network_path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def _replace(path: PathLike, write: Any) -> None:
    """Writes beside the file and renames, so that a failure leaves the old file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(
    path: PathLike, *, name: Optional[str] = None, example: chip.Example = None, map_location: Any = "cpu"
) -> torch.jit.ScriptModule:
    """Opens an archive, registers its network and returns the model, which runs and can be trained on.

    The parameters are the truth: the integers are made again and compared with the stored ones; a difference is a
    warning. A file that plain `torch.jit.save` wrote is read again under `name` (default: the stem of the file), or
    refused where its layers carry no names.

    Args:
        path: The archive.
        name: Name of the network for a file that carries none.
        example: Example input, for a file without a description whose sizes do not follow from its weights.
        map_location: Device of the parameters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no TorchScript file, or holds no network; one sentence says which.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"load: there is no file '{file}'")
    names = _entry_names(file)
    entries: Dict[str, Any] = dict.fromkeys(names, "")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        try:
            model: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=map_location, _extra_files=entries)
        except Exception as error:
            raise ValueError(f"load: '{file}' is damaged or no TorchScript file: {_reading.sentence(error)}") from None
    if _NETWORK not in entries:
        return _read_plain(model, file, name, example)
    _compare(model, file, entries)
    return model


def open_network(path: PathLike) -> chip.Network:
    """Opens an archive or a network file as a `gradspike.chip.Network`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    if zipfile.is_zipfile(path):
        return chip.read(load(path))
    return chip.load_network(Path(path))


def inspect(path: PathLike, *, json: bool = False) -> str:
    """What a saved network holds, as a table, or as JSON: populations, projections, model card, integers."""
    network = open_network(path)
    description = network.description
    integers = network.integers()
    if json:
        summary = {name: {"nonzero": int((q != 0).sum()), "largest": int(q.abs().max())} for name, q in integers.items()}
        return _dumps({"network": description, "integers": summary})
    populations = description["populations"]
    lines = [f"network {network.name}"]
    lines += [f"  input       {entry['name']}: {entry['size']} neurons" for entry in description["inputs"]]
    lines += [f"  population  {p['name']}: {p['size']} {p['kind'].upper()}" for p in populations]
    for p in description["projections"]:
        q = integers[p["name"]]
        lines.append(
            f"  projection  {p['name']}: {p['in_features']} -> {populations[p['target']]['name']} ({p['out_features']}), "
            f"{p['receptor']} {p['min_weight']}..{p['max_weight']}, {int((q == 0).sum())} of {q.numel()} weights are 0"
        )
    card = description["model_card"]
    lines += [f"  {key:<11} {value}" for key, value in card.items() if value]
    return "\n".join(lines)


def _entry_names(file: Path) -> "list[str]":
    """Names of the entries that gradspike wrote."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile:
        raise ValueError(f"load: '{file}' is damaged or no TorchScript file: it is no zip archive") from None
    return [member.split("/extra/", 1)[1] for member in members if "/extra/gradspike/" in member]


def _read_plain(
    model: torch.jit.ScriptModule, file: Path, name: Optional[str], example: chip.Example
) -> torch.jit.ScriptModule:
    try:
        network = chip.read(model, example, name or file.stem)
    except RuntimeError as error:
        raise ValueError(
            f"load: '{file}' was saved without a network description, and reading it again failed: "
            f"{_reading.sentence(error)}"
        ) from None
    _reading.remember(model, {"name": network.name})
    return model


def _compare(model: torch.jit.ScriptModule, file: Path, entries: Dict[str, bytes]) -> None:
    """Reads the graph again and compares it with what the archive says."""
    try:
        stored = json.loads(entries[_NETWORK])
        options = _options_of(stored)
        scripted = _reading.scripted(model)
        handle = torch.classes.gradspike.Network.read(scripted, [], json.dumps(options))
        network = chip.Network(handle)
        if handle.description() != bytes(entries[_NETWORK]).decode():
            raise RuntimeError("gradspike/network.json does not describe the model that stands beside it")
        if _MAPPING in entries:
            handle.set_mapping(bytes(entries[_MAPPING]).decode())
        records = network.records()
        missing = [projection for projection in records if _INTEGERS.format(projection) not in entries]
        if missing:
            raise RuntimeError(f"the integers of projection '{missing[0]}' are missing")
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"load: '{file}' is damaged: {_reading.sentence(error)}") from None
    for projection, record in records.items():
        if bytes(entries[_INTEGERS.format(projection)]) != record:
            warnings.warn(
                f"'{file}': the stored integers of projection '{projection}' are not those of its parameters, which "
                "changed since the file was written; the parameters count",
                stacklevel=3,
            )
    _reading.remember(model, options)


def _options_of(stored: Dict[str, Any]) -> Dict[str, Any]:
    """What reading the graph again needs to know: name, wishes, card, sizes of the inputs."""
    wishes = {}
    for projection in stored["projections"]:
        wish = {key: projection.get(key) for key in ("chip_coordinate", "execution_instance", "plasticity_rule")}
        wishes[projection["name"]] = {key: value for key, value in wish.items() if value}
    return {
        "name": stored["name"],
        "projections": {key: value for key, value in wishes.items() if value},
        "card": stored["model_card"],
        "input_sizes": [entry["size"] for entry in stored["inputs"]],
    }
