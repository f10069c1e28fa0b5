"""Test accuracy of the Yin-Yang example for seeds 0, 1 and 2, with hardware integers and with float weights."""

import statistics
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import measure

from gradspike.examples import yinyang
from gradspike.examples import yinyang_training as training

SEEDS = (0, 1, 2)
PREDICTED = {"integer": 0.972, "float": 0.973, "seconds": 15.0}


def main() -> None:
    options = measure.parse_options(__doc__)
    epochs = 2 if options.quick else training.Settings().epochs
    data = training.load_data()
    results: List[Dict[str, Any]] = []
    for seed in SEEDS:
        settings = training.Settings(epochs=epochs, seed=seed)
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
    case = "Yin-Yang example, seeds 0 to 2"
    at_least = None if options.quick else 0.96
    rows = [
        measure.row(case, "test accuracy, integers", mean["integer"], "", PREDICTED["integer"], at_least),
        measure.row(case, "test accuracy, float weights", mean["float"], "", PREDICTED["float"]),
        measure.row(case, "slowest training", slowest, "s wall", PREDICTED["seconds"], at_most=60.0),
    ]
    checks = {"spikes and membranes that differ from the emulator": sum(result["differences"] for result in results)}
    measure.write("accuracy", options, checks, rows, {"seeds": results, "epochs": epochs})


if __name__ == "__main__":
    main()
