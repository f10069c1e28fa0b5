"""A16 and A17: encoders, decoders and the Yin-Yang data set."""

import collections

import numpy
import pytest
import torch

import gradspike.spiking as hxsnn
from gradspike.spiking.transforms import decode, encode

CASES = {"MaxOverTime": torch.amax, "SumOverTime": torch.sum, "MeanOverTime": torch.mean}


@pytest.mark.parametrize("name", CASES)
def test_a16_decoders_reduce_the_time(name):
    x = torch.randn(7, 3, 2)
    result = getattr(decode, name)()(x)
    assert result.shape == (3, 2)
    torch.testing.assert_close(result, CASES[name](x, 0))


def test_a16_ties_of_the_maximum_share_the_gradient():
    x = torch.tensor([1.0, 3.0, 3.0]).reshape(3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(decode.MaxOverTime()(x).sum(), x)
    assert gradient.flatten().tolist() == [0.0, 0.5, 0.5]


def test_a16_coordinates_golden_values():
    encoder = encode.CoordinatesToSpikes(38, 2e-6, 26e-6, 1e-6, 2e-6)
    spikes = encoder(torch.tensor([[0.0, 1.0, 0.5, 0.25]]))
    assert spikes.shape == (38, 1, 5) and spikes.dtype == torch.float32
    assert spikes.argmax(0).flatten().tolist() == [2, 26, 14, 8, 2] and (spikes.sum(0) == 1).all()


def test_a16_coordinates_round_half_to_even_and_the_bias_truncates():
    encoder = encode.CoordinatesToSpikes(20, 0.0, 10.0, 1.0, t_bias=4.9)
    assert encoder(torch.tensor([[0.25, 0.35]], dtype=torch.float64)).argmax(0).flatten().tolist() == [2, 4, 4]


def test_a16_coordinates_without_bias():
    assert encode.CoordinatesToSpikes(10, 1e-6, 5e-6)(torch.rand(4, 3)).shape == (10, 4, 3)


def test_a16_coordinates_beyond_the_sequence_are_an_error():
    with pytest.raises(RuntimeError, match="steps 0 to 9, got step 20"):
        encode.CoordinatesToSpikes(10, 0.0, 20e-6)(torch.ones(1, 1))


def test_a16_coordinates_takes_what_the_data_set_gives():
    dataset = hxsnn.datasets.YinYangDataset(size=4, transform=torch.from_numpy)
    batch, labels = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    encoder = encode.CoordinatesToSpikes(38, 2e-6, 26e-6, 1e-6, 2e-6)
    assert encoder(batch).dtype == torch.float32 and encoder(batch).shape == (38, 4, 5) and labels.shape == (4,)


def test_a16_pixels_golden_default():
    """With the defaults every pixel becomes t_max."""
    assert (encode.PixelsToSpikeTimes()(torch.linspace(0, 1, 50)) == 1.0).all()


def test_a16_pixels_are_the_equation():
    pixels = torch.linspace(0, 1, 101, dtype=torch.float64)
    result = encode.PixelsToSpikeTimes(tau=8.0, threshold=0.2, t_max=20.0)(pixels)
    for p, time in zip(pixels.tolist(), result.tolist()):
        expected = 20.0 if p < 0.2 or p - 0.2 <= 0 else min(max(8.0 * numpy.log(p / (p - 0.2)), 0.0), 20.0)
        assert time == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4)])
def test_a16_spike_times_on_a_grid(shape):
    times = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 12
    sparse, dense = encode.SpikeTimesToSparseTensor(1.0, 10)(times), encode.SpikeTimesToDense(1.0, 10)(times)
    assert sparse.layout == torch.sparse_coo and sparse.dtype == torch.int64
    assert sparse.shape == dense.shape == (10, *shape) and torch.equal(sparse.to_dense(), dense)
    for index in numpy.ndindex(*shape):
        step = int(times[index])  # bins truncate, and those beyond the grid are left out
        assert dense[(slice(None), *index)].nonzero().flatten().tolist() == ([step] if step < 10 else [])


def test_a16_default_grid():
    assert encode.SpikeTimesToSparseTensor(1.0)(torch.zeros(3)).shape == (100, 3)


# A17


def test_a17_golden_points():
    points = [hxsnn.datasets.YinYangDataset(size=3)[k] for k in range(3)]
    expected = [
        ((0.6803075385877797, 0.450499251969543), 2),
        ((0.09767211400638387, 0.6842330265121569), 1),
        ((0.7553614103176525, 0.4251558744912447), 2),
    ]
    for (values, label), ((x, y), wanted) in zip(points, expected):
        assert label == wanted and type(label) is int
        assert values.dtype == numpy.float64 and values.tolist() == [x, y, 1 - x, 1 - y]
    values, label = hxsnn.datasets.YinYangDataset(size=1, seed=41)[0]
    assert values[:2].tolist() == [0.6805727261759029, 0.3209733938933629] and label == 0


def test_a17_golden_counts():
    dataset = hxsnn.datasets.YinYangDataset(size=5000)
    counts = collections.Counter(dataset._labels)
    assert [counts[k] for k in range(3)] == [1681, 1702, 1617]


def test_a17_class_names_and_methods():
    dataset = hxsnn.datasets.YinYangDataset(size=2)
    assert dataset.class_names == ["yin", "yang", "dot"] and len(dataset) == 2
    assert dataset.dist_to_right_dot(0.75, 0.5) == 0 and dataset.dist_to_left_dot(0.25, 0.5) == 0
    assert dataset.which_class(0.75, 0.5) == 2
    for goal in range(3):
        x, y, label = dataset.get_sample(goal)
        assert label == goal and dataset.which_class(x, y) == goal


def test_a17_transform():
    dataset = hxsnn.datasets.YinYangDataset(size=2, transform=lambda values: values.sum())
    assert dataset[0][0] == pytest.approx(2.0)


def test_a17_dots_must_fit():
    with pytest.raises(ValueError, match="Argument 'r_small' must not be larger than 'r_big' / 2"):
        hxsnn.datasets.YinYangDataset(r_small=0.25, r_big=0.5)
