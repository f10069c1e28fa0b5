"""What changed since the last deployment, and the git revision in the provenance."""

import json
import subprocess
import sys

import pytest
import torch

from gradspike import __main__ as command
from gradspike import chip, nn, save
from gradspike.chip import _revision
from json_schema import errors

REVISION = "git revision"


@pytest.fixture(autouse=True)
def nothing_deployed():
    chip.clear()
    yield
    chip.clear()


def network(hidden=8, scale=24.0, seed=0, **settings):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        nn.Synapse(5, hidden, name="in", scale=scale),
        nn.LIF(hidden, name="hidden", **settings),
        nn.Synapse(hidden, 3, name="out", scale=32.0),
        nn.LI(3, name="readout"),
    )


def spikes():
    torch.manual_seed(3)
    return (torch.rand(20, 4, 5) < 0.2).float()


def found(changes):
    return {(change["what"], change["layer"]): (change["before"], change["after"]) for change in changes}


def since(report):
    assert errors(report.data, chip.Report.schema(), chip.Report.schema()) == []
    return report.data["since"]


def test_the_same_network_has_no_changes():
    report = chip.check(network())
    assert (
        report.compare(report) == report.compare(report.to_json()) == report.compare(json.loads(report.to_json())) == []
    )


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"seed": 1}, {("weights", "in"), ("weights", "out")}),
        ({"scale": 20.0}, {("scale", "in"), ("weights", "in")}),
        ({"tau_mem": 6e-6}, {("tau_mem", "hidden")}),
        ({"threshold": 1.5}, {("threshold", "hidden")}),
        (
            {"hidden": 9},
            {
                *(("neurons", "hidden"), ("size", "in"), ("size", "out")),
                *(("weights", "in"), ("weights", "out"), ("mapping hash", "")),
            },
        ),
    ],
)
def test_each_change_is_named(other, expected):
    before, after = chip.check(network()), chip.check(network(**other))
    changes = found(after.compare(before))
    assert set(changes) == expected
    if "scale" in other:
        assert changes["scale", "in"] == ("24", "20")
    if "hidden" in other:
        assert changes["neurons", "hidden"] == ("8 LIF", "9 LIF") and changes["size", "in"] == ("5 x 8", "5 x 9")
    hashes = [report.data["projections"]["in"]["hash"] for report in (before, after)]
    assert changes.get(("weights", "in"), tuple(hashes)) == tuple(hashes)


def test_layers_that_come_and_go():
    small = torch.nn.Sequential(nn.Synapse(5, 8, name="in", scale=24.0), nn.LIF(8, name="hidden"))
    torch.manual_seed(0)
    changes = found(chip.check(network()).compare(chip.check(small)))
    assert changes["population", "readout"] == ("none", "3 LI") and changes["projection", "out"] == ("none", "8 x 3")
    changes = found(chip.check(small).compare(chip.check(network())))
    assert changes["population", "readout"] == ("3 LI", "none") and changes["projection", "out"] == ("8 x 3", "none")


class Indexed(torch.nn.Module):
    def __init__(self, order):
        super().__init__()
        torch.manual_seed(0)
        self.synapse, self.neurons, self.order = nn.Synapse(4, 3), nn.LIF(3), order

    def forward(self, spikes):
        return self.neurons(self.synapse(spikes[:, :, self.order]))


def test_wiring_that_no_field_shows():
    inputs = torch.zeros(4, 1, 4)
    a, b = (chip.check(Indexed(order), inputs) for order in ([0, 1, 2, 3], [3, 2, 1, 0]))
    changes = [change for change in b.compare(a) if change["what"] != "mapping hash"]
    assert [(change["what"], change["layer"]) for change in changes] == [("wiring", "")]


def test_deployments_of_a_process_are_compared():
    model = network()
    handle = chip.read(model)
    first = handle.deploy(seed=3, preset="calibrated")
    assert since(first.report) is None
    again = handle.deploy(seed=3, preset="calibrated")
    assert since(again.report) == {"target": "emulator analog preset=calibrated seed=3", "changes": []}
    assert "nothing changed" in again.report.text
    with torch.no_grad():
        model[0].weight.mul_(0.5)
    other = handle.deploy(seed=4, preset="calibrated")
    assert set(found(since(other.report)["changes"])) == {("seed", ""), ("weights", "in")}
    before = again.report.data["projections"]["in"]["hash"]
    assert found(since(other(spikes()).report)["changes"])["weights", "in"][0] == before
    ideal = chip.deploy(network(hidden=9), network="other")
    assert since(ideal.report) is None
    ideal = chip.deploy(model)
    assert found(since(ideal.report)["changes"])["target", ""] == (
        "emulator analog preset=calibrated",
        "emulator ideal",
    )
    chip.clear("network")
    assert since(chip.deploy(model).report) is None


def test_the_calibration_is_part_of_a_deployment(tmp_path, request):
    server = request.config.rootpath / "examples" / "backends" / "emulator_server.py"
    # A server that takes any calibration.
    (tmp_path / "server.py").write_text(
        f"import sys\nsys.path.insert(0, {str(server.parent)!r})\n"
        "import emulator_server as e\n"
        "class Server(e.EmulatorServer):\n"
        "    def compile(self, program, request, blobs):\n"
        "        request['options']['calibration'] = ''\n"
        "        return super().compile(program, request, blobs)\n"
        "e.serve(Server())\n"
    )
    chip.attach("lab", [sys.executable, str(tmp_path / "server.py")], timeout=60.0)
    handle = chip.read(network())
    (tmp_path / "calibration.bin").write_bytes(b"one")
    first = handle.deploy("lab", calibration=str(tmp_path / "calibration.bin"))
    (tmp_path / "calibration.bin").write_bytes(b"two")
    second = handle.deploy("lab", calibration=str(tmp_path / "calibration.bin"))
    named = handle.deploy("lab", calibration="of the setup")
    hashes = [deployed.report.data["provenance"]["calibration hash"] for deployed in (first, second, named)]
    assert len(set(hashes)) == 3 and str(tmp_path) not in named.report.to_json()
    assert found(since(second.report)["changes"]) == {("calibration", ""): tuple(hashes[:2])}
    assert found(since(handle.deploy("lab").report)["changes"]) == {("calibration", ""): (hashes[2], "none")}
    chip.detach("lab")


def test_a_check_run_counts_as_one_deployment():
    model, inputs = network(), spikes()
    assert since(chip.report(model, inputs, seeds=2)) is None
    assert since(chip.report(model, inputs, seeds=2))["changes"] == []
    assert since(chip.check(model)) is None


def test_training_in_the_loop_says_which_weights_changed():
    loop = chip.in_the_loop(network())
    loop(spikes())
    with torch.no_grad():
        loop.model[2].weight.zero_()
    loop(spikes())
    changes = found(since(loop.result.report)["changes"])
    assert set(changes) == {("weights", "out")}


def test_the_page_shows_the_changes_and_obeys_no_name(monkeypatch):
    data = json.loads(chip.check(network()).to_json())
    data["projections"]["<script>"] = data["projections"]["in"]
    page = chip.check(network(seed=1)).since(data).to_html()
    assert "Since the last deployment" in page and "&lt;script&gt;" in page and "<td><script>" not in page


@pytest.mark.parametrize(
    ("previous", "words"),
    [
        ("{", "must be JSON"),
        ("{}", "format gradspike.report"),
        ({"format": "gradspike.mapping"}, "format gradspike.report"),
        ({"format": "gradspike.report", "version": 1}, "version 2 or 3, got 1"),
        ({"format": "gradspike.report", "version": 2}, "damaged: it lacks 'approximations'"),
    ],
)
def test_what_is_no_report_is_refused(previous, words):
    with pytest.raises(ValueError, match=words):
        chip.check(network()).compare(previous)


def test_the_command(tmp_path, capsys):
    save(network(), tmp_path / "net.pt")
    save(network(scale=20.0), tmp_path / "other.pt")
    (tmp_path / "in.csv").write_text("step,batch,neuron\n0,0,1\n1,2,3\n")

    def call(*arguments):
        try:
            code = command.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    deploy = ["deploy", tmp_path / "other.pt", "--spikes", tmp_path / "in.csv", "--preset", "ideal"]
    (tmp_path / "report.json").write_text(call("check", tmp_path / "net.pt", "--json")[1])
    code, text, _ = call(*deploy, "--since", tmp_path / "report.json", "--json", "--html", tmp_path / "r.html")
    changes = found(json.loads(text)["since"]["changes"])
    assert code < 2 and changes["scale", "in"] == ("24", "20") and changes["network", ""] == ("net", "other")
    assert "Since the last deployment" in (tmp_path / "r.html").read_text(encoding="utf-8")
    for wrong in (tmp_path / "none.json", tmp_path / "in.csv"):
        code, _, error = call(*deploy, "--since", wrong)
        assert code == 3 and len(error.splitlines()) == 1 and "--since" in error


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def revision(folder, monkeypatch):
    _revision.revision_of.cache_clear()
    monkeypatch.chdir(folder)
    return chip.check(network()).data["provenance"].get(REVISION)


def test_the_revision_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision(tmp_path, monkeypatch) is None  # no repository
    git(tmp_path, "init")
    assert revision(tmp_path, monkeypatch) is None  # no commit
    (tmp_path / "train.py").write_text("a")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-m", "a")
    clean = revision(tmp_path, monkeypatch)
    assert len(clean) == 40 and int(clean, 16)
    (tmp_path / "results.csv").write_text("untracked")
    assert revision(tmp_path, monkeypatch) == clean
    (tmp_path / "train.py").write_text("b")
    assert revision(tmp_path, monkeypatch) == f"{clean} with uncommitted changes"
    assert str(tmp_path) not in chip.check(network()).to_json()


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision(tmp_path, monkeypatch) is None
    (tmp_path / "git").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "git").chmod(0o755)
    assert revision(tmp_path, monkeypatch) is None
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    _revision.revision_of.cache_clear()
    assert REVISION not in chip.check(network()).data["provenance"]
