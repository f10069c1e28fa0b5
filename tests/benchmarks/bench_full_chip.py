"""Training step with Adam of a network of the whole chip, 256-246-10, T = 100 and 1000, batch 50, 5 % spikes."""

from typing import Any, Dict, List

import measure
import network
import torch
from layer import FUSED, LOOP, SEPARATE
from network import Network

SIZES = (256, 246, 10)
BATCH = 50


def make_network(steps: int, density: float = 0.05) -> Network:
    inputs, hidden, classes = SIZES
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(steps, BATCH, inputs, generator=generator) < density).float()
    weight = torch.randn(hidden, inputs, generator=generator) * 0.21
    readout = torch.randn(classes, hidden, generator=generator) * 0.1
    labels = torch.randint(classes, (BATCH,), generator=generator)
    return Network(weight.requires_grad_(), readout.requires_grad_(), (64.0, 64.0), 10e-6, 10e-6, 1.0, spikes, labels)


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    skipped: List[str] = []
    rows: List[Dict[str, Any]] = []
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": clock}
    for steps in (100, 1000):
        label = f"256-246-10, T={steps}, B={BATCH}, training step"
        own = make_network(steps)
        noted: List[str] = []
        runs, checks[label] = network.entries(own, [LOOP], ["SpikingJelly"], noted)
        skipped += [reason for reason in noted if reason not in skipped]
        times = measure.interleaved(
            {name: network.make_step(own, run, network.is_peer(name)) for name, run in runs.items()}, options
        )
        details[label] = times
        ours = [name for name in (SEPARATE, FUSED) if name in times]
        for name in ours:
            case = f"{label}; {name.split(', ')[1]}"
            for other in times:
                if other not in ours:
                    rows.append(measure.ratio_row(case, times, other, name, clock, 6.0))
            rows.append(measure.row(case, "own time", measure.value_of(times, name, clock), "ms"))
    measure.write("full_chip", options, checks, rows, details, skipped)


if __name__ == "__main__":
    main()
