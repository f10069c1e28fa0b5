"""Files of every format as older versions wrote them: they open and give the same, or are refused by a sentence.

Each released version has a folder data/formats_MAJOR_MINOR with one network in every form in which it is stored.
To add one: python tests/python/test_formats.py FOLDER

report_2.json is report.json without what version 3 added; the schema of version 2 accepts it.
"""

import json
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from torch import Tensor, nn

import gradspike
from gradspike import _library, chip
from gradspike.nn import LI, LIF, Synapse
from json_schema import errors

DATA = Path(__file__).parent / "data"
FOLDERS = sorted(DATA.glob("formats_*"))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "backends"
PROGRAM = _library.find_directory().parent / "bin" / "gradspike-run"
FILES = (
    "net.pt",  # TorchScript archive
    "net.pt2",  # program of torch.export
    "net.json",  # network file
    "mapping.json",
    "parted.pt",  # archive of a network on two execution instances
    "partition.json",
    "registry.json",
    "report.json",
    "outcome.json",  # gradspike-run --result
    "answers.bin",  # what a program that is a backend said
    "expected.pt",  # spikes that go in, and what comes out
)
CARD = {"steps": 12, "encoder": "none", "decoder": "max over time", "class_names": ["a", "b", "c"]}


def model() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        Synapse(5, 8, name="in", scale=16.0),
        LIF(8, name="hidden", threshold=0.3, tau_mem=8e-6),
        Synapse(8, 3, name="out", scale=16.0),
        LI(3, name="readout"),
    )


def spikes() -> Tensor:
    return (torch.rand(12, 2, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()


# ---- how the files were made -----------------------------------------------------------------------------------------


def recorded_answers(path: Path) -> str:
    """A backend that keeps what the server for the emulator says in a file."""
    server = [sys.executable, str(EXAMPLES / "emulator_server.py")]
    return "process:" + shlex.join(["/bin/sh", "-c", f"{shlex.join(server)} | tee {shlex.quote(str(path))}"])


def replayed_answers(path: Path) -> str:
    """A backend that says what is in a file, whatever it is asked."""
    code = "import sys, pathlib; sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes()); "
    code += "sys.stdout.flush(); sys.stdin.buffer.read()"
    return "process:" + shlex.join([sys.executable, "-c", code, str(path)])


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    chip.clear()
    network = gradspike.save(model(), folder / "net.pt", network=folder / "net.json", card=CARD)
    (folder / "registry.json").write_text(json.dumps(chip.registered(), sort_keys=True) + "\n")
    (folder / "mapping.json").write_text(network.map().to_json() + "\n")
    (folder / "report.json").write_text(without_origin(network.check().data) + "\n")
    gradspike.export(model(), folder / "net.pt2", example=spikes(), card=CARD)
    two = {"in": {"execution_instance": "first"}, "out": {"execution_instance": "second"}}
    parted = gradspike.save(model(), folder / "parted.pt", projections=two, card=CARD)
    (folder / "partition.json").write_text(parted.map().to_json() + "\n")
    result = chip.deploy(gradspike.load(folder / "net.pt"), target=recorded_answers(folder / "answers.bin"))(spikes())
    expected = {"in": spikes().to(torch.uint8), "hidden": result.spikes["hidden"].to(torch.uint8)}
    torch.save({**expected, "outputs": result.outputs}, folder / "expected.pt")
    numbers = spikes().nonzero().tolist()
    lines = ["step,batch,neuron", *(",".join(map(str, entry)) for entry in numbers)]
    (folder / "in.csv").write_text("\n".join(lines) + "\n")
    outcome = ["--spikes", str(folder / "in.csv"), "--output", "/dev/null", "--result", str(folder / "outcome.json")]
    subprocess.run([str(PROGRAM), str(folder / "net.json"), *outcome], check=True, capture_output=True)


def without_origin(data: Dict[str, Any]) -> str:
    """A report without the revision of the repository that it was made in."""
    provenance = {key: value for key, value in data["provenance"].items() if "revision" not in key}
    return json.dumps({**data, "provenance": provenance}, sort_keys=True)


# ---- tests -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def stored(request) -> Path:
    return request.param


def expected(folder: Path) -> Dict[str, Tensor]:
    return torch.load(folder / "expected.pt", weights_only=True)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def require_same(result: chip.Result, folder: Path) -> None:
    known = expected(folder)
    assert torch.equal(result.spikes["hidden"], known["hidden"].float()) and known["hidden"].sum() > 0
    assert torch.equal(result.membrane["readout"], known["outputs"]) and known["outputs"].count_nonzero() > 0


def test_there_is_one_of_this_series():
    major, minor = gradspike.__version__.split(".")[:2]
    assert f"formats_{major}_{minor}" in [folder.name for folder in FOLDERS]


def test_every_format_is_there_and_small(stored):
    assert {path.name for path in stored.iterdir()} >= set(FILES)
    assert all(path.stat().st_size < 50_000 for path in stored.iterdir())


def test_files_name_no_path_of_a_machine(stored):
    for path in stored.iterdir():
        assert not any(word in path.read_bytes() for word in (b"/root/", b"/home/", b"/work/", b"/tmp/")), path.name


@pytest.mark.parametrize("file", ["net.pt", "net.pt2", "net.json", "parted.pt"])
def test_saved_network(stored, file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as integers that are no longer those of the parameters
        network = gradspike.open_network(stored / file)
    description = read(stored / "net.json")["network"]
    kept = {**network.description, "name": description["name"]}
    for projection in kept["projections"]:
        projection["execution_instance"] = ""
    assert kept == {**description, "name": description["name"]}
    require_same(network.deploy()(expected(stored)["in"].float()), stored)


@pytest.mark.parametrize("file", ["net.pt", "net.pt2"])
def test_saved_model_runs_and_trains(stored, file):
    loaded, known = gradspike.load(stored / file), expected(stored)
    outputs = loaded(known["in"].float())
    assert torch.equal(outputs, known["outputs"])
    outputs.sum().backward()
    assert all(parameter.grad.count_nonzero() > 0 for parameter in loaded.parameters())


@pytest.mark.parametrize("file", ["net.pt", "net.pt2", "net.json", "parted.pt"])
def test_saved_network_in_the_program(stored, tmp_path, file):
    if not PROGRAM.is_file():
        pytest.skip(f"there is no program {PROGRAM}")
    output = tmp_path / "out.csv"
    line = [str(PROGRAM), str(stored / file), "--spikes", str(stored / "in.csv"), "--output", str(output)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    events = [[int(field) for field in row.split(",")] for row in output.read_text().splitlines()[1:]]
    assert sorted(events) == expected(stored)["hidden"].nonzero().tolist()


@pytest.mark.parametrize("file", ["mapping.json", "partition.json"])
def test_mapping(stored, file):
    archive = "net.pt" if file == "mapping.json" else "parted.pt"
    network = gradspike.open_network(stored / archive)
    mapping = chip.Mapping.from_json((stored / file).read_text())
    assert mapping.differences(network.map()) == []
    network.use_mapping(mapping)
    require_same(network.deploy()(expected(stored)["in"].float()), stored)


def test_registry(stored):
    """It is written, never read: what reads it elsewhere finds the fields that it knows."""
    chip.clear()
    gradspike.open_network(stored / "net.pt")
    found, kept = chip.registered(), read(stored / "registry.json")
    assert found["format"] == kept["format"] == "gradspike.registry" and found["version"] == kept["version"]
    for kind in ("projections", "populations"):
        for old, new in zip(kept[kind], found[kind], strict=True):
            counts_readings = {"generation": new["generation"]}
            assert {key: new[key] for key in old} == {**old, **counts_readings}


def versions_of_reports(folder: Path) -> List[Path]:
    return sorted(folder.glob("report*.json"))


def test_reports_are_compared_with_this_one(stored):
    report = gradspike.open_network(stored / "net.pt").check()
    assert {read(path)["version"] for path in versions_of_reports(stored)} >= {2, 3}
    for path in versions_of_reports(stored):
        about_network = {"gradspike", "torch", "revision", "git revision"}
        changes = [c for c in report.since(path).data["since"]["changes"] if c["what"] not in about_network]
        assert changes == [], path.name
        assert f"version {read(path)['version']}" not in str(report.since(path))


def test_report_of_the_present_version_keeps_its_schema(stored):
    kept = read(stored / "report.json")
    if kept["version"] == gradspike.open_network(stored / "net.pt").check().data["version"]:
        assert errors(kept, chip.Report.schema(), chip.Report.schema()) == []


def test_report_of_version_1_is_refused(stored, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({**read(stored / "report.json"), "version": 1}))
    with pytest.raises(ValueError, match="the earlier report must be of version 2 or 3, got 1"):
        gradspike.open_network(stored / "net.pt").check().since(tmp_path / "report.json")


def test_outcome(stored, tmp_path):
    """What scripts read of a run."""
    if not PROGRAM.is_file():
        pytest.skip(f"there is no program {PROGRAM}")
    line = [str(PROGRAM), str(stored / "net.json"), "--spikes", str(stored / "in.csv"), "--output", "/dev/null"]
    subprocess.run([*line, "--result", str(tmp_path / "outcome.json")], check=True, capture_output=True)
    found, kept = read(tmp_path / "outcome.json"), read(stored / "outcome.json")
    assert found.keys() >= kept.keys()
    for key in ("format", "version", "target", "steps", "batch", "spikes", "losses"):
        assert found[key] == kept[key], key


def test_answers_of_a_backend(stored):
    """A program that was written for an older protocol goes on working."""
    deployed = chip.deploy(gradspike.load(stored / "net.pt"), target=replayed_answers(stored / "answers.bin"))
    require_same(deployed(expected(stored)["in"].float()), stored)


@pytest.mark.parametrize("version", [b"0", b"2"])
def test_answers_of_another_protocol_are_refused(stored, tmp_path, version):
    answers = (stored / "answers.bin").read_bytes()
    changed = answers.replace(b'"version":1', b'"version":' + version).replace(
        b'"version": 1', b'"version": ' + version
    )
    assert changed != answers
    (tmp_path / "answers.bin").write_bytes(changed)
    with pytest.raises(chip.BackendError, match=f"version {version.decode()}") as caught:
        chip.deploy(gradspike.load(stored / "net.pt"), target=replayed_answers(tmp_path / "answers.bin"))
    assert "\n" not in str(caught.value)


if __name__ == "__main__":
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]} exists: the files of a version that was released are never written again")
    write(Path(sys.argv[1]))
