"""The list of events of dense spikes: order, capacity, what is not a count, and the way back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import events_to_spikes, spikes_to_events
from reference import spikes_to_events as reference


def check(spikes, capacity=None):
    result = spikes_to_events(spikes, capacity)
    events, invalid = reference.spikes_to_events(spikes.double())
    rows = len(events) if capacity is None else capacity
    padded = (events + [(-1, -1, -1)] * rows)[:rows]
    assert result.events.dtype == torch.int32 and result.events.shape == (rows, 3)
    assert torch.equal(result.events, torch.tensor(padded, dtype=torch.int32).reshape(rows, 3))
    assert result.num_events.tolist() == [len(events)]
    assert result.overflow.tolist() == [max(0, len(events) - rows)]
    assert result.invalid.tolist() == [invalid]
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("capacity", [None, 0, 1, 40, 5000])
def test_values(capacity, dtype):
    spikes = ((torch.rand(20, 5, 13) < 0.1) * torch.randint(1, 4, (20, 5, 13))).to(dtype)
    check(spikes, capacity)


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0), (1, 1, 1), (300, 7, 50)])
def test_sizes(shape):
    spikes = (torch.rand(shape) < 0.2).float()
    check(spikes, None)
    check(spikes, 100)
    check(torch.ones(shape) if shape[0] < 300 else spikes, 10)


def test_bool_and_non_contiguous():
    check(torch.rand(4, 3, 5) < 0.5)
    check((torch.rand(5, 3, 4) < 0.5).float().transpose(0, 2))


@pytest.mark.parametrize("odd", [0.5, -1.0, float("nan"), float("inf"), 2.0**24 + 2, -0.25])
def test_what_is_no_count_gives_no_event_and_is_counted(odd):
    spikes = torch.zeros(3, 2, 4)
    spikes[1, 1, 2], spikes[2, 0, 0], spikes[2, 0, 1] = odd, 1.0, -0.0
    result = check(spikes, 5)
    assert result.invalid.item() == 1 and result.num_events.item() == 1


def test_large_counts_fill_the_list_and_overflow():
    spikes = torch.zeros(1, 1, 2)
    spikes[0, 0, 1] = 2.0**24
    result = spikes_to_events(spikes, 6)
    assert result.overflow.item() == 2**24 - 6
    assert torch.equal(result.events, torch.tensor([[0, 0, 1]] * 6, dtype=torch.int32))


def test_any_number_of_threads_gives_the_same_list():
    spikes = torch.randint(0, 20, (400, 8, 100)).float()
    spikes[spikes > 3] = 0
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        results.append(spikes_to_events(spikes, 100000))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_there_and_back():
    spikes = ((torch.rand(30, 4, 17) < 0.2) * torch.randint(1, 5, (30, 4, 17))).float()
    listed = spikes_to_events(spikes)
    back = events_to_spikes(listed.events, listed.num_events, 30, 4, 17)
    assert torch.equal(back.spikes, spikes) and back.dropped.item() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 4), st.integers(0, 9), st.integers(0, 30), st.integers(0, 2**31))
def test_any_sizes(time, batch, neuron, capacity, seed):
    torch.manual_seed(seed)
    check(torch.randint(0, 3, (time, batch, neuron)).float(), capacity)
