"""Training step of the Yin-Yang network 5-120-3, T = 38, batch 50, with Adam, against the list-and-stack loop."""

import argparse
import copy
from typing import Any, Callable, Dict

import loop
import measure
import torch
from torch import Tensor

from gradspike.examples import yinyang_training as yinyang

PREDICTED = {"step": 8.0, "forward": 8.0, "step_ms": 1.6, "limit": 0.6}


def loop_scores(network: yinyang.YinYangNetwork, spikes: Tensor) -> Tensor:
    """The network's scores by the loop, on the network's own parameters."""
    tau, dt = yinyang.TAU, yinyang.DT
    current = loop.graded_spikes(spikes, network.hidden_synapse.weight, network.hidden_synapse.scale)
    hidden = loop.lif(current, tau, tau, tau, dt)
    current = loop.graded_spikes(hidden, network.readout_synapse.weight, network.readout_synapse.scale)
    membrane = loop.li(current, tau, tau, float(network.readout.membrane_capacitance), dt)
    return membrane.amax(0) * network.score_gain


def linear_scores(network: yinyang.YinYangNetwork, spikes: Tensor) -> Tensor:
    """The same products without neurons: what a step costs even if neurons were free."""
    hidden = torch.nn.functional.linear(spikes, network.hidden_synapse.weight)
    return torch.nn.functional.linear(hidden, network.readout_synapse.weight).amax(0)


def make_step(
    network: yinyang.YinYangNetwork, scores_of: Callable[[Any, Tensor], Tensor], spikes: Tensor, classes: Tensor
) -> Callable[[], Tensor]:
    """A training step on a copy of the network, so that entries do not train each other's weights."""
    own = copy.deepcopy(network)
    optimizer = torch.optim.Adam(own.parameters(), lr=1e-5)

    def step() -> Tensor:
        loss = yinyang.loss_of(scores_of(own, spikes), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def check(network: yinyang.YinYangNetwork, spikes: Tensor, classes: Tensor) -> Dict[str, Any]:
    """Scores must be equal bit for bit, gradients up to the order of their sums."""
    ours, theirs = network(spikes), loop_scores(network, spikes)
    different = int((ours.detach().view(torch.int32) != theirs.detach().view(torch.int32)).sum())
    parameters = list(network.parameters())
    expected = torch.autograd.grad(yinyang.loss_of(theirs, classes), parameters)
    actual = torch.autograd.grad(yinyang.loss_of(ours, classes), parameters)
    error = max(float((a - e).abs().max() / e.abs().max()) for a, e in zip(actual, expected))
    if different or error > 1e-4:
        raise RuntimeError(f"operators and loop must agree, got {different} scores and gradient error {error}")
    return {"scores that differ": different, "largest relative error of a gradient": error}


def forward_entries(network: yinyang.YinYangNetwork, spikes: Tensor) -> Dict[str, Callable[[], Any]]:
    def without_graph(scores_of: Callable[[Any, Tensor], Tensor]) -> Callable[[], Any]:
        def work() -> Tensor:
            with torch.no_grad():
                return scores_of(network, spikes)

        return work

    return {"loop": without_graph(loop_scores), "gradspike": without_graph(lambda own, x: own(x))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--samples", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    data = yinyang.load_data(50, 1)
    network = yinyang.YinYangNetwork()
    spikes, classes = data.train_spikes, data.train_classes
    checks = check(network, spikes, classes)
    scores = {"loop": loop_scores, "gradspike": lambda own, x: own(x), "linear only": linear_scores}
    steps = {name: make_step(network, scores_of, spikes, classes) for name, scores_of in scores.items()}
    step_times = measure.interleaved(steps, options.samples, repeats=10)
    forward_times = measure.interleaved(forward_entries(network, spikes), options.samples, repeats=10)
    clock = measure.clock_of(options.threads)
    step, forward = (measure.ratio(times, "loop", "gradspike", clock) for times in (step_times, forward_times))
    ours = step_times["gradspike"][clock]["median"]
    limit = step_times["linear only"][clock]["median"] / ours
    rows = [
        measure.row("Yin-Yang training step with Adam, loop / gradspike", step["ratio"], "x", PREDICTED["step"], 6.0),
        measure.row("Yin-Yang forward, loop / gradspike", forward["ratio"], "x", PREDICTED["forward"]),
        measure.row("Yin-Yang training step", ours, "ms", PREDICTED["step_ms"]),
        measure.row("Yin-Yang step without neurons / gradspike step", limit, "of 1", PREDICTED["limit"]),
    ]
    details = {
        "clock": clock,
        "step": step_times,
        "forward": forward_times,
        "ratios": {"step": step, "forward": forward},
        "floor": "the same two products in float32, maximum, loss, backward and Adam, without neurons",
    }
    measure.write(f"yinyang_step_{options.threads}_thread", options.threads, checks, rows, details)


if __name__ == "__main__":
    main()
