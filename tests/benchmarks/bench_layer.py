"""Linear 256 to 512 with LIF, T = 100, batch 256, at 2, 5 and 20 % input spikes, against loops and libraries."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import layer
import measure
from layer import COMPILED, FUSED, LOOP, LOOPS, SEPARATE, Sizes

DENSITIES = (0.02, 0.05, 0.2)
GPU_BATCHES = (256, 2048)

# Smallest ratio that is asked for, at 2, 5 and 20 %; loops at 5 % only.
TARGETS: Dict[str, Dict[str, Dict[float, float]]] = {
    "forward": {
        "SpikingJelly": {0.02: 15, 0.05: 12, 0.2: 5},
        "compiled loop": {0.05: 15},
        "list-and-stack loop": {0.05: 18},
    },
    "forward and backward": {
        "SpikingJelly": {0.02: 8, 0.05: 6, 0.2: 3},
        "compiled loop": {0.05: 8},
        "list-and-stack loop": {0.05: 8},
    },
}
# On a GPU, of the fused operator, by batch size.
GPU_TARGETS: Dict[str, Dict[str, Dict[int, float]]] = {
    "forward": {
        "SpikingJelly": {256: 6.5, 2048: 6.5},
        "compiled loop": {256: 40},
        "hxtorch": {256: 250},
    },
    "forward and backward": {"SpikingJelly": {256: 4, 2048: 4}, "compiled loop": {256: 40}, "hxtorch": {256: 300}},
}
# Guesses made before the first measurement, for separate operators and for the fused one.
PREDICTED: Dict[str, Dict[str, Dict[str, float]]] = {
    SEPARATE: {
        "forward": {"SpikingJelly": 6.5, "compiled loop": 8, "list-and-stack loop": 7, "hxtorch": 12},
        "forward and backward": {"SpikingJelly": 5, "compiled loop": 7, "list-and-stack loop": 7, "hxtorch": 30},
    },
    FUSED: {
        "forward": {"SpikingJelly": 15, "compiled loop": 20, "list-and-stack loop": 20, "hxtorch": 27},
        "forward and backward": {"SpikingJelly": 7, "compiled loop": 10, "list-and-stack loop": 10, "hxtorch": 40},
    },
}
# At the other densities, for the operator that was not there yet.
PREDICTED_ELSEWHERE: Dict[Tuple[str, str, float], Dict[str, float]] = {
    (FUSED, "forward", 0.02): {"SpikingJelly": 18},
    (FUSED, "forward", 0.2): {"SpikingJelly": 7},
    (FUSED, "forward and backward", 0.02): {"SpikingJelly": 9},
    (FUSED, "forward and backward", 0.2): {"SpikingJelly": 3.5},
}


def field(full: bool, threads: int) -> Tuple[Sequence[str], Optional[Sequence[str]]]:
    """Loops and libraries (None for all) that take part: at 5 % all with one thread, the fast ones with two."""
    if not full:
        return [], ["SpikingJelly"]
    if threads == 1:
        return list(LOOPS), None
    return [LOOP, COMPILED], ["SpikingJelly", "snnTorch"]


def floors(sizes: Sizes, density: float, limits: Dict[str, float]) -> Dict[str, Dict[str, float]]:
    """Least time [ms] of the forward pass: bytes over copy bandwidth, and additions over the integer rate."""
    rows = sizes.time * sizes.batch
    inputs, trace = 4 * rows * sizes.inputs, 4 * rows * sizes.neurons
    memory = 1e-6 / limits["copy_gb_per_s"]
    integer = density * rows * sizes.inputs * sizes.neurons * 1e-6 / limits["integer_gmac_per_s"]
    return {
        SEPARATE: {"memory": (inputs + 3 * trace) * memory, "integer": integer},
        FUSED: {"memory": (inputs + trace) * memory, "integer": integer},
    }


def main() -> None:
    options = measure.parse_options(__doc__, devices=("cpu", "cuda"))
    limits = measure.machine_limits(options.device)
    rows: List[Dict[str, Any]] = []
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": measure.clock_of(options), "limits": limits}
    skipped: List[str] = []
    for batch in GPU_BATCHES if options.device == "cuda" else (256,):
        sizes = Sizes(batch=batch)
        for density in DENSITIES:
            case = f"256->512, T=100, B={batch}, {density:.0%} spikes"
            if options.device == "cuda":
                case += ", GPU"
            full = density == 0.05 and batch == 256
            own = layer.make_layer(sizes, density, options.device)
            noted: List[str] = []
            runs, checks[case] = layer.entries(own, *field(full, options.threads), noted)
            skipped += [reason for reason in noted if reason not in skipped]
            times = layer.timed(sizes, density, runs, own, options)
            floor = floors(sizes, density, limits)
            details[case] = {"times": times, "floors of the forward pass [ms]": floor}
            targets = {kind: targets_of(kind, density, batch, options.device) for kind in times}
            rows += table_rows(case, density, times, floor, targets, details["clock"])
    measure.write("layer", options, checks, rows, details, skipped)


def targets_of(kind: str, density: float, batch: int, device: str) -> Dict[str, Dict[str, float]]:
    """Ratios that are asked for, by our entry and by the beginning of a baseline's name."""
    if device == "cpu":
        found = {name: values[density] for name, values in TARGETS[kind].items() if density in values}
        return {SEPARATE: found, FUSED: found}
    return {SEPARATE: {}, FUSED: {name: values[batch] for name, values in GPU_TARGETS[kind].items() if batch in values}}


def table_rows(
    case: str,
    density: float,
    times: Dict[str, Any],
    floor: Dict[str, Any],
    targets: Dict[str, Dict[str, Dict[str, float]]],
    clock: str,
) -> List[Dict[str, Any]]:
    rows = []
    for kind, entries in times.items():
        ours = [name for name in (SEPARATE, FUSED) if name in entries]
        for name in ours:
            label = f"{case}, {kind}; {name.split(', ')[1]}"
            for other in entries:
                if other in ours:
                    continue
                target = layer.baseline_of(other, targets[kind][name])
                guesses = (
                    PREDICTED[name][kind] if density == 0.05 else PREDICTED_ELSEWHERE.get((name, kind, density), {})
                )
                predicted = layer.baseline_of(other, guesses)
                rows.append(measure.ratio_row(label, entries, other, name, clock, predicted, target))
            if kind == "forward":
                least = max(floor[name].values())
                share = least / measure.value_of(entries, name, clock)
                roof = max(floor[name], key=lambda key: floor[name][key])
                rows.append(measure.row(label, f"floor: {roof}", share, "of 1"))
            rows.append(measure.row(label, "own time", measure.value_of(entries, name, clock), "ms"))
    return rows


if __name__ == "__main__":
    main()
