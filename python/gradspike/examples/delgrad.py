"""The Yin-Yang figures of DelGrad beside the preset `delgrad-2024` of the analog emulator.

Trains 5-30-3 with hardware integers, without noise, then runs it on several chips of the preset, whose constants are
those of DelGrad's hardware-aware simulation, and prints the accuracies beside the published ones. Run it with
`python -m gradspike.examples.delgrad`.

What is the same: data set, size of the hidden layer, weights as the only thing that is trained, and the constants of
the noise model (mean and spread of the threshold, its spread from trial to trial, jitter of spikes). What is not:
DelGrad trains spike times with exact gradients, decides by the first spike of an output neuron and has weights of
another resolution; this network trains with surrogate gradients, decides by the largest membrane and has 6-bit weights.
"""

import argparse
import statistics
import sys
from typing import Dict, List, Optional, Sequence

from gradspike.examples import yinyang_training as training
from gradspike.examples.in_the_loop import evaluate

__all__ = ["PUBLISHED", "main", "measure"]

HIDDEN = 30

PUBLISHED: Dict[str, float] = {"simulation": 0.967, "chip": 0.849, "hardware-aware simulation": 0.849}
"""Weights only: computed from the public training artefacts of fastAndDeep (Goeltz et al., DelGrad, 2024)."""


def measure(seeds: int, chips: int, data: training.Data, epochs: int) -> Dict[str, List[float]]:
    """Test accuracies: one per training seed on the training operators, one per seed and chip on each preset."""
    result: Dict[str, List[float]] = {"simulation": [], "noiseless": [], "delgrad-2024": [], "calibrated": []}
    for seed in range(seeds):
        settings = training.Settings(epochs=epochs, seed=seed)
        network = training.train("half_even", data, settings, f"seed {seed}", HIDDEN).network
        result["simulation"].append(evaluate(network, data, "ideal", 0))
        result["noiseless"].append(evaluate(network, data, "noiseless", 0))
        for preset in ("delgrad-2024", "calibrated"):
            result[preset] += [evaluate(network, data, preset, chip) for chip in range(chips)]
    return result


def _row(name: str, values: Sequence[float], published: str) -> str:
    spread = statistics.pstdev(values)
    return f"{name:32} {100 * statistics.mean(values):5.1f} +- {100 * spread:4.1f} {len(values):9}   {published}"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the data (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings (%(default)s)")
    parser.add_argument("--chips", type=int, default=5, help="chips per training (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few samples, one epoch, one training, two chips")
    options = parser.parse_args(argv)
    sizes = (5000, 1000)
    if options.quick:
        sizes = (500, 200)
        options.epochs, options.seeds, options.chips = 1, 1, 2
    results = measure(options.seeds, options.chips, training.load_data(*sizes), options.epochs)
    print(f"\nYin-Yang 5-{HIDDEN}-3, test accuracy in %        this        runs   DelGrad, weights only")
    simulated, aware, chip = (100 * PUBLISHED[k] for k in ("simulation", "hardware-aware simulation", "chip"))
    print(_row("simulation, emulator ideal", results["simulation"], f"{simulated:.1f} (simulation)"))
    print(_row("emulator noiseless", results["noiseless"], ""))
    print(_row("emulator delgrad-2024", results["delgrad-2024"], f"{aware:.1f} (hardware-aware), {chip:.1f} (chip)"))
    print(_row("emulator calibrated", results["calibrated"], ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
