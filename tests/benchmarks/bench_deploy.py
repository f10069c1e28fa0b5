"""From a trained model to a run without Python: start of the C++ program, its throughput, and times of saving.

A cold start is a new process that opens the Yin-Yang archive of the package and runs one input file, files in the page
cache; `--help` of the same program loads PyTorch's libraries and does nothing, which is what starting costs by itself.
Throughput is that of one run of a large batch, every trace recorded, by `gradspike-run --result` and by `run_model` of
the same file in Python, in new processes in turn.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import measure
import numpy
import torch

import gradspike
from gradspike import nn
from gradspike.examples import yinyang_training as yinyang

EXAMPLE = Path(gradspike.__file__).parent / "examples" / "data"
COLD_TARGET_S = 1.5
PREDICTED_COLD_S = 0.9
SIZES = (256, 246, 10)
IN_PYTHON = """
import json, sys, time, numpy, torch, gradspike
torch.set_num_threads(int(sys.argv[3]))
network = gradspike.open_network(sys.argv[1])
spikes = torch.from_numpy(numpy.load(sys.argv[2])).float()
start = time.perf_counter()
network.run_model(spikes)
print(json.dumps(time.perf_counter() - start))
"""


def program() -> Path:
    """`gradspike-run` of the build or of the installed package."""
    folder = Path(gradspike.version_info().library_directory)
    found = [path for path in (folder / "gradspike-run", folder.parent / "bin" / "gradspike-run") if path.exists()]
    if not found:
        raise FileNotFoundError(f"there is no gradspike-run in '{folder}' or beside it")
    return found[0]


def seconds_of(command: List[str], threads: int) -> float:
    """Wall time of a process."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(threads))
    taken = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
    return taken


def environment(threads: int) -> Dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def full_chip() -> torch.nn.Module:
    """256-246-10, as large as the chip, firing at a few per cent."""
    torch.manual_seed(0)
    inputs, hidden, classes = SIZES
    model = torch.nn.Sequential(
        nn.Synapse(inputs, hidden, name="hidden", scale=64.0),
        nn.LIF(hidden, name="hidden"),
        nn.Synapse(hidden, classes, name="readout", scale=64.0),
        nn.LI(classes, name="readout"),
    )
    torch.nn.init.normal_(model[0].weight, 0.0, 0.21)
    torch.nn.init.normal_(model[2].weight, 0.0, 0.1)
    return model


def cold_rows(folder: Path, samples: int, threads: int) -> List[Dict[str, Any]]:
    run = str(program())
    spikes = EXAMPLE / "yinyang_in.csv"
    command = [run, str(EXAMPLE / "yinyang.pt"), "--spikes", str(spikes), "--target", "cpu"]
    command += ["--output", str(folder / "out.csv")]
    taken: Dict[str, List[float]] = {"run": [], "help": []}
    for _ in range(samples):
        taken["run"].append(seconds_of(command, threads))
        taken["help"].append(seconds_of([run, "--help"], threads))
    case = "cold start of gradspike-run with the Yin-Yang archive"
    return [
        measure.row(case, "wall time", min(taken["run"]), "s", PREDICTED_COLD_S, at_most=COLD_TARGET_S),
        measure.row(case, "of which loading PyTorch", min(taken["help"]), "s"),
    ]


def throughput_rows(folder: Path, samples: int, threads: int) -> List[Dict[str, Any]]:
    rows: List[Dict[str, Any]] = []
    networks = {
        "Yin-Yang 5-120-3, T=38, B=2000": (yinyang.YinYangNetwork(), 38, 2000, 5),
        "256-246-10, T=100, B=200": (full_chip(), 100, 200, 256),
    }
    for case, (model, steps, batch, inputs) in networks.items():
        torch.manual_seed(1)
        spikes = (torch.rand(steps, batch, inputs) < 0.05).float()
        gradspike.save(model, folder / "net.pt", example=spikes[:, :2])
        numpy.save(folder / "in.npy", spikes.numpy().astype("uint8"))
        command = [str(program()), str(folder / "net.pt"), "--spikes", str(folder / "in.npy"), "--target", "cpu"]
        command += ["--output", str(folder / "out.npy"), "--result", str(folder / "result.json")]
        python = [sys.executable, "-W", "ignore", "-c", IN_PYTHON, str(folder / "net.pt"), str(folder / "in.npy")]
        times: Dict[str, List[float]] = {"C++": [], "Python": []}
        for _ in range(samples):
            seconds_of(command, threads)
            times["C++"].append(json.loads((folder / "result.json").read_text())["seconds"])
            done = subprocess.run(
                [*python, str(threads)], capture_output=True, text=True, check=True, env=environment(threads)
            )
            times["Python"].append(json.loads(done.stdout))
        best = {name: min(values) for name, values in times.items()}
        rows.append(
            measure.row(f"{case}; C++ program", "run_model in Python", best["Python"] / best["C++"], "x", 1.0, 1.0)
        )
        for name, value in best.items():
            rows.append(measure.row(f"{case}; {name}", "samples per second", batch / value, "1/s"))
    return rows


def saving_rows(folder: Path) -> List[Dict[str, Any]]:
    """The second time of each, except of the compilers, whose first time is what a user waits for."""
    model = yinyang.YinYangNetwork()
    spikes = (torch.rand(38, 2, 5) < 0.1).float()
    work: Dict[str, Callable[[], Any]] = {
        "gradspike.save": lambda: gradspike.save(model, folder / "a.pt", example=spikes),
        "gradspike.export": lambda: gradspike.export(model, folder / "a.pt2", example=spikes),
        "gradspike.load of .pt": lambda: gradspike.load(folder / "a.pt"),
        "gradspike.load of .pt2": lambda: gradspike.load(folder / "a.pt2"),
    }
    rows = []
    for name, call in work.items():
        call()
        start = time.perf_counter()
        call()
        rows.append(measure.row(f"Yin-Yang 5-120-3; {name}", "own time", time.perf_counter() - start, "s"))
    first: Dict[str, Callable[[], Any]] = {
        "export(native_code=True), first time": lambda: gradspike.export(
            model, folder / "native.pt2", example=spikes, native_code=True
        ),
        "torch.compile, first forward": lambda: torch.compile(model, fullgraph=True, dynamic=True)(spikes),
    }
    for name, call in first.items():
        start = time.perf_counter()
        call()
        rows.append(measure.row(f"Yin-Yang 5-120-3; {name}", "own time", time.perf_counter() - start, "s"))
    return rows


def main() -> None:
    options = measure.parse_options(__doc__)
    samples = 3 if options.quick else 9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = cold_rows(folder, samples, options.threads)
        rows += throughput_rows(folder, samples, options.threads)
        rows += saving_rows(folder)
    measure.write("deploy", options, {}, rows, {"program": program().name, "samples": samples})


if __name__ == "__main__":
    main()
