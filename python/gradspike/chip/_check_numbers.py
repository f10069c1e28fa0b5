"""Numbers of the check run: rates, spreads and differences of spike trains and membranes."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from torch import Tensor


def mean_and_spread(values: Sequence[float]) -> Optional[Dict[str, Any]]:
    """Mean, smallest, largest and, of two or more, the standard deviation with n - 1; None for no values."""
    if not values:
        return None
    tensor = torch.tensor(values, dtype=torch.float64)
    return {
        "mean": float(tensor.mean()),
        "spread": float(tensor.std()) if len(values) > 1 else None,
        "minimum": float(tensor.min()),
        "maximum": float(tensor.max()),
    }


def layer_numbers(spikes: Sequence[Optional[Tensor]], silent_below: float, saturated_above: float) -> Dict[str, Any]:
    """Rate of a layer over runs [spikes per neuron and step], neurons that never fire, and its state.

    Args:
        spikes: `[time, batch, neuron]` of each run; None where the layer does not fire.
        silent_below: A mean rate below is "silent".
        saturated_above: A mean rate above is "saturated"; between the two it is "active".
    """
    trains = [train for train in spikes if train is not None]
    if not trains or trains[0].numel() == 0:
        return {"rate": None, "silent_neurons": None, "saturated_neurons": None, "state": "no spikes"}
    per_neuron = torch.stack([train.double().mean((0, 1)) for train in trains])
    rate = mean_and_spread(per_neuron.mean(1).tolist())
    state = "active"
    if rate is not None and rate["mean"] < silent_below:
        state = "silent"
    elif rate is not None and rate["mean"] > saturated_above:
        state = "saturated"
    return {
        "rate": rate,
        "silent_neurons": _round_half((per_neuron == 0).sum(1).double()),
        "saturated_neurons": _round_half((per_neuron > saturated_above).sum(1).double()),
        "state": state,
    }


def _round_half(counts: Tensor) -> float:
    """Mean of counts over runs, to a tenth."""
    return round(float(counts.mean()), 1)


def difference(first: Optional[Tensor], second: Optional[Tensor], fires: bool) -> Dict[str, Any]:
    """Where two runs of one layer part: spikes `[time, batch, neuron]`, or membranes where the layer does not fire.

    Returns:
        "first_differing_step": None where all values are the same bits; "differing": values that differ; "values": of
        how many; and for layers that fire "rate_change", relative to the first, and "count_correlation", Pearson's, of
        spike counts per sample and neuron; None where a count does not vary.
    """
    nothing: Dict[str, Any] = dict.fromkeys(
        ("first_differing_step", "differing", "values", "rate_change", "count_correlation")
    )
    if first is None or second is None or first.shape != second.shape:
        return nothing
    unequal = first.cpu() != second.cpu()
    steps: List[int] = unequal.flatten(1).any(1).nonzero().flatten().tolist()
    result = {
        **nothing,
        "first_differing_step": steps[0] if steps else None,
        "differing": int(unequal.sum()),
        "values": unequal.numel(),
    }
    if fires:
        a, b = first.cpu().double().sum(0), second.cpu().double().sum(0)
        result["rate_change"] = float(b.sum() / a.sum() - 1.0) if a.sum() > 0 else None
        result["count_correlation"] = _correlation(a.flatten(), b.flatten())
    return result


def _correlation(first: Tensor, second: Tensor) -> Optional[float]:
    a, b = first - first.mean(), second - second.mean()
    norm = float(a.norm() * b.norm())
    return float((a * b).sum()) / norm if norm > 0.0 else None
