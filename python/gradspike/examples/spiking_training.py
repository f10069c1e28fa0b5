"""What the examples on digits in the way of hxtorch share: settings, neurons, training."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import torch

import gradspike.spiking as hxsnn
from gradspike.examples import digits

__all__ = ["Settings", "neuron_values", "new_experiment", "train"]


@dataclass(frozen=True)
class Settings:
    """Choices of a network and its training.

    Attributes:
        mock: Whether to simulate.
        backend: Backend without `mock`; None: the one that GRADSPIKE_BACKEND names, else the emulator.
        preset: Preset of the backend.
        seed: Seed of the initial weights, of the order of samples, and of the chip.
        epochs: Passes over the training set.
        batch_size: Samples per step.
        learning_rate: Adam's rate; it falls by 3 % after each epoch.
    """

    mock: bool = True
    backend: Optional[str] = "emulator"
    preset: str = "ideal"
    seed: int = 0
    epochs: int = 1
    batch_size: int = 50
    learning_rate: float = 1e-3


def new_experiment(settings: Settings, dt: float) -> hxsnn.Experiment:
    """An experiment, simulated or on a backend, with steps of dt [s]."""
    return hxsnn.Experiment(
        mock=settings.mock, dt=dt, backend=settings.backend, preset=settings.preset, seed=settings.seed
    )


def neuron_values(
    leak: Tuple[float, float], threshold: Tuple[float, float], tau_mem: float, tau_syn: float
) -> Dict[str, Any]:
    """Arguments of neurons with unit gain that rest at their reset potential.

    Args:
        leak: In the model, and as a reading of the converter [LSB].
        threshold: Likewise.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
    """
    return {
        "leak": hxsnn.MixedHXModelParameter(*leak),
        "reset": hxsnn.MixedHXModelParameter(*leak),
        "threshold": hxsnn.MixedHXModelParameter(*threshold),
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "membrane_capacitance": tau_mem,
        "trace_offset": leak[1],
        "trace_scale": (threshold[0] - leak[0]) / (threshold[1] - leak[1]),
    }


def train(model: torch.nn.Module, data: digits.Data, settings: Settings) -> List[float]:
    """Trains with Adam and cross entropy; returns the mean loss of each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
    means: List[float] = []
    for _ in range(settings.epochs):
        losses = []
        for chosen in torch.randperm(len(data.train_classes)).split(settings.batch_size):
            scores = model(data.train_spikes[:, chosen])
            loss = torch.nn.functional.cross_entropy(scores, data.train_classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        schedule.step()
        means.append(sum(losses) / len(losses))
    return means
