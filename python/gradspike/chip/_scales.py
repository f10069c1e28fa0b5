"""Scales of weights: suggested from the weights alone, and measured against a backend."""

import json
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from gradspike.chip._network import Network
from gradspike.chip._verbs import Example, Model, read
from gradspike.functional import ScaleSuggestion, suggest_scale, weight_statistics


@dataclass(frozen=True)
class ScaleMeasurement:
    """What a probe of one projection on a backend gave. Membranes are in model units.

    Attributes:
        target: What ran.
        scale: Scale of the projection [LSB per unit of weight].
        gain: Membrane response over that of training, fitted over weights, time and neurons; 1: the same.
        gain_spread: Standard deviation of the gain over neurons.
        offset: Reading at rest minus the leak potential.
        offset_spread: Standard deviation of the offset over neurons.
        noise: Standard deviation of one reading at rest, from run to run.
        neurons: Neurons that were measured.
        clipped_readings: Readings at the end of their range: where there are any, the gain is too small.
        suggested_scale: `scale / gain`: with it, the backend responds to a weight as the model says.
        clipped: Share of the present weights beyond a bound at the present scale.
        to_zero: Share of the present weights that are not 0 and become 0 at the present scale.
        suggested_clipped: As `clipped`, at the suggested scale.
        suggested_to_zero: As `to_zero`, at the suggested scale.
    """

    target: str
    scale: float
    gain: float
    gain_spread: float
    offset: float
    offset_spread: float
    noise: float
    neurons: int
    clipped_readings: int
    suggested_scale: float
    clipped: float
    to_zero: float
    suggested_clipped: float
    suggested_to_zero: float


def suggest_scales(
    model: Model, example: Example = None, *, max_clipped: float = 0.02, network: Optional[str] = None
) -> Dict[str, ScaleSuggestion]:
    """For each projection the largest power of two that clips few of its weights, see `functional.suggest_scale`.

    Args:
        model: As for `read`.
        example: As for `read`.
        max_clipped: Share of the weights that may clip, 0 <= max_clipped < 1.
        network: Name of the network.

    Returns:
        By projection the scale, and the shares of weights that clip and that become 0.

    Example:
        >>> import gradspike, torch
        >>> layer = gradspike.nn.Synapse(2, 2, name="out")
        >>> _ = torch.nn.init.constant_(layer.weight, 0.3)
        >>> suggest_scales(torch.nn.Sequential(layer, gradspike.nn.LI(2, name="out")))["out"].scale
        128.0
    """
    handle = read(model, example, network)
    return {
        name: suggest_scale(weight, *_bounds(handle, name), max_clipped=max_clipped)
        for name, weight in handle.weights().items()
    }


def measure_scales(
    model: Model,
    target: Optional[str] = None,
    preset: str = "ideal",
    seed: int = 0,
    *,
    constants: Optional[Dict[str, float]] = None,
    example: Example = None,
    network: Optional[str] = None,
) -> Dict[str, ScaleMeasurement]:
    """How strongly a backend responds to the weights of each projection, against what training assumes.

    Puts a probe on the backend for each projection: leaky integrators with the parameters of its target on all
    circuits, weights from the lower to the upper bound, one spike. Membranes are compared with those of training.

    Args:
        model: As for `read`.
        target: As for `deploy`.
        preset: As for `deploy`.
        seed: As for `deploy`.
        constants: As for `deploy`.
        example: As for `read`.
        network: Name of the network.

    Returns:
        By projection gain, offset and noise, the scale that would make up for the gain, and what either scale loses.

    Raises:
        RuntimeError: the backend does not respond, or does not record membranes.

    Example:
        >>> import gradspike, torch
        >>> layers = gradspike.nn.Synapse(5, 3, name="out"), gradspike.nn.LI(3, name="out")
        >>> measure_scales(torch.nn.Sequential(*layers), preset="ideal")["out"].gain
        1.0
    """
    handle = read(model, example, network)
    text = handle._on_backend(handle._handle.measure_scales, "measure_scales", target, preset, seed, constants)
    weights = handle.weights()
    results = {}
    for entry in json.loads(text):
        name = entry.pop("projection")
        now, then = (
            weight_statistics(weights[name], scale, *_bounds(handle, name))
            for scale in (entry["scale"], entry["suggested_scale"])
        )
        results[name] = ScaleMeasurement(
            **entry,
            clipped=now.clipped_fraction,
            to_zero=now.to_zero_fraction,
            suggested_clipped=then.clipped_fraction,
            suggested_to_zero=then.to_zero_fraction,
        )
    return results


def _bounds(network: Network, name: str) -> Tuple[float, float]:
    (projection,) = (p for p in network.description["projections"] if p["name"] == name)
    return float(projection["min_weight"]), float(projection["max_weight"])
