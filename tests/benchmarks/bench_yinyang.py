"""Training step with Adam, and forward pass, of the Yin-Yang network 5-120-3, T = 38, batch 50."""

from typing import Any, Dict, List

import measure
import network
import torch
from layer import COMPILED, FUSED, LOOP, SEPARATE, baseline_of
from network import Network

from gradspike.examples import yinyang_training as yinyang

TARGETS = {
    SEPARATE: {"SpikingJelly": 5.0, "compiled loop": 5.0},
    FUSED: {"SpikingJelly": 8.0, "compiled loop": 8.0},
}
PREDICTED = {
    SEPARATE: {"SpikingJelly": 5.5, "compiled loop": 6.0, "list-and-stack loop": 8.5, "snnTorch": 9.0, "Norse": 8.5},
    FUSED: {"SpikingJelly": 8.0, "compiled loop": 8.0, "list-and-stack loop": 12.0, "snnTorch": 13.0, "Norse": 12.0},
}


def make_network() -> Network:
    """The example's network with its first weights, and one batch of its data."""
    torch.manual_seed(0)
    data = yinyang.load_data(50, 1)
    own = yinyang.YinYangNetwork()
    return Network(
        own.hidden_synapse.weight.detach().clone().requires_grad_(),
        own.readout_synapse.weight.detach().clone().requires_grad_(),
        (own.hidden_synapse.scale, own.readout_synapse.scale),
        yinyang.TAU,
        float(own.readout.membrane_capacitance),
        own.score_gain,
        data.train_spikes,
        data.train_classes,
    )


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    skipped: List[str] = []
    own = make_network()
    runs, checks = network.entries(own, [LOOP, COMPILED], None, skipped)
    steps = {name: network.make_step(own, run, network.is_peer(name)) for name, run in runs.items()}
    steps[network.WITHOUT] = network.make_step(own, network.without_neurons, False)
    times = {
        "training step": measure.interleaved(steps, options),
        "forward": measure.interleaved(
            {name: network.make_forward(own, run, network.is_peer(name)) for name, run in runs.items()}, options
        ),
    }
    rows: List[Dict[str, Any]] = []
    for kind, entries in times.items():
        ours = [name for name in (SEPARATE, FUSED) if name in entries]
        for name in ours:
            case = f"Yin-Yang 5-120-3, T=38, B=50, {kind}; {name.split(', ')[1]}"
            for other in entries:
                if other in ours:
                    continue
                step = kind == "training step"
                target = baseline_of(other, TARGETS[name]) if step else None
                predicted = baseline_of(other, PREDICTED[name]) if step else None
                rows.append(measure.ratio_row(case, entries, other, name, clock, predicted, target))
            rows.append(measure.row(case, "own time", measure.value_of(entries, name, clock), "ms"))
    measure.write("yinyang", options, checks, rows, {"clock": clock, **times}, skipped)


if __name__ == "__main__":
    main()
