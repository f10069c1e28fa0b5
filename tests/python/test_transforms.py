import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike import transforms


class TestCoordinatesToSpikes:
    def test_golden_steps(self):
        """Steps of the reference implementation for these arguments."""
        encoder = transforms.CoordinatesToSpikes(38, 2e-6, 26e-6, 1e-6, 2e-6)
        spikes = encoder(torch.tensor([[0.0, 1.0, 0.5, 0.25]]))
        assert spikes.shape == (38, 1, 5) and spikes.dtype == torch.float32
        assert spikes.argmax(0).tolist() == [[2, 26, 14, 8, 2]]
        assert spikes.sum() == 5

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_rounds_half_to_even(self, dtype):
        encoder = transforms.CoordinatesToSpikes(8, 0.0, 1.0, dt=0.25)
        x = torch.tensor([[0.125, 0.375, 0.625, 0.875]], dtype=dtype)  # 0.5, 1.5, 2.5, 3.5 steps
        assert encoder(x).argmax(0).tolist() == [[0, 2, 2, 4]]

    def test_bias_is_truncated_and_last(self):
        encoder = transforms.CoordinatesToSpikes(10, 0.0, 5e-6, 1e-6, t_bias=3.9e-6)
        assert encoder(torch.zeros(2, 1)).argmax(0).tolist() == [[0, 3], [0, 3]]

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
    @settings(max_examples=40, deadline=None)
    def test_one_spike_per_channel_in_order(self, values):
        encoder = transforms.CoordinatesToSpikes(50, 2e-6, 40e-6)
        spikes = encoder(torch.tensor([values], dtype=torch.float64))
        assert torch.equal(spikes.sum(0), torch.ones(1, len(values)))
        steps = spikes.argmax(0)[0]
        assert bool((steps[torch.tensor(values).argsort()].diff() >= 0).all())

    def test_nan_is_refused(self):
        with pytest.raises(RuntimeError, match="coordinates must give steps"):
            transforms.CoordinatesToSpikes(10, 0.0, 5e-6)(torch.tensor([[float("nan")]]))

    def test_empty_batch(self):
        assert transforms.CoordinatesToSpikes(10, 0.0, 5e-6)(torch.empty(0, 4)).shape == (10, 0, 4)


class TestPoissonEncoder:
    def test_rate(self):
        encoder = transforms.PoissonEncoder(20000, max_rate=100e3, generator=torch.Generator().manual_seed(3))
        spikes = encoder(torch.tensor([[0.0, 0.5, 1.0]]))
        assert spikes.shape == (20000, 1, 3)
        assert spikes.mean((0, 1)).tolist() == pytest.approx([0.0, 0.05, 0.1], abs=0.008)
        assert set(spikes.unique().tolist()) == {0.0, 1.0}

    def test_seed_repeats(self):
        first, second = (transforms.PoissonEncoder(50, generator=torch.Generator().manual_seed(s)) for s in (3, 3))
        x = torch.rand(4, 5)
        assert torch.equal(first(x), second(x))
        assert not torch.equal(first(x), first(x))

    def test_certain_spike(self):
        assert transforms.PoissonEncoder(10, max_rate=1e6, dt=1e-6)(torch.ones(1, 2)).min() == 1.0

    def test_intensity_outside_is_refused(self):
        with pytest.raises(RuntimeError):
            transforms.PoissonEncoder(10, max_rate=1e6)(torch.full((1, 1), 1.5))


class TestLatencyEncoder:
    def test_stronger_is_earlier(self):
        spikes = transforms.LatencyEncoder(20, 1e-6, 17e-6)(torch.tensor([[1.0, 0.75, 0.5, 0.25]]))
        assert spikes.argmax(0).tolist() == [[1, 5, 9, 13]]

    def test_threshold(self):
        spikes = transforms.LatencyEncoder(20, 0.0, 10e-6, threshold=0.3)(torch.tensor([[0.0, 0.3, 0.31]]))
        assert spikes.sum(0).tolist() == [[0.0, 0.0, 1.0]]


class TestDeltaEncoder:
    @given(st.integers(0, 2**31), st.floats(0.05, 2.0))
    @settings(max_examples=40, deadline=None)
    def test_follows_the_signal_within_half_a_threshold(self, seed, threshold):
        torch.manual_seed(seed)
        signal = torch.randn(30, 2, 3, dtype=torch.float64).cumsum(0)
        gains, losses = transforms.DeltaEncoder(threshold)(signal).double().chunk(2, dim=-1)
        rebuilt = signal[:1] + threshold * (gains - losses).cumsum(0)
        assert (rebuilt - signal).abs().max() <= threshold * 0.5 * (1 + 1e-9)
        assert ((gains == 0) | (losses == 0)).all()

    def test_constant_signal_is_silent(self):
        assert transforms.DeltaEncoder(0.1)(torch.ones(5, 1, 2)).sum() == 0


class TestDecoders:
    def test_values(self):
        traces = torch.tensor([1.0, 4.0, 4.0, -1.0]).reshape(4, 1, 1)
        assert transforms.MaxOverTime()(traces).item() == 4.0
        assert transforms.SumOverTime()(traces).item() == 8.0
        assert transforms.MeanOverTime()(traces).item() == 2.0

    def test_ties_share_the_gradient(self):
        traces = torch.tensor([1.0, 4.0, 4.0]).reshape(3, 1, 1).requires_grad_()
        transforms.MaxOverTime()(traces).sum().backward()
        assert traces.grad.flatten().tolist() == [0.0, 0.5, 0.5]


MODULES = [
    (transforms.CoordinatesToSpikes(30, 2e-6, 26e-6, t_bias=3e-6), torch.rand(3, 4)),
    (transforms.LatencyEncoder(30, 2e-6, 26e-6), torch.rand(3, 4)),
    (transforms.DeltaEncoder(0.3), torch.randn(10, 2, 3)),
    (transforms.MaxOverTime(), torch.randn(10, 2, 3)),
    (transforms.SumOverTime(), torch.randn(10, 2, 3)),
    (transforms.MeanOverTime(), torch.randn(10, 2, 3)),
]


@pytest.mark.parametrize("module, data", MODULES, ids=lambda value: type(value).__name__)
def test_scripts_and_copies(module, data):
    assert torch.equal(torch.jit.script(module)(data), module(data))
    assert torch.equal(copy.deepcopy(module)(data), module(data))


def test_poisson_scripts():
    encoder = torch.jit.script(transforms.PoissonEncoder(10))
    torch.manual_seed(4)
    first = encoder(torch.rand(2, 3))
    assert first.shape == (10, 2, 3)
