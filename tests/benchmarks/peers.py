"""Other libraries: their leaky integrate-and-fire neuron over all steps, and their leaky integrator.

Their neurons have no synaptic current, `v' = decay * v + x` with a hard reset to 0, so they do less work than ours;
thresholds are set so that as many spikes occur. Each is found by import and skipped with the reason otherwise;
`make bench-peers` installs them. Run as a program, this file says which are found.
"""

import math
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

DECAY = 0.9
"""Decay of the membrane per step in every peer: 1 - dt / tau_mem with tau_mem of ten steps."""

PACKAGES = {"SpikingJelly": "spikingjelly", "snnTorch": "snntorch", "Norse": "norse", "sinabs": "sinabs"}


@dataclass(frozen=True)
class Peer:
    """A library with its neurons.

    Attributes:
        name: Name with version.
        lif: `(x [time, batch, neuron], threshold) -> spikes` of the same shape.
        li: `x -> membrane`.
    """

    name: str
    lif: Callable[[Tensor, float], Tensor]
    li: Callable[[Tensor], Tensor]


def reference(x: Tensor, threshold: float) -> Tensor:
    """Spikes by a plain loop: what every peer must give, up to the rounding of its own order of operations."""
    v = torch.zeros_like(x[0])
    spikes = []
    for current in x.unbind(0):
        v = DECAY * v + current
        z = (v > threshold).to(x.dtype)
        v = torch.where(z > 0, 0.0, v)
        spikes.append(z)
    return torch.stack(spikes)


def _spikingjelly() -> Tuple[Any, Any]:
    from spikingjelly.activation_based import functional, neuron  # type: ignore[import-not-found]

    tau = 1.0 / (1.0 - DECAY)
    node = neuron.LIFNode(tau=tau, decay_input=False, v_threshold=1.0, v_reset=0.0, detach_reset=True, step_mode="m")
    # Its integrator without spikes always decays its input; a neuron without reach of the threshold does not.
    silent = neuron.LIFNode(tau=tau, decay_input=False, v_threshold=1e9, v_reset=0.0, step_mode="m", store_v_seq=True)

    def lif(x: Tensor, threshold: float) -> Tensor:
        functional.reset_net(node)
        node.v_threshold = threshold
        result: Tensor = node(x)
        return result

    def li(x: Tensor) -> Tensor:
        functional.reset_net(silent)
        silent(x)
        result: Tensor = silent.v_seq
        return result

    return lif, li


def _snntorch() -> Tuple[Any, Any]:
    import snntorch as library  # type: ignore[import-not-found]

    node: Any = library.Leaky(beta=DECAY, threshold=1.0, reset_mechanism="zero")
    silent: Any = library.Leaky(beta=DECAY, reset_mechanism="none")

    def lif(x: Tensor, threshold: float) -> Tensor:
        node.to(x.device)
        node.threshold = torch.tensor(threshold, device=x.device)
        membrane = node.reset_mem()
        spikes = []
        for current in x.unbind(0):
            spike, membrane = node(current, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    def li(x: Tensor) -> Tensor:
        silent.to(x.device)
        membrane = silent.reset_mem()
        trace = []
        for current in x.unbind(0):
            _, membrane = silent(current, membrane)
            trace.append(membrane)
        return torch.stack(trace)

    return lif, li


def _norse() -> Tuple[Any, Any]:
    import norse.torch as library  # type: ignore[import-not-found]

    dt = 1e-3
    gain = 1.0 - DECAY  # its input is decayed too: the membrane is smaller by this factor

    def lif(x: Tensor, threshold: float) -> Tensor:
        parameters = library.LIFBoxParameters(
            tau_mem_inv=torch.tensor(gain / dt, device=x.device),
            v_leak=torch.tensor(0.0, device=x.device),
            v_th=torch.tensor(threshold * gain, device=x.device),
            v_reset=torch.tensor(0.0, device=x.device),
        )
        spikes, _ = library.Lift(library.LIFBoxCell(p=parameters, dt=dt))(x)
        result: Tensor = spikes
        return result

    def li(x: Tensor) -> Tensor:
        parameters = library.LIBoxParameters(
            tau_mem_inv=torch.tensor(gain / dt, device=x.device), v_leak=torch.tensor(0.0, device=x.device)
        )
        membrane, _ = library.Lift(library.LIBoxCell(p=parameters, dt=dt))(x)
        result: Tensor = membrane / gain
        return result

    return lif, li


def _sinabs() -> Tuple[Any, Any]:
    from sinabs import activation, layers  # type: ignore[import-not-found]

    tau = -1.0 / math.log(DECAY)  # its decay is exp(-1 / tau)
    node: Any = layers.LIF(
        tau_mem=tau,
        spike_fn=activation.SingleSpike,
        reset_fn=activation.MembraneReset(),
        norm_input=False,
    )
    node.spike_threshold.requires_grad_(False)
    silent: Any = layers.ExpLeak(tau_mem=tau, norm_input=False)

    # Batch-major; the transposition costs nothing, it reads a strided tensor.
    def lif(x: Tensor, threshold: float) -> Tensor:
        node.to(x.device)
        node.reset_states()
        node.spike_threshold.data.fill_(threshold)
        result: Tensor = node(x.transpose(0, 1)).transpose(0, 1)
        return result

    def li(x: Tensor) -> Tensor:
        silent.to(x.device)
        silent.reset_states()
        result: Tensor = silent(x.transpose(0, 1)).transpose(0, 1)
        return result

    return lif, li


MAKERS = {"SpikingJelly": _spikingjelly, "snnTorch": _snntorch, "Norse": _norse, "sinabs": _sinabs}


def versions() -> Dict[str, str]:
    """Versions of the peers that are installed."""
    result = {}
    for name, package in PACKAGES.items():
        try:
            result[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return result


def available(skipped: List[str], libraries: Optional[Sequence[str]] = None) -> Dict[str, Peer]:
    """The libraries that can be imported, by name; the reasons of the others are appended to `skipped` and printed.

    With `libraries` only these are looked for.
    """
    result: Dict[str, Peer] = {}
    for name, make in MAKERS.items():
        if libraries is not None and name not in libraries:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lif, li = make()
            result[name] = Peer(f"{name} {metadata.version(PACKAGES[name])}", lif, li)
        except Exception as error:  # a peer that fails to import for any reason is absent
            skipped.append(f"{name}: {type(error).__name__}: {error}")
            print(f"skipped {skipped[-1]}", flush=True)
    return result


def matched_threshold(x: Tensor, rate: float, steps: int = 14) -> float:
    """Threshold at which the peers' neuron fires at `rate` per neuron and step, by bisection of the plain loop."""
    low, high = 1e-3, 100.0
    with torch.no_grad():
        for _ in range(steps):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if float(reference(x, middle).mean()) > rate else (low, middle)
    return math.sqrt(low * high)


if __name__ == "__main__":
    for found in available([]).values():
        print(f"found {found.name}")
