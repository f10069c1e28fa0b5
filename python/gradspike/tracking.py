"""Curves of a training for a TensorBoard-like writer.

A writer is any object with `add_scalar(tag, value, step)`, as `torch.utils.tensorboard.SummaryWriter` and many other
loggers have; where it also has `add_histogram(tag, values, step)`, it gets distributions. Nothing else is needed.
"""

from typing import Any, Iterator, NamedTuple

import torch
from torch import Tensor

from gradspike import _reading, functional, nn
from gradspike.chip import Report

__all__ = ["write_report", "write_spikes", "write_weights"]


def write_spikes(writer: Any, recorder: nn.Recorder, step: int) -> None:
    """Writes how much the layers of a recorder fire; reads numbers, so on CUDA it waits for the device.

    Tags, by layer: "firing rate/NAME", spikes per neuron and step; "silent/NAME", share of the neurons without a spike
    in the whole record; histogram "spikes/NAME", spikes per sample of each neuron.

    Args:
        writer: Where to write.
        recorder: After it has run the model.
        step: Step of the training.

    Raises:
        ValueError: the recorder has not run.
        TypeError: the writer has no `add_scalar`.

    Example:
        >>> class Printer:
        ...     def add_scalar(self, tag, value, step):
        ...         print(tag, value)
        >>> recorder = nn.Recorder(torch.nn.Sequential(nn.Synapse(2, 4), nn.LIF(4, name="hidden")))
        >>> output = recorder(torch.zeros(5, 1, 2))
        >>> write_spikes(Printer(), recorder, step=0)
        firing rate/hidden 0.0
        silent/hidden 1.0
    """
    _check(writer, "write_spikes")
    if not recorder.spikes:
        raise ValueError("write_spikes: recorder must have run the model, got one without records")
    for name, spikes in recorder.spikes.items():
        counts = spikes.detach().sum(0)
        writer.add_scalar(f"firing rate/{name}", float(spikes.detach().mean()), step)
        writer.add_scalar(f"silent/{name}", float((counts.sum(0) == 0).float().mean()), step)
        _histogram(writer, f"spikes/{name}", counts.mean(0), step)


def write_weights(writer: Any, model: torch.nn.Module, step: int) -> None:
    """Writes what the weights of a model lose on the chip; reads numbers, so on CUDA it waits for the device.

    Tags, by projection: "clipped/NAME" and "rounded to zero/NAME", shares of the weights; "rounding error/NAME", root
    mean square [LSB]; histogram "integers/NAME".

    Args:
        writer: Where to write.
        model: A module with projections of `gradspike.nn`, also compiled or wrapped by DistributedDataParallel.
        step: Step of the training.

    Raises:
        TypeError: the writer has no `add_scalar`.

    Example:
        >>> class Printer:
        ...     def add_scalar(self, tag, value, step):
        ...         print(tag, value)
        >>> synapse = nn.Synapse(2, 2, name="hidden", scale=10.0)
        >>> synapse.weight.data = torch.tensor([[9.0, 1.0], [0.0, 0.01]])
        >>> write_weights(Printer(), synapse, step=0)  # doctest: +ELLIPSIS
        clipped/hidden 0.25
        rounded to zero/hidden 0.25
        rounding error/hidden 0.04...
    """
    _check(writer, "write_weights")
    for layer in _projections(_reading.unwrapped(model)):
        weight = layer.weight.detach() if layer.weight.dim() > 1 else layer.weight.detach().unsqueeze(0)
        transform = (layer.scale, layer.min_weight, layer.max_weight, layer.rounding)
        statistics = functional.weight_statistics(weight, *transform)
        writer.add_scalar(f"clipped/{layer.name}", statistics.clipped_fraction, step)
        writer.add_scalar(f"rounded to zero/{layer.name}", statistics.to_zero_fraction, step)
        writer.add_scalar(f"rounding error/{layer.name}", statistics.rounding_error, step)
        _histogram(writer, f"integers/{layer.name}", functional.hardware_weights(weight, *transform), step)


def write_report(writer: Any, report: Report, step: int) -> None:
    """Writes whether a network fits the chip and what it uses.

    Tags: "chip/misfits", "chip/chips"; "chip/QUANTITY", used share of each limit of the whole chip; by projection
    "chip/clipped/NAME" and "chip/rounded to zero/NAME", shares of the weights.

    Args:
        writer: Where to write.
        report: From `gradspike.chip.check`, or of a run.
        step: Step of the training.

    Raises:
        TypeError: the writer has no `add_scalar`.

    Example:
        >>> class Printer:
        ...     def add_scalar(self, tag, value, step):
        ...         print(tag, value)
        >>> import gradspike
        >>> report = gradspike.chip.check(torch.nn.Sequential(nn.Synapse(5, 128, name="hidden"), nn.LIF(128)))
        >>> write_report(Printer(), report, step=0)  # doctest: +ELLIPSIS
        chip/misfits 0
        chip/chips 1
        chip/neuron circuits 0.25
        chip/synapses 0.0...
    """
    _check(writer, "write_report")
    writer.add_scalar("chip/misfits", len(report.misfits), step)
    writer.add_scalar("chip/chips", report.chips, step)
    for entry in report.data["resources"]:
        if entry["layer"] == "" and entry["limit"] and "(" not in entry["quantity"]:  # none of a single bus
            writer.add_scalar(f"chip/{entry['quantity']}", entry["used"] / entry["limit"], step)
    for name, losses in report.data["weights"].items():
        for key in ("clipped", "rounded_to_zero"):
            tag = f"chip/{key.replace('_', ' ')}/{name}"
            writer.add_scalar(tag, losses[key] / max(losses["count"], 1), step)


class _Projection(NamedTuple):
    name: str
    weight: Tensor
    scale: float
    min_weight: float
    max_weight: float
    rounding: str


def _projections(model: torch.nn.Module) -> Iterator[_Projection]:
    for path, module in model.named_modules():
        if isinstance(module, (nn.Synapse, nn.SparseSynapse)):
            with torch.no_grad():
                weight = module.effective_weight()
            name = module.projection or path or "weight"
            yield _Projection(name, weight, float(module.scale), module.min_weight, module.max_weight, _rounding(module))
        if isinstance(module, nn.RecurrentLIF):
            names = module.keys_of(module.population or path or "recurrent")
            for kind, attribute in (("input", "projection"), ("recurrent", "recurrent_projection")):
                weight, scale, low, high = (
                    getattr(module, f"{kind}_{part}") for part in ("weight", "scale", "min_weight", "max_weight")
                )
                yield _Projection(names[attribute], weight, scale, low, high, _rounding(module))


def _rounding(module: Any) -> str:
    return "half_even" if module.rounding == "none" else str(module.rounding)


def _histogram(writer: Any, tag: str, values: Tensor, step: int) -> None:
    if hasattr(writer, "add_histogram"):
        writer.add_histogram(tag, values.cpu(), step)


def _check(writer: Any, function: str) -> None:
    if not hasattr(writer, "add_scalar"):
        raise TypeError(f"{function}: writer must have add_scalar(tag, value, step), got {type(writer).__name__}")
