"""What is wrong, by road: one sentence that names file, argument or place, and exit code 3 on the command lines."""

import json
import os
import re
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy
import pytest
import torch
from torch import Tensor, nn

import gradspike
from gradspike import __main__ as command
from gradspike import _library, chip
from gradspike.nn import LI, LIF, Synapse, SynapseLIF
from networks import network_model

PROGRAM = _library.find_directory().parent / "bin" / "gradspike-run"
SPIKES = (torch.rand(10, 2, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()

# What only a developer of a library can read: its sources, its exceptions, its addresses.
INTERNALS = re.compile(
    r"json\.exception|enforce fail|miniz|\.(cpp|cc|h):\d|0x[0-9a-f]{6}|eval_with_key|site-packages"
    r"|gradspike/(nn|functional)/|\[Errno|Traceback|torch\.classes|FakeTensor"
)


def model() -> nn.Sequential:
    torch.manual_seed(1)
    return network_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Good files, and every bad one beside them."""
    folder = tmp_path_factory.mktemp("roads")
    gradspike.save(model(), folder / "net.pt", network=folder / "net.json")
    gradspike.export(model(), folder / "net.pt2", example=SPIKES)
    (folder / "in.csv").write_text("step,batch,neuron\n0,0,1\n")
    (folder / "labels.csv").write_text("batch,label\n0,1\n")
    for name, bad in BAD_FILES.items():
        if bad.make is not None:
            bad.make(folder, folder / name)
    return folder


# ---- bad files -------------------------------------------------------------------------------------------------------


class BadFile(NamedTuple):
    make: Any
    words: Tuple[str, ...]
    of_program: Tuple[str, ...] = ()
    """Words of gradspike-run, where they are others."""


def content(data: bytes) -> Callable[[Path, Path], Any]:
    return lambda folder, path: path.write_bytes(data)


def half(source: str) -> Callable[[Path, Path], Any]:
    def make(folder: Path, path: Path) -> None:
        data = (folder / source).read_bytes()
        path.write_bytes(data[: len(data) // 2])

    return make


def entry(source: str, name: str, old: bytes, new: bytes) -> Callable[[Path, Path], Any]:
    """A copy of an archive with one entry changed; its check sums are right."""

    def make(folder: Path, path: Path) -> None:
        changed = 0
        with zipfile.ZipFile(folder / source) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as written:
            for member in read.namelist():
                data = read.read(member)
                if member.endswith(name) and old in data:
                    data, changed = data.replace(old, new), changed + 1
                written.writestr(zipfile.ZipInfo(member), data)
        assert changed

    return make


def without(source: str, name: str) -> Callable[[Path, Path], Any]:
    def make(folder: Path, path: Path) -> None:
        with zipfile.ZipFile(folder / source) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as written:
            for member in read.namelist():
                if not member.endswith(name):
                    written.writestr(zipfile.ZipInfo(member), read.read(member))

    return make


def field(name: str, value: Any) -> Callable[[Path, Path], Any]:
    def make(folder: Path, path: Path) -> None:
        data = json.loads((folder / "net.json").read_text())
        data[name] = value
        path.write_text(json.dumps(data))

    return make


def flipped(folder: Path, path: Path) -> None:
    data = bytearray((folder / "net.pt").read_bytes())
    with zipfile.ZipFile(folder / "net.pt") as archive:
        (weight,) = [info for info in archive.infolist() if info.filename.endswith("/data/0")]
    name, extra = struct.unpack_from("<HH", data, weight.header_offset + 26)
    data[weight.header_offset + 30 + name + extra] ^= 1
    path.write_bytes(data)


def checkpoint(folder: Path, path: Path) -> None:
    torch.save(model().state_dict(), path)


def linear(folder: Path, path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))


def linear_program(folder: Path, path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), str(path))


def array(folder: Path, path: Path) -> None:
    with open(path, "wb") as file:
        numpy.save(file, numpy.zeros((2, 2, 5)))


def written(text: Callable[[], str]) -> Callable[[Path, Path], Any]:
    return lambda folder, path: path.write_text(text())


NEITHER = ("is neither a TorchScript",)
VERSION = ("has format version", "this library reads version 1")
CALLS = ("in a way that this library does not know: it is of another version of gradspike",)
UNDESCRIBED = ("was saved without a network description", "nothing to put on a chip")

BAD_FILES = {
    "missing.pt": BadFile(None, ("there is no file",), ("cannot open",)),
    "missing.json": BadFile(None, ("there is no file",), ("cannot open",)),
    "folder.pt": BadFile(lambda folder, path: path.mkdir(), ("there is no file",), ("cannot read",)),
    "empty.pt": BadFile(content(b""), NEITHER),
    "picture.pt": BadFile(content(b"\x89PNG\r\n\x1a\n" + bytes(50)), NEITHER),
    "array.npy": BadFile(array, NEITHER),
    "graph.pt": BadFile(content(b"\x89HDF\r\n\x1a\n" + bytes(100)), (), NEITHER),
    "list.json": BadFile(content(b"[]"), NEITHER),
    "cut.pt": BadFile(half("net.pt"), ("the zip archive has no end: the file was cut short",)),
    "cut.pt2": BadFile(half("net.pt2"), ("the zip archive has no end: the file was cut short",)),
    "cut.json": BadFile(half("net.json"), ("is no JSON: parse error at line 1", "unexpected end of input")),
    "flipped.pt": BadFile(flipped, ("does not match its check sum",)),
    "checkpoint.pt": BadFile(checkpoint, ("a checkpoint of torch.save", "gradspike.save"), ("neither a TorchScript",)),
    "linear.pt": BadFile(linear, UNDESCRIBED, ("has no gradspike/network.json", "gradspike.save")),
    "linear.pt2": BadFile(linear_program, UNDESCRIBED, ("has no gradspike/network.json", "gradspike.export")),
    "newer_torch.pt": BadFile(
        entry("net.pt", "archive/version", b"5", b"999"), ("version 999 of the files of PyTorch", torch.__version__[:4])
    ),
    "newer_torch.pt2": BadFile(
        entry("net.pt2", "model.json", b'"schema_version": {"major": 8', b'"schema_version": {"major": 99'),
        ("version 99 of the schema of torch.export", "reads version 8", "export the model again"),
    ),
    "newer_operator.pt": BadFile(entry("net.pt", ".py", b"gradspike.lif(", b"gradspike.lif9("), ("lif9", *CALLS)),
    "newer_argument.pt": BadFile(
        entry("net.pt", ".py", b"gradspike.graded_spikes(", b"gradspike.graded_spikes(slope=1.0, "),
        ("gradspike::graded_spikes", *CALLS),
    ),
    "newer_operator.pt2": BadFile(
        entry("net.pt2", "model.json", b"gradspike.lif.default", b"gradspike.lif9.default"),
        ("the operator gradspike::lif9 is not registered",),
    ),
    "no_program.pt2": BadFile(without("net.pt2", "model.json"), ("it holds native code and no program",)),
    "newer.pt": BadFile(entry("net.pt", "network.json", b'"version":1}', b'"version":9}'), ("version 9", *VERSION)),
    "older.pt": BadFile(entry("net.pt", "network.json", b'"version":1}', b'"version":0}'), ("version 0", *VERSION)),
    "newer.pt2": BadFile(entry("net.pt2", "network.json", b'"version":1}', b'"version":9}'), ("version 9", *VERSION)),
    "newer_mapping.pt": BadFile(
        entry("net.pt", "mapping.json", b'"version":1}', b'"version":9}'), ("mapping has format version 9",)
    ),
    "no_base64.pt2": BadFile(
        lambda folder, path: entry("net.pt2", "in.bin.base64", b"R1NX", b"*")(folder, path), ("in.bin",)
    ),
    "no_integers.pt": BadFile(without("net.pt", "out.bin"), ("integers of projection 'out' are missing",)),
    "newer.json": BadFile(field("version", 9), ("version 9", *VERSION)),
    "older.json": BadFile(field("version", 0), ("version 0", *VERSION)),
    "text_version.json": BadFile(field("version", "1"), ("version must be an integer, got string",)),
    "mapping.json": BadFile(written(lambda: chip.map(model()).to_json()), ('no file of format "gradspike.network"',)),
    "report.json": BadFile(written(lambda: chip.check(model()).to_json()), ('no file of format "gradspike.network"',)),
}


def require_sentence(text: str, *words: str) -> None:
    assert text and "\n" not in text, text
    found = INTERNALS.search(text)
    assert found is None, (found, text)
    assert text.isprintable(), text
    for word in words:
        assert word in text, (word, text)


def run_command(capsys: Any, *arguments: Any) -> str:
    """The line of an exit code of 3."""
    try:
        code = command.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 3, (code, error)
    assert error.startswith("gradspike: ") and error.count("\n") == 1, error
    return error[:-1]


def run_program(*arguments: Any) -> str:
    if not PROGRAM.is_file():
        pytest.skip(f"there is no program {PROGRAM}")
    line = [str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, timeout=120, check=False)
    error = done.stderr.decode()
    assert done.returncode == 3, (done.returncode, error)
    assert error.startswith("gradspike-run: ") and error.count("\n") == 1, error
    return error[:-1]


FILE_ROADS: Dict[str, Callable[..., Any]] = {
    "load": lambda path, folder: gradspike.load(path),
    "open_network": lambda path, folder: gradspike.open_network(path),
    "inspect": lambda path, folder: gradspike.inspect(path),
    "load_network": lambda path, folder: chip.load_network(path),
}
COMMANDS = {
    "inspect": ("inspect", "{path}", "--json"),
    "check": ("check", "{path}"),
    "map": ("map", "{path}"),
    "run": ("run", "{path}", "--spikes", "{folder}/in.csv"),
    "deploy": ("deploy", "{path}", "--spikes", "{folder}/in.csv"),
}


@pytest.mark.parametrize("road", FILE_ROADS)
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_in_python(folder, name, road):
    path, before = folder / name, chip.registered()
    with pytest.raises((ValueError, RuntimeError, OSError)) as caught:
        FILE_ROADS[road](path, folder)
    if isinstance(caught.value, OSError) and caught.value.errno is not None:  # of open(), with the name of the file
        assert caught.value.filename == str(path) and not path.is_file()
        return
    of_network_files = road in ("open_network", "inspect") or (road == "load_network" and path.suffix == ".json")
    words = BAD_FILES[name].words if of_network_files or (zipfile.is_zipfile(path) and road == "load") else ()
    require_sentence(str(caught.value), name, *words)
    assert chip.registered() == before


@pytest.mark.parametrize("road", COMMANDS)
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_of_the_command(folder, capsys, name, road):
    arguments = [argument.format(path=folder / name, folder=folder) for argument in COMMANDS[road]]
    require_sentence(run_command(capsys, *arguments), name, *BAD_FILES[name].words)


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_of_the_program(folder, name):
    require_sentence(run_program(folder / name, "--list"), name, *(BAD_FILES[name].of_program or BAD_FILES[name].words))


# ---- bad models ------------------------------------------------------------------------------------------------------


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.hidden = Synapse(5, 8, name="a", scale=16.0), LIF(8, name="hidden")
        self.b, self.readout = Synapse(8, 3, name="b", scale=16.0), LI(3, name="readout")


class Relu(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.b(torch.relu(self.hidden(self.a(x)))))


class Bias(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.b(self.hidden(self.a(x) + 1.0)))


class Loop(Layers):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x.sum())):
            x = self.hidden(self.a(x))
        return x


def changed(change: Callable[[nn.Sequential], Any]) -> Callable[[], nn.Sequential]:
    def make() -> nn.Sequential:
        result = model()
        change(result)
        return result

    return make


def spy(*args: Any) -> None:
    """A hook."""


HERE = "test_refusals_of_every_road.py:"

BAD_MODELS: Dict[str, Tuple[Callable[[], Any], Tuple[str, ...]]] = {
    "text": (lambda: "net.pt", ("a model must be a torch.nn.Module", "str")),
    "class": (lambda: LIF, ("a model must be a torch.nn.Module", "the class LIF")),
    "operation": (Relu, ("aten::relu in", HERE, "lies between projections and populations")),
    "operation of a container": (
        lambda: nn.Sequential(Synapse(5, 8, name="a"), LIF(8), nn.ReLU(), Synapse(8, 3, name="b"), LI(3)),
        ("aten::relu in module '2'", "lies between"),
    ),
    "operation of a compiled model": (lambda: torch.compile(Relu()), ("aten::relu in", HERE)),
    "normalisation": (
        lambda: nn.Sequential(Synapse(5, 8, name="a"), nn.BatchNorm1d(8), LIF(8)),
        ("aten::batch_norm in module '1'", "lies between"),
    ),
    "bias": (Bias, ("aten::add in", HERE, "adds a constant to a signal")),
    "loop": (Loop, (HERE, "inside a loop or an `if`")),
    "no operator": (lambda: nn.Linear(5, 3), ("no gradspike operator", "nothing to put on a chip")),
    "no neurons": (lambda: nn.Sequential(Synapse(5, 8)), ("no neurons", "nothing to put on a chip")),
    "no projection": (lambda: nn.Sequential(LIF(5)), ("population '0'", "without a projection")),
    "two projections of one name": (
        lambda: nn.Sequential(Synapse(5, 8, name="in"), LIF(8), Synapse(8, 3, name="in"), LI(3)),
        ("module '2'", "the name 'in' is given to two projections"),
    ),
    "two populations of one name": (
        lambda: nn.Sequential(Synapse(5, 8, name="a"), LIF(8, name="x"), Synapse(8, 3, name="b"), LI(3, name="x")),
        ("module '3'", "the name 'x' is given to two populations"),
    ),
    "name with a slash": (lambda: nn.Sequential(Synapse(5, 8, name="a/b"), LIF(8)), ("'a/b'", "without '/'")),
    "two time steps": (
        lambda: nn.Sequential(Synapse(5, 8, name="a"), LIF(8), Synapse(8, 3, name="b"), LIF(3, dt=2e-6)),
        ("population '3' has dt 2e-06", "1e-06"),
    ),
    "spikes as bytes": (
        lambda: nn.Sequential(SynapseLIF(5, 8, name="a", spike_format="uint8"), Synapse(8, 3, name="b"), LI(3)),
        ("gradspike::synapse_lif in module '0'", "spike_format must be 'float'", "'uint8'"),
    ),
    "float64": (changed(lambda m: m.double()), ("projection 'in'", "float64", "float32")),
    "NaN": (changed(lambda m: m[0].weight.data[1, 2].fill_(float("nan"))), ("projection 'in'", "weight[1, 2] is NaN")),
    "meta device": (changed(lambda m: m.to("meta")), ("weight", "meta device")),
    "hook": (changed(lambda m: m[1].register_forward_hook(spy)), ("module '1' has the hook spy", "remove it first")),
}

MODEL_ROADS: Dict[str, Callable[[Any, Path], Any]] = {
    "read": lambda bad, folder: chip.read(bad),
    "check": lambda bad, folder: chip.check(bad),
    "map": lambda bad, folder: chip.map(bad),
    "deploy": lambda bad, folder: chip.deploy(bad)(SPIKES),
    "report": lambda bad, folder: chip.report(bad, SPIKES),
    "save": lambda bad, folder: gradspike.save(bad, folder / "bad.pt"),
    "export": lambda bad, folder: gradspike.export(bad, folder / "bad.pt2", example=SPIKES),
}
# The wiring can be read without values.
READABLE = {
    "NaN": ("read", "check", "map"),
    "meta device": ("read", "map"),
}


@pytest.mark.parametrize("road", MODEL_ROADS)
@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_model(tmp_path, name, road):
    make, words = BAD_MODELS[name]
    if road in READABLE.get(name, ()):
        MODEL_ROADS[road](make(), tmp_path)
        return
    chip.clear("network")
    with pytest.raises((ValueError, RuntimeError, TypeError)) as caught:
        MODEL_ROADS[road](make(), tmp_path)
    require_sentence(str(caught.value), *words)
    assert os.listdir(tmp_path) == []


# ---- bad arguments ---------------------------------------------------------------------------------------------------

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def stale(folder: Path) -> Any:
    """A model whose keys are those of one that is registered takes its place: the older handle says so."""
    older = gradspike.open_network(folder / "net.pt")
    gradspike.open_network(folder / "net.pt2")
    return older.deploy()


ARGUMENTS = {
    "load, GPU that is not there": (
        lambda f: gradspike.load(f / "net.pt", map_location="cuda:99"),
        ("map_location 'cuda:99'", "needs a GPU"),
    ),
    "load pt2, GPU that is not there": (
        lambda f: gradspike.load(f / "net.pt2", map_location="cuda:99"),
        ("map_location 'cuda:99'", "needs a GPU"),
    ),
    "load, no device": (
        lambda f: gradspike.load(f / "net.pt", map_location="gpu"),
        ("map_location must be a device", "'gpu'"),
    ),
    "run_model, no device": (
        lambda f: gradspike.open_network(f / "net.pt").run_model(SPIKES, device="gpu"),
        ("a device must be cpu, cuda", "'gpu'"),
    ),
    "run_model, other device": (
        lambda f: gradspike.open_network(f / "net.pt").run_model(SPIKES.to("meta")),
        ("spikes and weight must be on one device", "meta and cpu"),
    ),
    "deployed, other device": (lambda f: chip.deploy(model())(SPIKES.to("meta")), ("input0", "dense tensor", "Meta")),
    "deployed, other size": (lambda f: chip.deploy(model())(SPIKES[:, :, :3]), ("input0", "5", "[10, 2, 3]")),
    "deployed, no tensor": (lambda f: chip.deploy(model())([1.0]), ("tensor", "list")),
    "module, other size": (lambda f: model()(SPIKES[:, :, :3]), ("last dimension of spikes", "5", "3")),
    "module, other device": (lambda f: model()(SPIKES.to("meta")), ("on one device", "meta and cpu")),
    "module, other type": (lambda f: model()(SPIKES.long()), ("spikes must be float32", "Long")),
    "deploy, backend": (lambda f: chip.deploy(model(), target="chip7"), ('no backend "chip7"', "emulator")),
    "check, backend": (lambda f: chip.check(model(), target="chip7"), ('no backend "chip7"', "emulator")),
    "in the loop, backend": (lambda f: chip.in_the_loop(model(), target="chip7")(SPIKES), ('no backend "chip7"',)),
    "scales, backend": (lambda f: chip.measure_scales(model(), target="chip7"), ('no backend "chip7"',)),
    "deploy, program": (lambda f: chip.deploy(model(), target="process:/no/such"), ("cannot be started", "/no/such")),
    "deploy, library": (lambda f: chip.deploy(model(), target="library:/no/x.so"), ("cannot be loaded", "/no/x.so")),
    "attach, native": (lambda f: chip.attach("native", "true"), ('must not be "native"', "built in")),
    "attach, built in": (lambda f: chip.attach("emulator", "true"), ('must not be "emulator"', "built in")),
    "deploy, preset": (lambda f: chip.deploy(model(), preset="magic"), ('no preset "magic"', "ideal")),
    "deploy, constant": (
        lambda f: chip.deploy(model(), preset="calibrated", constants={"cadc": 1.0}),
        ('no constant "cadc"', "nearest"),
    ),
    "deploy, value of a constant": (
        lambda f: chip.deploy(model(), preset="calibrated", constants={"cadc_noise": "much"}),
        ("constant 'cadc_noise' must be a number", "'much'"),
    ),
    "deploy, seed": (lambda f: chip.deploy(model(), seed=2**70), ("seed must have 64 bits",)),
    "check, chips": (lambda f: chip.check(model(), chips=0), ("chips must be at least 1", "0")),
    "report, seeds": (lambda f: chip.report(model(), SPIKES, None, 0), ("seeds must be at least 1", "0")),
    "report, labels": (lambda f: chip.report(model(), SPIKES, torch.zeros(3)), ("labels must be integers", "[2]")),
    "report, no labels": (lambda f: chip.report(model(), SPIKES, "x"), ("labels must be a tensor", "str")),
    "report, earlier one": (lambda f: chip.check(model()).since(f / "net.json"), ("earlier report must be JSON",)),
    "read, example": (lambda f: chip.read(model(), 5), ("example must be a tensor", "int")),
    "read, projection": (lambda f: chip.read(model(), projections={"inn": {}}), ("no projection 'inn'", '"in"')),
    "read, wish": (lambda f: chip.read(model(), projections={"in": {"hue": 1}}), ("no option 'hue'", "receptor")),
    "export, no example": (lambda f: gradspike.export(model(), f / "o.pt2"), ("example input is needed",)),
    "export, example": (
        lambda f: gradspike.export(model(), f / "o.pt2", example=torch.zeros(4, 2, 7)),
        ("last dimension of spikes", "5", "7"),
    ),
    "export, scripted": (
        lambda f: gradspike.export(torch.jit.script(model()), f / "o.pt2", example=SPIKES),
        ("scripted module cannot be exported",),
    ),
    "save, nowhere": (lambda f: gradspike.save(model()), ("path or network must be given",)),
    "registered keys": (stale, ("network 'net' was read again", "use the newer handle")),
    "key": (lambda f: (gradspike.load(f / "net.pt"), chip.projection("net/inn")), ('"net/inn"', '"net/in"')),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_argument_in_python(folder, name):
    call, words = ARGUMENTS[name]
    with pytest.raises((ValueError, RuntimeError, TypeError)) as caught:
        call(folder)
    require_sentence(str(caught.value), *words)


def test_a_compiled_model_says_what_the_operator_says():
    """The error is PyTorch's own, of several lines; the operator's sentence is one of its parts."""
    with pytest.raises(RuntimeError, match="the last dimension of spikes must equal in_features of weight, 5, got 3"):
        torch.compile(model(), fullgraph=True, backend="eager")(SPIKES[:, :, :3])


COMMAND_ARGUMENTS = {
    "no command": ((), ("COMMAND",)),
    "command": (("fly",), ("fly", "inspect")),
    "no file": (("inspect",), ("file",)),
    "option": (("check", "{net}", "--nonsense"), ("--nonsense",)),
    "no spikes": (("run", "{net}"), ("--spikes",)),
    "spikes twice": (("run", "{net}", *["--spikes", "{csv}"] * 2), ("--spikes must be given once per input", "2")),
    "spikes that are no CSV": (("run", "{net}", "--spikes", "{net}"), ("net.pt", "header must be step,batch,neuron")),
    "spikes in a folder": (("run", "{net}", "--spikes", "{folder}"), ("Is a directory",)),
    "backend": (("run", "{net}", "--spikes", "{csv}", "--target", "chip7"), ('"chip7"', "emulator")),
    "backend of a check": (("check", "{net}", "--target", "chip7"), ('"chip7"', "emulator")),
    "preset": (("run", "{net}", "--spikes", "{csv}", "--preset", "magic"), ('"magic"', "ideal")),
    "constant": (("run", "{net}", "--spikes", "{csv}", "--constant", "cadc"), ("--constant", "NAME=VALUE", "'cadc'")),
    "seed": (("run", "{net}", "--spikes", "{csv}", "--seed", "x"), ("--seed", "'x'")),
    "chips": (("check", "{net}", "--chips", "x"), ("--chips", "whole number", "'x'")),
    "no chip": (("check", "{net}", "--chips", "0"), ("--chips", "whole number from 1", "'0'")),
    "earlier report": (("check", "{net}", "--since", "{folder}/net.json"), ("--since", "net.json", "gradspike.report")),
    "no earlier report": (("check", "{net}", "--since", "{folder}/none.json"), ("none.json", "No such file")),
    "page": (("check", "{net}", "--html", "{folder}/no/x.html"), ("no/x.html", "No such file")),
    "mapping": (("map", "{net}", "--output", "{folder}/no/x.json"), ("no/x.json", "No such file")),
    "output": (("run", "{net}", "--spikes", "{csv}", "--output", "{folder}/no/x"), ("no/x", "No such file")),
    "labels": (("deploy", "{net}", "--spikes", "{csv}", "--labels", "{csv}"), ("in.csv", "header must be batch,label")),
    "seeds": (("deploy", "{net}", "--spikes", "{csv}", "--seeds", "0"), ("--seeds must be at least 1", "0")),
    "time step": (("inspect", "{net}", "--dt", "1e-6"), ("--dt", "net.pt", "NIR")),
}


@pytest.mark.parametrize("name", COMMAND_ARGUMENTS)
def test_bad_argument_of_the_command(folder, capsys, name):
    arguments, words = COMMAND_ARGUMENTS[name]
    places = {"net": folder / "net.pt", "csv": folder / "in.csv", "folder": folder}
    require_sentence(run_command(capsys, *(a.format(**places) for a in arguments)), *words)


@NO_GPU
def test_missing_gpu_of_the_command_and_the_program(folder, capsys):
    arguments = (folder / "net.pt", "--spikes", folder / "in.csv", "--target", "cuda")
    words = ("target 'cuda' needs a GPU that PyTorch can use",)
    require_sentence(run_command(capsys, "run", *arguments), *words)
    require_sentence(run_program(*arguments), *words)
    with pytest.raises(RuntimeError) as caught:
        gradspike.open_network(folder / "net.pt").run_model(SPIKES, device="cuda")
    require_sentence(str(caught.value), *words)


PROGRAM_ARGUMENTS = {
    "no file": ((), ("network is required",)),
    "nothing to do": (("{net}",), ("nothing to do", "--spikes")),
    "option": (("{net}", "--nonsense"), ("--nonsense",)),
    "spikes that are no CSV": (("{net}", "--spikes", "{net}"), ("net.pt", "header must be step,batch,neuron")),
    "seed": (("{net}", "--spikes", "{csv}", "--seed", "x"), ("--seed", "x")),
    "backend": (("{net}", "--spikes", "{csv}", "--target", "chip7"), ('"chip7"', "emulator")),
    "backend of a comparison": (("{net}", "--spikes", "{csv}", "--verify", "cpu,chip7"), ('"chip7"', "emulator")),
    "model of a network file": (("{folder}/net.json", "--spikes", "{csv}", "--target", "cuda"), ("needs the saved",)),
    "mapping": (("{net}", "--map", "{folder}/no/x.json"), ("cannot write", "no/x.json")),
}


@pytest.mark.parametrize("name", PROGRAM_ARGUMENTS)
def test_bad_argument_of_the_program(folder, name):
    arguments, words = PROGRAM_ARGUMENTS[name]
    places = {"net": folder / "net.pt", "csv": folder / "in.csv", "folder": folder}
    require_sentence(run_program(*(a.format(**places) for a in arguments)), *words)
