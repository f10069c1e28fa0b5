"""Dense spikes of a list of events: counts, repeated events, what is dropped, and times in seconds."""

import pytest
import torch

from gradspike.functional import events_to_spikes
from reference import events_to_spikes as reference


def number(value):
    return torch.tensor([value])


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.uint8])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_values(kind, binary, dtype):
    events = torch.stack([torch.randint(-1, size + 1, (200,)) for size in (6, 3, 4)], dim=1).to(kind)
    result = events_to_spikes(events, number(200), 6, 3, 4, binary=binary, dtype=dtype)
    spikes, dropped = reference.events_to_spikes(events.tolist(), 6, 3, 4, binary)
    assert result.spikes.dtype == (dtype or torch.float32) and result.dropped.dtype == torch.int64
    assert torch.equal(result.spikes.double(), torch.from_numpy(spikes))
    assert result.dropped.tolist() == [dropped] and dropped > 0


def test_rows_beyond_the_count_are_no_events_and_missing_rows_are_dropped():
    events = torch.tensor([[0, 0, 0], [1, 0, 0], [-1, -1, -1]], dtype=torch.int32)
    assert events_to_spikes(events, number(1), 2, 1, 1).spikes.flatten().tolist() == [1.0, 0.0]
    assert events_to_spikes(events, number(1), 2, 1, 1).dropped.item() == 0
    assert events_to_spikes(events[:2], number(7), 2, 1, 1).dropped.item() == 5
    assert events_to_spikes(events, number(-4), 2, 1, 1).dropped.item() == 0
    assert events_to_spikes(events[:0], number(0), 2, 1, 1).spikes.sum() == 0


def test_uint8_holds_255_and_counts_the_rest():
    events = torch.zeros(300, 3, dtype=torch.int32)
    result = events_to_spikes(events, number(300), 1, 1, 1, dtype=torch.uint8)
    assert (result.spikes.item(), result.dropped.item()) == (255, 45)
    result = events_to_spikes(events, number(300), 1, 1, 1, binary=True, dtype=torch.uint8)
    assert (result.spikes.item(), result.dropped.item()) == (1, 0)
    assert events_to_spikes(events, number(300), 1, 1, 1).spikes.item() == 300.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dt", [1e-6, 0.5, 1.0, 3.0])
def test_seconds_are_binned_half_away_from_zero(dt, dtype):
    steps = torch.tensor([-0.6, -0.5, -0.4, 0.0, 0.49, 0.5, 1.5, 2.5, 3.49, 3.5, 4.0, float("nan"), float("inf")])
    events = torch.zeros(len(steps), 3, dtype=dtype)
    events[:, 0] = (steps.double() * dt).to(dtype)
    result = events_to_spikes(events, number(len(steps)), 4, 1, 1, dt=dt)
    seconds = events[:, 0].double().tolist()
    expected, dropped = reference.events_to_spikes([(reference.step_of(t, dt), 0, 0) for t in seconds], 4, 1, 1)
    assert torch.equal(result.spikes.double(), torch.from_numpy(expected))
    assert result.dropped.item() == dropped


def test_fractions_and_huge_numbers_as_neurons_are_dropped():
    events = torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.25], [0.0, 0.0, 1e30], [0.0, float("nan"), 0.0]])
    assert events_to_spikes(events, number(4), 1, 1, 1).dropped.item() == 4
    far = torch.tensor([[2**40, 0, 0], [0, 2**33, 0]])
    assert events_to_spikes(far, number(2), 1, 1, 1).dropped.item() == 2


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty(shape):
    result = events_to_spikes(torch.zeros(2, 3, dtype=torch.int32), number(2), *shape)
    assert result.spikes.shape == shape and result.dropped.item() == 2


def test_non_contiguous():
    events = torch.randint(0, 3, (3, 20), dtype=torch.int32).t()
    expected = events_to_spikes(events.contiguous(), number(20), 3, 3, 3).spikes
    assert torch.equal(events_to_spikes(events, number(20), 3, 3, 3).spikes, expected)
