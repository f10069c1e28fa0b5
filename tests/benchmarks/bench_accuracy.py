"""Test accuracy of the Yin-Yang example for seeds 0, 1 and 2, with hardware integers and with float weights."""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import measure
import torch

from gradspike.examples import yinyang
from gradspike.examples import yinyang_training as training

SEEDS = (0, 1, 2)
PREDICTED = {"integer": 0.972, "float": 0.973, "seconds": 15.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--epochs", type=int, default=training.Settings().epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = training.load_data()
    results: List[Dict[str, Any]] = []
    for seed in options.seeds:
        settings = training.Settings(epochs=options.epochs, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            outcome = yinyang.run(settings, Path(folder), data, plots=False)
        results.append(
            {
                "seed": seed,
                "integer": outcome.accuracy_integer,
                "float": outcome.accuracy_float,
                "rounded after training": outcome.accuracy_rounded,
                "emulator": outcome.comparison.accuracy,
                "differences": outcome.comparison.differences,
                "hidden firing": outcome.comparison.layers[0].firing_rate,
                "seconds integer": outcome.seconds_integer,
                "seconds float": outcome.seconds_float,
            }
        )
    mean = {key: statistics.fmean(result[key] for result in results) for key in ("integer", "float")}
    slowest = max(max(result["seconds integer"], result["seconds float"]) for result in results)
    rows = [
        measure.row("Yin-Yang test accuracy, integers, mean of seeds", mean["integer"], "", PREDICTED["integer"], 0.96),
        measure.row("Yin-Yang test accuracy, float, mean of seeds", mean["float"], "", PREDICTED["float"]),
        measure.row("Yin-Yang slowest training", slowest, "s wall", PREDICTED["seconds"], at_most=60.0),
    ]
    checks = {"spikes and membranes that differ from the emulator": sum(result["differences"] for result in results)}
    measure.write("accuracy", options.threads, checks, rows, {"seeds": results, "epochs": options.epochs})


if __name__ == "__main__":
    main()
