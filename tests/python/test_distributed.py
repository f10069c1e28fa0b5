"""Several processes on gloo: what they compute, register, save and deploy; see distributed_checks.py."""

import json
import re
import subprocess
import sys

import pytest
import torch

import distributed_checks
import gradspike
from gradspike.examples import distributed as example

if not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo", allow_module_level=True)

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def torchrun(processes, *command):
    run = subprocess.run([*TORCHRUN, str(processes), *command], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def results_of(processes, folder):
    torchrun(processes, distributed_checks.__file__, str(folder / "results.json"))
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return results_of(2, tmp_path_factory.mktemp("distributed"))


@pytest.mark.parametrize("name", distributed_checks.CHECKS)
def test_two_processes(results, name):
    assert results[name] == ""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3, 4])
def test_more_processes(processes, tmp_path):
    results = results_of(processes, tmp_path)
    assert results.keys() == distributed_checks.CHECKS.keys()
    assert not {name: failure for name, failure in results.items() if failure}


def shown(printed):
    """The numbers of the example's last lines."""
    accuracy, alone = re.search(r"accuracy: (\S+), one process (\S+),", printed).groups()
    spikes, gradient = re.search(r"batch: (\d+) hidden spikes differ, gradient differs by (\S+)", printed).groups()
    return float(accuracy), float(alone), int(spikes), float(gradient)


def run_example(processes, *arguments):
    return shown(torchrun(processes, "-m", "gradspike.examples.distributed", *arguments))


def test_example():
    accuracy, alone, spikes, gradient = run_example(2, "--epochs", "1", "--samples", "960")
    assert spikes == 0 and gradient < 1e-6
    assert accuracy > 0.45 and abs(accuracy - alone) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("backend", ["", "inductor"])
def test_example_trains_as_well_as_one_process(processes, backend, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "1")
    accuracy, alone, spikes, gradient = run_example(processes, "--epochs", "6", "--compile", backend)
    assert spikes == 0 and gradient < 1e-6
    assert accuracy > 0.8 and abs(accuracy - alone) < 0.05


def test_example_without_torchrun(capsys):
    assert example.main(["--epochs", "1", "--samples", "96"]) == 0
    accuracy, alone, spikes, gradient = shown(capsys.readouterr().out)
    assert (accuracy, spikes, gradient) == (alone, 0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--samples", "20"], "--samples must be at least the batch size of 48, got 20"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
    ],
)
def test_example_refuses(arguments, text, capsys):
    with pytest.raises(SystemExit):
        example.main(arguments)
    assert text in capsys.readouterr().err


def test_example_refuses_an_uneven_batch(monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 5)
    with pytest.raises(SystemExit):
        example.main([])
    assert not torch.distributed.is_initialized()


def test_first_process_without_a_group():
    assert gradspike.distributed.on_first_process(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        gradspike.distributed.on_first_process(lambda: 1 / 0)


def test_sharding_without_distributed_support(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"built without torch\.distributed"):
        gradspike.distributed.register_sharding()
    assert gradspike.distributed.on_first_process(lambda: 3) == 3


def test_import_leaves_dtensor_alone():
    code = "import sys, gradspike; assert 'torch.distributed.tensor' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
