"""A network of one hidden layer of LIF neurons and a leaky readout: its training step by operators, loops and peers."""

import copy
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import compiled_loop
import layer
import loop
import measure
import peers
import torch
from layer import COMPILED, FUSED, LOOP, SEPARATE
from torch import Tensor

from gradspike import functional

WITHOUT = "the same step without neurons"


@dataclass
class Network:
    """Weights, constants and one batch.

    Attributes:
        hidden: `[hidden, input]`, a leaf.
        readout: `[class, hidden]`, a leaf.
        scales: LSB per unit of both weights.
        tau: Time constants and capacitance of the hidden neurons [s].
        capacitance: Capacitance of the readout [s].
        gain: Scores are the largest membrane times this.
        spikes: `[time, batch, input]`.
        classes: `[batch]`.
    """

    hidden: Tensor
    readout: Tensor
    scales: Sequence[float]
    tau: float
    capacitance: float
    gain: float
    spikes: Tensor
    classes: Tensor
    dt: float = 1e-6

    def dequantised(self) -> "Network":
        """A copy whose float weights are what the integers mean, for the peers."""
        result = copy.copy(self)
        for name, scale in zip(("hidden", "readout"), self.scales):
            weight = functional.hardware_weights(getattr(self, name).detach(), scale).float() / scale
            setattr(result, name, weight.requires_grad_())
        return result

    def to(self, device: str) -> "Network":
        """A copy on a device, its weights leaves."""
        result = copy.copy(self)
        for name in ("hidden", "readout"):
            setattr(result, name, getattr(self, name).detach().to(device).requires_grad_())
        result.spikes, result.classes = self.spikes.to(device), self.classes.to(device)
        return result

    def neurons(self) -> Dict[str, float]:
        return {"tau_mem": self.tau, "tau_syn": self.tau, "membrane_capacitance": self.tau, "dt": self.dt}


Scores = Callable[[Network], Tensor]


def _readout(network: Network, hidden: Tensor) -> Tensor:
    current = functional.graded_spikes(hidden, network.readout, network.scales[1])
    membrane = functional.li(current, 0.0, network.tau, network.tau, network.capacitance, network.dt).membrane
    return membrane.amax(0) * network.gain


def separate(network: Network) -> Tensor:
    current = functional.graded_spikes(network.spikes, network.hidden, network.scales[0])
    return _readout(network, functional.lif(current, **network.neurons()).spikes)


def fused(network: Network) -> Tensor:
    return _readout(network, layer.synapse_lif(network.spikes, network.hidden, network.scales[0], **network.neurons()))


def by_loop(network: Network, module: Any = loop) -> Tensor:
    tau, dt = network.tau, network.dt
    current = loop.graded_spikes(network.spikes, network.hidden, network.scales[0])
    hidden = module.lif(current, tau, tau, tau, dt)
    current = loop.graded_spikes(hidden, network.readout, network.scales[1])
    scores: Tensor = module.li(current, tau, tau, network.capacitance, dt).amax(0) * network.gain
    return scores


def without_neurons(network: Network) -> Tensor:
    hidden = torch.nn.functional.linear(network.spikes, network.hidden)
    return torch.nn.functional.linear(hidden, network.readout).amax(0)


def of_peer(peer: peers.Peer, threshold: float) -> Scores:
    def scores(network: Network) -> Tensor:
        hidden = peer.lif(torch.nn.functional.linear(network.spikes, network.hidden), threshold)
        return peer.li(torch.nn.functional.linear(hidden, network.readout)).amax(0) * network.gain

    return scores


def loss_of(scores: Tensor, classes: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(scores, classes) + 4e-4 * scores.square().mean()


def entries(
    network: Network, loops: Sequence[str], libraries: Optional[Sequence[str]], skipped: List[str]
) -> Tuple[Dict[str, Scores], Dict[str, Any]]:
    """Checked entries: operators and loops must give the same bits, peers the spikes of their plain loop."""
    reference = by_loop(network)
    weights = [network.hidden, network.readout]
    expected = torch.autograd.grad(loss_of(reference, network.classes), weights)
    runs: Dict[str, Scores] = {SEPARATE: separate, FUSED: fused}
    if LOOP in loops:
        runs[LOOP] = by_loop
    if COMPILED in loops:
        runs[COMPILED] = lambda network: by_loop(network, compiled_loop)
    checks: Dict[str, Any] = {}
    for name in [name for name in runs if name != LOOP]:
        actual = runs[name](network)
        count = measure.require_equal(name, actual, reference)
        gradients = torch.autograd.grad(loss_of(actual, network.classes), weights)
        error = max(measure.require_close(name, a, e) for a, e in zip(gradients, expected))
        checks[name] = {"scores that differ": count, "largest error of a gradient": error}
    runs.update(_peers(network, libraries, skipped, checks))
    return runs, checks


def _peers(
    network: Network, libraries: Optional[Sequence[str]], skipped: List[str], checks: Dict[str, Any]
) -> Dict[str, Scores]:
    runs: Dict[str, Scores] = {}
    with torch.no_grad():
        current = functional.graded_spikes(network.spikes, network.hidden, network.scales[0])
        rate = float(functional.lif(current, **network.neurons()).spikes.mean())
        threshold = peers.matched_threshold(current, rate)
        expected = peers.reference(current, threshold)
    checks["hidden spikes per neuron and step"] = rate
    for peer in peers.available(skipped, libraries).values():
        try:
            with torch.no_grad():
                actual = peer.lif(current, threshold).contiguous()
            count = measure.require_equal(peer.name, actual, expected, layer.PEER_MISMATCHES)
            own = measure.require_rate(peer.name, float(actual.mean()), rate)
        except RuntimeError as error:
            measure.skip(skipped, peer.name, str(error))
            continue
        checks[peer.name] = {"threshold": threshold, "spike rate": own, "spikes that differ": count}
        runs[peer.name] = of_peer(peer, threshold)
    return runs


def make_step(network: Network, scores_of: Scores, peer: bool, capturable: bool = False) -> Callable[[], Any]:
    """A training step with Adam on a copy of the weights, so that entries do not train each other's.

    With `capturable` it can be captured in a CUDA graph.
    """
    own = network.dequantised() if peer else copy.copy(network)
    if not peer:
        own.hidden, own.readout = (w.detach().clone().requires_grad_() for w in (network.hidden, network.readout))
    optimizer = torch.optim.Adam([own.hidden, own.readout], lr=1e-6, capturable=capturable)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(scores_of(own), own.classes).backward()
        optimizer.step()

    return step


def make_forward(network: Network, scores_of: Scores, peer: bool) -> Callable[[], Any]:
    own = network.dequantised() if peer else network

    def work() -> None:
        with torch.no_grad():
            scores_of(own)

    return work


def is_peer(name: str) -> bool:
    return name not in (*layer.OWN, WITHOUT)
