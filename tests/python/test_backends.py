"""Backends outside of the library: programs and shared libraries, good ones and one for each way to fail."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gradspike
from gradspike import chip
from gradspike.nn import LI, LIF, Synapse

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, str(ROOT / "examples" / "backends" / "emulator_server.py")]
FAILING = [sys.executable, str(ROOT / "tests" / "backends" / "failing_server.py")]
LIBRARIES = Path(gradspike.version_info().library_directory)
SPIKES = (torch.rand(12, 5, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()


def network_model(scale: float = 16.0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(
        Synapse(5, 8, name="in", scale=scale),
        LIF(8, name="hidden", threshold=0.3),
        Synapse(8, 3, name="out", scale=scale),
        LI(3, name="readout"),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def line(words) -> str:
    return "process:" + " ".join(words)


def attach(name, mode, folder=None, timeout=20.0):
    chip.attach(name, [*FAILING, mode, *([str(folder)] if folder else [])], timeout=timeout)
    return name


def require_same(found: chip.Result, expected: chip.Result) -> None:
    assert torch.equal(found.outputs, expected.outputs)
    for name, spikes in expected.spikes.items():
        assert torch.equal(found.spikes[name], spikes)
    for name, membrane in expected.membrane.items():
        assert torch.equal(found.membrane[name], membrane)


def test_a_program_gives_the_bits_of_the_emulator_and_of_the_model():
    chip.attach("example", SERVER)
    model = network_model()
    result = chip.deploy(model, target="example")(SPIKES, membrane="*")
    require_same(result, chip.deploy(model)(SPIKES, membrane="*"))
    assert torch.equal(result.outputs, model(SPIKES))
    assert result.target == "example emulator ideal"
    assert result.report.data["target"] == "example emulator ideal"
    assert "example" in chip.backends() and "emulator" in chip.backends()
    assert chip.health("example") == {"status": "ready"}


def test_the_ways_to_choose(monkeypatch):
    model, expected = network_model(), chip.deploy(network_model())(SPIKES)
    target = line(SERVER)
    require_same(chip.deploy(model, target=target)(SPIKES), expected)
    assert chip.check(model, target=target).fits  # a command has blanks
    monkeypatch.setenv("GRADSPIKE_BACKEND", target)
    result = chip.deploy(model)(SPIKES)
    require_same(result, expected)
    assert result.target == target + " emulator ideal"
    chip.attach("in_one_text", " ".join(SERVER))
    monkeypatch.setenv("GRADSPIKE_BACKEND", "in_one_text")
    assert chip.deploy(model).target == "in_one_text emulator ideal"


def test_a_library_is_a_backend():
    model = network_model()
    library = LIBRARIES / "libgradspike_backend_example.so"
    if not library.is_file():
        pytest.skip("the test libraries are not built")
    chip.attach("mine", library=str(library))
    result = chip.deploy(model, target="mine")(SPIKES)
    require_same(result, chip.deploy(model)(SPIKES))
    assert result.target == "mine emulator ideal"
    with pytest.raises(chip.BackendError, match="lacks the function gradspike_backend_v1"):
        chip.attach("mine", library=str(LIBRARIES / "libgradspike_backend_no_entry.so"))


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("dies", 'ended with exit code 3 .*last words were "link lost: no answer from the FPGA"'),
        ("refuses", "refuses.*the chip is busy until noon"),
        ("silent", "gave no answer within 1 s.*waiting for the chip"),
        ("partly", "answered the run partly"),
        ("garbage", "nonsense"),
        ("not_a_number", "finite"),
    ],
)
def test_a_failure_keeps_what_was_recorded_and_the_next_run_works(tmp_path, mode, words):
    model = network_model()
    expected = chip.deploy(model)(SPIKES, membrane="*")
    attach("lab", mode, tmp_path, timeout=1.0 if mode == "silent" else 20.0)
    deployed = chip.deploy(model, target="lab")
    with pytest.raises(chip.BackendError, match=words) as caught:
        deployed(SPIKES, membrane="*")
    error = caught.value
    assert isinstance(error, RuntimeError) and "\n" not in str(error) and "2 of 5 batch entries" in str(error)
    assert error.entries == [0, 1]
    assert error.partial.outputs is None and error.partial.target == "lab emulator ideal"
    for name, spikes in expected.spikes.items():
        assert torch.equal(error.partial.spikes[name], spikes[:, :2])
    for name, membrane in expected.membrane.items():
        assert torch.equal(error.partial.membrane[name], membrane[:, :2])
    require_same(deployed(SPIKES, membrane="*"), expected)


def test_failures_without_a_recording():
    model = network_model()
    for mode, words in (("refuses_compile", "no calibration"), ("exits", "exit code 7"), ("hello_refused", "no chip")):
        attach("lab", mode)
        with pytest.raises(chip.BackendError, match=words) as caught:
            chip.deploy(model, target="lab")
        assert caught.value.partial is None and caught.value.entries == []
        assert "\n" not in str(caught.value)
    with pytest.raises(chip.BackendError, match="does not answer"):
        chip.health(attach("lab", "unhealthy"))


def test_missing_backends(monkeypatch):
    model = network_model()
    for call in (
        lambda: chip.attach("lab", ["/missing/server"]),
        lambda: chip.deploy(model, target="process:/missing/server --flag"),
        lambda: chip.check(model, target="process:/missing/server --flag"),
        lambda: chip.health("process:/missing/server"),
    ):
        with pytest.raises(chip.BackendError, match='there is no program "/missing/server"'):
            call()
    with pytest.raises(chip.BackendError, match="cannot be loaded"):
        chip.attach("lab", library="missing")
    with pytest.raises(RuntimeError, match='no backend "chip7"') as caught:
        chip.deploy(model, target="chip7")
    assert not isinstance(caught.value, chip.BackendError)  # nothing that could be attached
    monkeypatch.setenv("GRADSPIKE_BACKEND", "library:/missing.so")
    with pytest.raises(chip.BackendError, match="missing.so"):
        chip.deploy(model)


def test_detach():
    chip.attach("lab", SERVER)
    deployed = chip.deploy(network_model(), target="lab")
    chip.detach("lab")
    assert "lab" not in chip.backends()
    assert deployed(SPIKES).target == "lab emulator ideal"  # what is deployed runs on
    for name in ("lab", "emulator"):
        with pytest.raises(RuntimeError, match=name):
            chip.detach(name)


def test_bad_arguments():
    for call, words in (
        (lambda: chip.attach("lab"), "either command or library"),
        (lambda: chip.attach("lab", ["a"], library="b"), "either command or library"),
        (lambda: chip.attach("two words", SERVER), "name must be"),
        (lambda: chip.attach("emulator", SERVER), "built in"),
        (lambda: chip.attach("lab", []), "command"),
        (lambda: chip.attach("lab", "'open"), "quotes"),
        (lambda: chip.attach("lab", SERVER, timeout=0.0), "timeout must be"),
        (lambda: chip.attach("lab", SERVER, timeout=float("nan")), "timeout must be"),
    ):
        with pytest.raises((ValueError, RuntimeError), match=words):
            call()
    for call, words in (
        (lambda: chip.attach(3, SERVER), "name.*str.*int"),
        (lambda: chip.attach("lab", [3]), "command.*str.*int"),
        (lambda: chip.attach("lab", library=3), "library.*str.*int"),
        (lambda: chip.health(3), "target.*str.*int"),
    ):
        with pytest.raises(TypeError, match=words):
            call()


def test_threads_take_turns():
    chip.attach("example", SERVER)
    model = network_model()
    expected = chip.deploy(model)(SPIKES)
    networks = [chip.read(model, network=f"thread{k}").deploy("example") for k in range(3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for result in pool.map(lambda deployed: deployed(SPIKES), networks * 3):
            require_same(result, expected)


def run_in_child(deployed, expected) -> None:
    require_same(deployed(SPIKES), expected)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_its_own():
    chip.attach("example", SERVER)
    deployed = chip.deploy(network_model(), target="example")
    expected = deployed(SPIKES)
    torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
    process = multiprocessing.get_context("fork").Process(target=run_in_child, args=(deployed, expected))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    require_same(deployed(SPIKES), expected)


def test_the_program_ends_with_python(tmp_path):
    """A server reads the end of its input when Python ends, however that is."""
    script = f"""
import torch, gradspike
from gradspike import chip
chip.attach("example", {SERVER!r})
chip.health("example")
import os
children = open(f"/proc/self/task/{{os.getpid()}}/children").read().split()
print(children[0], flush=True)
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    pid = done.stdout.strip()
    assert pid.isdigit(), done.stderr
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return
        subprocess.run(["sleep", "0.05"])
    raise AssertionError(f"server {pid} still runs")


def test_the_command_line_takes_a_program(tmp_path):
    gradspike.save(network_model(), tmp_path / "net.pt", example=SPIKES)
    (tmp_path / "in.csv").write_text("step,batch,neuron\n0,0,1\n1,0,2\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "gradspike", "run", str(tmp_path / "net.pt"), "--spikes", str(tmp_path / "in.csv")]
    done = subprocess.run(
        [*command, "--target", line(SERVER)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "emulator_server.py emulator ideal" in done.stderr
