"""Dense spikes and lists of events."""

from typing import NamedTuple, Optional

import torch
from torch import Tensor


class SpikesToEventsOutput(NamedTuple):
    """Events of dense spikes, and what is not among them."""

    events: Tensor
    """int32 `[capacity, 3]`, rows (time, batch, neuron) in this order, -1 beyond the last event."""
    num_events: Tensor
    """int64 `[1]`: number of events that exist, also beyond the capacity."""
    overflow: Tensor
    """int64 `[1]`: number of events that did not fit."""
    invalid: Tensor
    """int64 `[1]`: number of entries that are no whole number in 0..2^24 and gave no event."""


class EventsToSpikesOutput(NamedTuple):
    """Dense spikes of events, and how many events are not among them."""

    spikes: Tensor
    """`[time, batch, neuron]`, number of events or 0 and 1."""
    dropped: Tensor
    """int64 `[1]`: number of events outside the tensor, beyond the list's capacity or beyond what an entry holds."""


def spikes_to_events(spikes: Tensor, capacity: Optional[int] = None) -> SpikesToEventsOutput:
    """Lists the events of dense spikes: rows (time, batch, neuron) in this order, an entry of k as k rows.

    Args:
        spikes: Counts `[time, batch, neuron]`; float32, float64, half, bfloat16, uint8 or bool.
        capacity: Number of rows of the list. None: as many as there are events, which are counted first.

    Returns:
        SpikesToEventsOutput: `events` int32 `[capacity, 3]`, filled with -1; `num_events`, the events that exist;
        `overflow`, those beyond the capacity; `invalid`, entries that are negative, fractions, NaN or above 2^24 and
        gave no event.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        With a capacity nothing waits for the device; without, reading the count waits once. Not differentiable.
        Deterministic, equal on every device.

    Source:
        None: the order of the dense tensor.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0]], [[2.0, 0.0]]])
        >>> spikes_to_events(spikes).events
        tensor([[0, 0, 1],
                [1, 0, 0],
                [1, 0, 0]], dtype=torch.int32)
    """
    rows = 0
    if capacity is None:
        measured = torch.ops.gradspike.spikes_to_events(spikes, 0)
        rows = int(measured[1].item())
    else:
        rows = capacity
    events, num_events, overflow, invalid = torch.ops.gradspike.spikes_to_events(spikes, rows)
    return SpikesToEventsOutput(events, num_events, overflow, invalid)


def events_to_spikes(
    events: Tensor,
    count: Tensor,
    time: int,
    batch: int,
    neuron: int,
    dt: float = 1.0,
    binary: bool = False,
    dtype: Optional[torch.dtype] = None,
) -> EventsToSpikesOutput:
    """Dense spikes from a list of events: the number of events at each place, or 1 where there is any.

    Args:
        events: `[capacity, 3]`, rows (time, batch, neuron) in any order. Integers (int32, int64) hold time steps;
            float32 and float64 hold seconds, whose step is `round(t / dt)` in float64, half away from zero.
        count: int64 `[1]`: the first `min(count, capacity)` rows are events.
        time: Number of time steps of the result.
        batch: Batch size of the result.
        neuron: Number of neurons of the result.
        dt: Time step [s] of events in seconds; finite and above 0. Integers ignore it.
        binary: 1 where there is an event, however many: repeated events collapse, which is not counted as dropped.
        dtype: torch.float32 (None) or torch.uint8.

    Returns:
        EventsToSpikesOutput: `spikes` `[time, batch, neuron]` and `dropped`, the number of events that are not in it:
        outside, with a batch or neuron that is no whole number, beyond the capacity, or beyond 255 (uint8) or 2^24 at
        one place.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        Not differentiable. Deterministic, equal on every device; no synchronisation.

    Source:
        Binning of spike times as hxtorch's conversion to a dense tensor: round(t/dt), later spikes left out.

    Example:
        >>> events = torch.tensor([[1.4e-6, 0.0, 2.0], [2.6e-6, 0.0, 0.0], [9e-6, 0.0, 0.0]])
        >>> spikes, dropped = events_to_spikes(events, torch.tensor([3]), 4, 1, 3, dt=1e-6)
        >>> spikes.nonzero().tolist(), dropped.item()
        ([[1, 0, 2], [3, 0, 0]], 1)
    """
    spikes, dropped = torch.ops.gradspike.events_to_spikes(
        events, count, time, batch, neuron, dt=dt, binary=binary, dtype=dtype
    )
    return EventsToSpikesOutput(spikes, dropped)
