"""Runs the benchmarks, each in a process of its own, and writes the tables `results/*.md`.

python tests/benchmarks/run.py [--quick] [--threads 1 2] [--only yinyang layer ...]

GPU sizes run by themselves where PyTorch finds a GPU.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import tables
import torch

FOLDER = Path(__file__).resolve().parent
NAMES = (
    "limits",
    "layer",
    "traces",
    "neuron",
    "yinyang",
    "full_chip",
    "linear_lif",
    "pair",
    "recurrent",
    "eventprop",
    "memory",
    "growth",
    "accuracy",
    "spiking",
    "gpu",
)
ONE_THREAD = ("memory", "growth", "accuracy", "pair", "spiking")
GPU = ("limits", "layer", "neuron", "linear_lif", "gpu")
GPU_ALONE = ("gpu",)


def commands(names: List[str], threads: List[int], quick: bool, gpu: bool) -> List[List[str]]:
    """Benchmarks for each number of threads, some with the first alone; then those that have GPU sizes."""
    result = []
    for name in names:
        program = [sys.executable, "-W", "ignore", str(FOLDER / f"bench_{name}.py"), *(["--quick"] if quick else [])]
        counts = [] if name in GPU_ALONE else threads[:1] if name in ONE_THREAD else threads
        for count in counts:
            result.append([*program, "--threads", str(count)])
        if gpu and name in GPU:
            result.append([*program, "--device", "cuda"])
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--quick", action="store_true", help="few samples, for a look")
    options = parser.parse_args()
    failed = []
    begin = time.monotonic()
    for command in commands(options.only, options.threads, options.quick, torch.cuda.is_available()):
        print("$ " + " ".join(command), flush=True)
        start = time.monotonic()
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(" ".join(command[3:]))
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    print(tables.write_all())
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")
    for command_line in failed:
        print(f"failed: {command_line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
