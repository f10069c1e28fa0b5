"""Damaged and foreign files, wrong inputs and targets: a sentence, never a crash, and nothing half registered."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import List

import pytest
import torch
from torch import nn

import gradspike
from gradspike import _library, chip
from gradspike.nn import LIF, Synapse
from networks import network_model

SPIKES = (torch.rand(10, 2, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()
PROGRAM = _library.find_directory().parent / "bin" / "gradspike-run"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("saved")
    gradspike.save(network_model(), folder / "net.pt", network=folder / "net.json")
    return folder


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert text and "\n" not in text, text
    assert "Traceback" not in text and "Exception raised from" not in text, text
    return text


def run_list(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(PROGRAM), str(path), "--list"], capture_output=True, timeout=120, check=False)


def require_refused(path: Path, *words: str, in_program: bool = True) -> None:
    """Refused by Python and by the program with one sentence, and the registry stays as it was."""
    before = chip.registered()
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError)) as caught:
        gradspike.open_network(path)
    text = one_sentence(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert chip.registered() == before
    if in_program and PROGRAM.is_file():
        done = run_list(path)
        stderr = done.stderr.decode(errors="replace")
        assert done.returncode == 3 and len(stderr.strip().splitlines()) == 1, stderr
        assert path.name in stderr


# ---- files that are no archives --------------------------------------------------------------------------------------


def zip_bytes(members: dict) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def torch_bytes(save, *args) -> bytes:
    content = io.BytesIO()
    save(*args, content)
    return content.getvalue()


FOREIGN = {
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(50),
    "pickle": pickle.dumps({"weight": [1.0]}),
    "empty": b"",
    "blank": b" \n \n",
    "text": b"step,batch,neuron\n0,0,0\n",
    "zip": zip_bytes({"readme.txt": b"hello"}),
    "zip without members": zip_bytes({}),
    "zip head alone": b"PK\x03\x04",
    "json list": b"[1, 2]",
    "json of another format": b'{"format": "nir", "version": 1}',
    "deep json": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "checkpoint": torch_bytes(torch.save, {"weight": torch.ones(2)}),
    "script without networks": torch_bytes(torch.jit.save, torch.jit.script(nn.Linear(2, 2))),
}


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_foreign_file(tmp_path, name):
    path = tmp_path / "foreign.pt"
    path.write_bytes(FOREIGN[name])
    require_refused(path)
    if not name.startswith(("json", "deep")):  # load is for archives and says so of anything else
        with pytest.raises(ValueError, match=r"foreign\.pt") as caught:
            gradspike.load(path)
        one_sentence(caught.value)


def test_exported_program_without_a_network(tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), str(path))
    require_refused(path, "without")


def test_archive_of_several_disks(tmp_path):
    """A flipped byte in the end record says so, which Python's zipfile reports in a way of its own."""
    # PyTorch writes the record of large archives, which has a number of disks; gradspike.save leaves it out
    content = bytearray(torch_bytes(torch.jit.save, torch.jit.script(network_model())))
    locator = content.rfind(b"PK\x06\x07")
    assert locator > 0
    content[locator + 16] = 2  # number of disks
    (tmp_path / "disks.pt").write_bytes(content)
    require_refused(tmp_path / "disks.pt", in_program=False)


def test_missing_file_and_directory(tmp_path):
    require_refused(tmp_path / "missing.pt")
    (tmp_path / "folder.pt").mkdir()
    require_refused(tmp_path / "folder.pt")
    with pytest.raises(FileNotFoundError):
        gradspike.load(tmp_path / "missing.pt")
    with pytest.raises((FileNotFoundError, RuntimeError)):
        chip.load_network(tmp_path / "missing.json")


def test_unnamed_layers_of_plain_jit_save_are_refused_by_name(tmp_path):
    torch.jit.save(torch.jit.script(nn.Sequential(Synapse(5, 8), LIF(8))), str(tmp_path / "plain.pt"))
    with pytest.raises(ValueError, match=r"plain\.pt.*without a network description.*graded_spikes.*no name") as caught:
        gradspike.load(tmp_path / "plain.pt")
    one_sentence(caught.value)


# ---- archives whose entries were changed -----------------------------------------------------------------------------


def rewritten(source: Path, target: Path, change) -> Path:
    """A copy of an archive with the entries below extra/gradspike/ passed through `change`, check sums right."""
    extra = {}
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if "/extra/gradspike/" in name:
                extra[name.split("/extra/", 1)[1]] = archive.read(name)
    model = torch.jit.load(str(source))
    torch.jit.save(model, str(target), _extra_files=change(extra))
    return target


def with_entry(name: str, edit):
    return lambda extra: {**extra, f"gradspike/{name}": edit(extra[f"gradspike/{name}"])}


def without(name: str):
    return lambda extra: {key: value for key, value in extra.items() if key != f"gradspike/{name}"}


def edit_json(edit):
    def change(content: bytes) -> bytes:
        data = json.loads(content)
        edit(data)
        return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()

    return change


def flip(at: int, bit: int = 1):
    return lambda content: content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def swap_synapses(mapping: dict) -> None:
    """Two synapses of one projection that serve other connections: every number stays in range."""
    first, second = mapping["synapses"][0], mapping["synapses"][1]
    assert first[4] == second[4] and first[5:7] != second[5:7]  # projection; pre and post
    first[5:7], second[5:7] = second[5:7], first[5:7]


CHANGED = {
    "other version": (with_entry("network.json", edit_json(lambda d: d.update(version=2))), ("version 2",)),
    "other format": (with_entry("network.json", edit_json(lambda d: d.update(format="x"))), ("format",)),
    "other size": (
        with_entry("network.json", edit_json(lambda d: d["populations"][1].update(size=4))),
        ("does not describe",),
    ),
    "other coefficient": (
        with_entry("network.json", edit_json(lambda d: d["populations"][0]["coefficients"].__setitem__(0, 0))),
        ("does not describe",),
    ),
    "other scale": (
        with_entry(
            "network.json", edit_json(lambda d: d["projections"][0].update(scale=1065353216, factor=1065353216))
        ),
        ("does not describe",),
    ),
    "other name of a projection": (
        with_entry("network.json", edit_json(lambda d: d["projections"][0].update(name="inn"))),
        ("'inn'",),
    ),
    "unknown field": (with_entry("network.json", edit_json(lambda d: d.update(extra=1))), ("extra",)),
    "cut description": (with_entry("network.json", lambda c: c[:100]), ("JSON",)),
    "empty description": (with_entry("network.json", lambda c: b""), ()),
    "description of another kind": (with_entry("network.json", lambda c: b"[]"), ()),
    "bytes that are no text": (with_entry("network.json", lambda c: b"\xff\xfe"), ()),
    "cut mapping": (with_entry("mapping.json", lambda c: c[:100]), ("JSON",)),
    "swapped synapses": (with_entry("mapping.json", edit_json(swap_synapses)), ("mapping",)),
    "lost synapse": (with_entry("mapping.json", edit_json(lambda d: d["synapses"].pop())), ("mapping",)),
    "mapping of another version": (
        with_entry("mapping.json", edit_json(lambda d: d.update(version=9))),
        ("version 9",),
    ),
    "missing integers": (without("integers/out.bin"), ("'out'", "missing")),
    "cut integers": (with_entry("integers/in.bin", lambda c: c[:-1]), ('"in"',)),
    "empty integers": (with_entry("integers/in.bin", lambda c: c[:8]), ('"in"',)),
    "flipped integer": (with_entry("integers/in.bin", flip(40)), ('"in"', "hash")),
    "flipped hash": (with_entry("integers/in.bin", flip(24)), ('"in"', "hash")),
    "integer out of bounds": (with_entry("integers/in.bin", flip(40, 0x40)), ('"in"',)),
    "flipped magic": (with_entry("integers/in.bin", flip(0)), ("GSW1",)),
    "flipped size": (with_entry("integers/in.bin", flip(8)), ('"in"',)),
}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_changed_entry(saved, tmp_path, name):
    change, words = CHANGED[name]
    path = rewritten(saved / "net.pt", tmp_path / "changed.pt", change)
    require_refused(path, *words)


def test_mapping_may_be_absent(saved, tmp_path):
    """An archive of a network that fits no chip has none; the network is mapped again where it does fit."""
    path = rewritten(saved / "net.pt", tmp_path / "unmapped.pt", without("mapping.json"))
    assert torch.equal(chip.deploy(gradspike.load(path))(SPIKES).outputs, gradspike.load(saved / "net.pt")(SPIKES))


def test_description_beside_another_model(saved, tmp_path):
    other = nn.Sequential(Synapse(5, 9, name="in", scale=16.0), LIF(9, name="hidden"))
    gradspike.save(other, tmp_path / "other.pt")
    with zipfile.ZipFile(tmp_path / "other.pt") as archive:
        foreign = {
            name.split("/extra/", 1)[1]: archive.read(name)
            for name in archive.namelist()
            if "/extra/gradspike/" in name
        }
    require_refused(rewritten(saved / "net.pt", tmp_path / "mixed.pt", lambda extra: foreign))


def test_a_refused_archive_leaves_the_network_of_its_name(saved, tmp_path):
    network = chip.read(gradspike.load(saved / "net.pt"))
    rewritten(saved / "net.pt", tmp_path / "net.pt", with_entry("integers/in.bin", flip(40)))
    with pytest.raises(ValueError, match="hash"):
        gradspike.load(tmp_path / "net.pt")
    assert not network.is_stale


def test_flipped_bit_in_a_weight(saved, tmp_path):
    """A bit of a parameter that leaves the integers alone is found by the check sum only."""
    content = bytearray((saved / "net.pt").read_bytes())
    with zipfile.ZipFile(saved / "net.pt") as archive:
        (entry,) = [info for info in archive.infolist() if info.filename.endswith("/data/0")]
    name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
    start = entry.header_offset + 30 + name + extra
    assert zlib.crc32(content[start : start + entry.file_size]) == entry.CRC
    content[start] ^= 1  # the last bit of a mantissa
    (tmp_path / "flipped.pt").write_bytes(content)
    require_refused(tmp_path / "flipped.pt", "data/0", "check sum")


# ---- network files ---------------------------------------------------------------------------------------------------

CHANGED_FILES = {
    "version": (lambda d: d.update(version=3), ("version 3",)),
    "no integers": (lambda d: d.pop("integers"), ("integers",)),
    "integers missing": (lambda d: d["integers"].pop("out"), ("out",)),
    "integers of nobody": (lambda d: d["integers"].update(extra=d["integers"]["in"]), ("extra",)),
    "no base64": (lambda d: d["integers"].update({"in": "***"}), ("in",)),
    "no network": (lambda d: d.pop("network"), ("network",)),
    "text for a number": (lambda d: d["network"]["populations"][0].update(size="8"), ("size",)),
    "huge size": (lambda d: d["network"]["populations"][0].update(size=2**62), ("size",)),
    "negative size": (lambda d: d["network"]["inputs"][0].update(size=-1), ("size",)),
    "target out of range": (lambda d: d["network"]["projections"][0].update(target=7), ("target",)),
    "dt zero": (lambda d: d["network"].update(dt=0), ("dt",)),
    "nan coefficient": (
        lambda d: d["network"]["populations"][0]["coefficients"].__setitem__(0, 0x7FC00000),
        ("hidden",),
    ),
}


@pytest.mark.parametrize("name", sorted(CHANGED_FILES))
def test_changed_network_file(saved, tmp_path, name):
    change, words = CHANGED_FILES[name]
    data = json.loads((saved / "net.json").read_text())
    change(data)
    (tmp_path / "changed.json").write_text(json.dumps(data))
    require_refused(tmp_path / "changed.json", *words, in_program=name == "version")


# ---- deploying and running -------------------------------------------------------------------------------------------

BAD_INPUTS = {
    "fraction": ((torch.full((3, 1, 5), 0.5),), ("input0", "0.5", "step 0")),
    "too many": ((torch.full((3, 1, 5), 128.0),), ("0..127", "128")),
    "negative": ((-torch.ones(3, 1, 5),), ("0..127", "-1")),
    "nan": ((torch.full((3, 1, 5), float("nan")),), ("nan",)),
    "infinite": ((torch.full((3, 1, 5), float("inf")),), ("inf",)),
    "uint8": ((torch.full((3, 1, 5), 200, dtype=torch.uint8),), ("200",)),
    "two dimensions": ((torch.zeros(3, 5),), ("input0", "3 dimensions", "2")),
    "four dimensions": ((torch.zeros(3, 1, 1, 5),), ("input0", "3 dimensions", "4")),
    "neurons": ((torch.zeros(3, 1, 6),), ("input0", "5", "6")),
    "no input": ((), ("1 input", "0")),
    "two inputs": ((torch.zeros(3, 1, 5), torch.zeros(3, 1, 5)), ("1 input", "2")),
    "float64": ((torch.zeros(3, 1, 5, dtype=torch.float64),), ("input0", "float64")),
    "int64": ((torch.zeros(3, 1, 5, dtype=torch.int64),), ("input0", "uint8", "Long")),
    "complex": ((torch.zeros(3, 1, 5, dtype=torch.complex64),), ("input0", "real")),
    "sparse": ((torch.zeros(3, 1, 5).to_sparse(),), ("input0", "dense")),
    "meta": ((torch.zeros(3, 1, 5, device="meta"),), ("input0", "dense")),
    "list": (([1.0],), ("tensor", "list")),
}


@pytest.mark.parametrize("name", sorted(BAD_INPUTS))
def test_bad_input_of_a_run(name):
    inputs, words = BAD_INPUTS[name]
    deployed = chip.deploy(network_model())
    with pytest.raises((RuntimeError, TypeError)) as caught:
        deployed(*inputs)
    text = one_sentence(caught.value)
    for word in words:
        assert word in text, text
    assert deployed(SPIKES).target == "emulator ideal"  # it still runs


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float16, torch.float32])
def test_dtypes_of_spikes(dtype):
    model = network_model()
    result = chip.deploy(model)(SPIKES.to(dtype))
    assert torch.equal(result.outputs, model(SPIKES))


def test_errors_of_host_code_are_one_sentence():
    network = chip.read(network_model())
    with pytest.raises(RuntimeError, match="graded_spikes: the last dimension of spikes") as caught:
        network.run_model(torch.zeros(3, 1, 6))
    one_sentence(caught.value)


def test_unknown_backend_and_preset(monkeypatch):
    with pytest.raises(RuntimeError, match=r'no backend "chip7".*emulator') as caught:
        chip.deploy(network_model(), target="chip7")
    one_sentence(caught.value)
    with pytest.raises(RuntimeError, match=r'"magic".*ideal') as caught:
        chip.deploy(network_model(), preset="magic")
    one_sentence(caught.value)
    monkeypatch.setenv("GRADSPIKE_BACKEND", "chip7")
    with pytest.raises(RuntimeError, match="chip7.*GRADSPIKE_BACKEND"):  # never an emulator in its place
        chip.deploy(network_model())
    assert chip.deploy(network_model(), target="emulator").target == "emulator ideal"


def test_arguments_of_the_wrong_type():
    for call, words in (
        (lambda: chip.deploy(network_model(), seed="x"), "seed.*int.*str"),
        (lambda: chip.deploy(network_model(), target=5), "target.*str.*int"),
        (lambda: chip.deploy(network_model(), preset=None), "preset.*str"),
        (lambda: chip.projection(3), "key.*str.*int"),
    ):
        with pytest.raises(TypeError, match=words):
            call()


def test_seed_beyond_64_bits():
    with pytest.raises(ValueError, match=r"deploy: seed must have 64 bits.*1180591620717411303424") as caught:
        chip.deploy(network_model(), seed=2**70)
    one_sentence(caught.value)


@pytest.mark.parametrize(("target", "words"), [("emulatr ideal", r'"emulatr".*emulator'), ("", "must name a backend")])
def test_check_for_an_unknown_target(target, words):
    with pytest.raises((RuntimeError, ValueError), match=words) as caught:
        chip.check(network_model(), target=target)
    one_sentence(caught.value)


def test_model_whose_input_is_no_tensor():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(5, 8, scale=16.0), LIF(8)

        def forward(self, parts: List[torch.Tensor]) -> torch.Tensor:
            return self.lif(self.a(parts[0]))

    deployed = chip.deploy(Model())
    with pytest.raises(RuntimeError, match=r"input 0 of the model must be List\[Tensor\], got Tensor"):
        deployed(SPIKES)


def test_model_on_the_meta_device():
    with pytest.raises(RuntimeError, match="projection '0'.*meta"):
        chip.deploy(nn.Sequential(Synapse(5, 8, device="meta"), LIF(8)))


def test_nan_weight_is_named_by_layer_and_index(tmp_path):
    model = network_model()
    with torch.no_grad():
        model[2].weight[1, 4] = float("nan")
    for call in (
        lambda: chip.deploy(model),
        lambda: gradspike.save(model, tmp_path / "net.pt"),
        lambda: chip.read(model).integers(),
    ):
        with pytest.raises(RuntimeError, match=r"projection 'out': weight\[1, 4\] is NaN") as caught:
            call()
        one_sentence(caught.value)
    assert os.listdir(tmp_path) == []


def test_all_misfits_of_a_large_network_are_listed():
    model = nn.Sequential(
        Synapse(33000, 2, name="wide", scale=16.0), LIF(2, name="wide"), Synapse(2, 600, name="fixed"), LIF(600)
    )
    with pytest.raises(RuntimeError) as caught:
        chip.read(model, projections={"fixed": {"execution_instance": "one"}}).deploy()
    lines = str(caught.value).splitlines()
    assert "does not fit" in lines[0]
    assert any('"wide": synapse rows of one neuron: needs 66000, limit 65536' in line for line in lines)
    assert any("neuron circuits: needs 600, limit 512" in line and 'instance "one"' in line for line in lines)


def test_float64_model_is_refused():
    with pytest.raises(RuntimeError, match="projection 'in'.*float64") as caught:
        chip.read(network_model().double())
    one_sentence(caught.value)


def test_save_refuses():
    with pytest.raises(ValueError, match="path or network"):
        gradspike.save(network_model())
    with pytest.raises(TypeError, match="Network"):
        gradspike.save(chip.read(network_model()), "net.pt")


def test_save_refuses_hooks_by_name(tmp_path):
    model = network_model()

    def spy(*args):
        return None

    model[1].register_forward_hook(spy)
    with pytest.raises(ValueError, match="module '1' has the hook .*spy"):
        gradspike.save(model, tmp_path / "net.pt")
    assert os.listdir(tmp_path) == []


def test_save_to_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        gradspike.save(network_model(), tmp_path / "file" / "net.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(OSError):
        gradspike.save(network_model(), tmp_path / "folder.pt")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.pt"]  # no temporary file is left


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write to a read-only folder")
def test_save_to_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        gradspike.save(network_model(), tmp_path / "net.pt")


# ---- fuzzing ---------------------------------------------------------------------------------------------------------

# Runs in a process of its own, since a crash must be seen, and prints the last case before it.
FUZZER = """
import random, sys, warnings
import torch, gradspike
from pathlib import Path
folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
warnings.simplefilter("ignore")
loaded = refused = 0
for name in ("net.pt", "net.json"):
    content = (folder / name).read_bytes()
    for case in range(count):
        r = random.Random(f"{seed} {name} {case}")
        data = bytearray(content)
        kind = r.choice(["flip", "flip", "byte", "cut", "insert", "erase", "tail"])
        at = r.randrange(len(data))
        if kind == "tail":  # the directory of the archive lies there
            at = max(0, len(data) - 1 - r.randrange(1500))
            data[at] = r.randrange(256)
        elif kind == "flip":
            data[at] ^= 1 << r.randrange(8)
        elif kind == "byte":
            data[at] = r.randrange(256)
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = bytes([r.randrange(256)])
        else:
            del data[at:at + r.randrange(1, 20)]
        print(name, case, kind, at, flush=True)
        path = folder / ("fuzz" + name[3:])
        path.write_bytes(data)
        try:
            gradspike.open_network(path)
            loaded += 1
        except (ValueError, RuntimeError) as error:
            assert str(error) and "\\n" not in str(error), repr(str(error))
            refused += 1
print("result", loaded, refused, flush=True)
"""


def fuzz(saved: Path, folder: Path, seed: int, count: int) -> None:
    for name in ("net.pt", "net.json"):
        (folder / name).write_bytes((saved / name).read_bytes())
    command = [sys.executable, "-c", FUZZER, str(folder), str(seed), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + count, check=False)
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert done.returncode == 0, (last, done.stderr[-2000:])
    loaded, refused = (int(word) for word in last.split()[1:])
    assert loaded + refused == 2 * count
    assert refused > 0.5 * 2 * count


def test_fuzzed_files_load_or_are_refused(saved, tmp_path, seed):
    fuzz(saved, tmp_path, seed, 200)


@pytest.mark.slow
@pytest.mark.parametrize("more", range(5))
def test_many_fuzzed_files(saved, tmp_path, seed, more):
    fuzz(saved, tmp_path, seed + 1000 + more, 2000)


def fuzz_program(saved: Path, folder: Path, seed: int, count: int) -> None:
    for name in ("net.pt", "net.json"):
        content = (saved / name).read_bytes()
        for case in range(count):
            r = random.Random(f"{seed} {name} {case}")
            data = bytearray(content)
            if r.random() < 0.3:
                del data[r.randrange(len(data)) :]
            else:
                data[r.randrange(len(data))] ^= 1 << r.randrange(8)
            path = folder / ("fuzz" + name[3:])
            path.write_bytes(data)
            done = run_list(path)
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            assert done.returncode in (0, 3), (name, case, done.returncode, lines)  # a crash gives another one
            assert done.returncode == 0 or len(lines) == 1, (name, case, lines)


@pytest.mark.skipif(not PROGRAM.is_file(), reason="gradspike-run is not built")
def test_fuzzed_files_in_the_program(saved, tmp_path, seed):
    fuzz_program(saved, tmp_path, seed, 8)


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.is_file(), reason="gradspike-run is not built")
def test_many_fuzzed_files_in_the_program(saved, tmp_path, seed):
    fuzz_program(saved, tmp_path, seed + 1, 200)
