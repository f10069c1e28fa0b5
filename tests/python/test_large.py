"""More than 2^31 elements: offsets are 64 bits wide. Inputs are pages of zeros that the system maps when they are
written, so that most of these tests need a second and little memory; those whose result is large are slow."""

from pathlib import Path

import numpy
import pytest
import torch

from gradspike import functional as F
from neurons import drive

ops = torch.ops.gradspike
STEPS, NEURONS = 2**20 + 1, 2048  # 2^31 + 2048 elements of a trace
ROWS, FEATURES = 2**16, 2**15 + 1  # 2^31 + 65536 elements of a matrix
TAIL = 300  # the last steps, which hold all that is not zero
GIB = 2**30


def zeros(*shape, dtype=numpy.float32):
    try:
        return torch.from_numpy(numpy.zeros(shape, dtype=dtype))
    except MemoryError:
        pytest.skip("the system does not promise this much memory")


def needs_memory(gibibytes):
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (available,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    if available < gibibytes * GIB:
        pytest.skip(f"needs {gibibytes} GiB, available are {available / GIB:.1f}")


def long_input():
    x = zeros(STEPS, 1, NEURONS)
    x[-TAIL:] = drive(TAIL, 1, NEURONS)
    assert x.numel() > 2**31
    return x


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_lif_reads_a_long_input(refractory_time):
    x = long_input()
    state = F.lif(x, refractory_time=refractory_time, outputs="").state
    assert torch.equal(state, F.lif(x[-TAIL:], refractory_time=refractory_time, outputs="").state)
    assert state[1].abs().sum() > 0


def test_li_reads_a_long_input():
    x = long_input()
    assert torch.equal(F.li(x, outputs="").state, F.li(x[-TAIL:], outputs="").state)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


# Coefficients with which gradients are gone after two steps: they would become denormal numbers, which are slow.
TABLE = torch.tensor([0.5, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0])[:, None]


@pytest.mark.slow
def test_lif_backward_reads_long_traces():
    """Gradients to the parameters alone."""
    saved, current = zeros(STEPS, 1, NEURONS), zeros(STEPS, 1, NEURONS)
    saved[-TAIL:], current[-TAIL:] = torch.rand(TAIL, 1, NEURONS) * 0.9, torch.randn(TAIL, 1, NEURONS)
    parameters = (number(0.0), number(0.0), number(1.0), number(1e-5), number(1e-5), number(1e-5))
    state = torch.randn(3, 1, NEURONS)

    def gradients(saved, current):
        rest = (None, None, None, 1e-6, "superspike", 50.0, [False, True, True, True, True, True, True, False])
        return ops._lif_backward(None, None, None, state, saved, current, TABLE, *parameters, *rest)[1:7]

    actual, expected = gradients(saved, current), gradients(saved[-TAIL:], current[-TAIL:])
    assert all(actual[position] != 0.0 for position in (0, 3, 4, 5))  # leak, the time constants, the capacitance
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a, e, rtol=1e-6, atol=0.0)


@pytest.mark.slow
def test_li_backward_reads_long_traces():
    membrane, current = zeros(STEPS, 1, NEURONS), zeros(STEPS, 1, NEURONS)
    membrane[-TAIL:], current[-TAIL:] = torch.randn(TAIL, 1, NEURONS), torch.randn(TAIL, 1, NEURONS)
    parameters = (number(0.0), number(1e-5), number(1e-5), number(1e-5))
    state = torch.randn(2, 1, NEURONS)

    def gradients(membrane, current):
        rest = (None, 1e-6, list(membrane.shape), [False, True, True, True, True, False])
        return ops._li_backward(None, None, state, membrane, current, TABLE[:4], *parameters, *rest)[1:5]

    for a, e in zip(gradients(membrane, current), gradients(membrane[-TAIL:], current[-TAIL:])):
        assert a != 0.0
        torch.testing.assert_close(a, e, rtol=1e-6, atol=0.0)


def test_graded_spikes_of_many_rows():
    spikes = zeros(ROWS, FEATURES, dtype=numpy.uint8)
    spikes[-1, -1], spikes[-1, 0], spikes[0, 5] = 3, 1, 2
    weight = torch.randn(2, FEATURES, requires_grad=True)
    out = F.graded_spikes(spikes, weight, 64.0, gradient="identity", units="lsb")
    q = F.hardware_weights(weight, 64.0).float()
    expected = torch.zeros(ROWS, 2)
    expected[-1], expected[0] = 3 * q[:, -1] + q[:, 0], 2 * q[:, 5]
    assert torch.equal(out, expected)
    gradient = torch.randn(ROWS, 2)
    (actual,) = torch.autograd.grad(out, weight, gradient)
    expected = torch.zeros(2, FEATURES)
    expected[:, -1], expected[:, 0], expected[:, 5] = gradient[-1] * 3, gradient[-1], gradient[0] * 2
    torch.testing.assert_close(actual, expected * 64.0)


def large_weight():
    weight = zeros(ROWS, FEATURES)
    weight[-1, -1], weight[-1, -2], weight[0, 0] = 0.5, 2.0, -2.0
    return weight


@pytest.mark.slow
def test_weight_statistics_of_a_large_matrix():
    counts, measures, _ = ops.weight_statistics(large_weight(), 64.0)
    assert counts.tolist() == [ROWS * FEATURES, 1, 1, 0, 0]
    assert measures[0] == 128.0


@pytest.mark.slow
def test_hardware_weights_of_a_large_matrix():
    needs_memory(3)
    q = F.hardware_weights(large_weight(), 64.0)
    assert q[-1, -2:].tolist() == [63, 32] and q[0, 0] == -63
    assert torch.count_nonzero(q[:: ROWS - 1]) == 3


@pytest.mark.slow
def test_lif_writes_a_long_trace():
    needs_memory(10)
    x = long_input()
    spikes = F.lif(x).spikes
    assert torch.equal(spikes[-TAIL:], F.lif(x[-TAIL:]).spikes)
    assert spikes[-TAIL:].sum() > 0
    assert not any(part.any() for part in spikes[:-TAIL].split(2**16))


@pytest.mark.slow
def test_li_writes_a_long_trace():
    needs_memory(10)
    x = long_input()
    membrane = F.li(x).membrane
    assert torch.equal(membrane[-TAIL:], F.li(x[-TAIL:]).membrane)


@pytest.mark.slow
def test_li_backward_writes_a_long_gradient():
    needs_memory(10)
    gradient = long_input()
    parameters = (number(0.0), number(1e-5), number(1e-5), number(1e-5))

    def to_input(gradient):
        rest = (None, 1e-6, list(gradient.shape), [True] + [False] * 5)
        return ops._li_backward(gradient, None, None, None, None, TABLE[:4], *parameters, *rest)[0]

    assert torch.equal(to_input(gradient)[-TAIL:], to_input(gradient[-TAIL:]))


@pytest.mark.slow
def test_linear_saturating_of_a_large_matrix():
    needs_memory(10)
    out = F.linear_saturating(large_weight(), 64.0)
    assert out[-1, -2:].tolist() == [63.0, 32.0] and out[0, 0] == -63.0


@pytest.mark.slow
def test_connections_of_a_large_matrix():
    needs_memory(10)
    weight = zeros(2**15, 2**15 // 3 * 2 + 5)
    weight[-1, -1], weight[-1, 1] = 0.5, 2.0
    out = F.connections(weight, 64.0)
    assert out.numel() > 2**31
    rows, columns = weight.shape
    assert out[-1].tolist() == [columns - 1, rows - 1, 32]
    assert out[-columns + 1].tolist() == [1, rows - 1, 63]


@pytest.mark.slow
def test_graded_spikes_write_a_large_result():
    needs_memory(10)
    spikes = zeros(ROWS, 2)
    spikes[-1, 1], spikes[-1, 0] = 1.0, 2.0
    weight = torch.randn(FEATURES, 2)
    out = F.graded_spikes(spikes, weight, 64.0)
    assert out.numel() > 2**31
    assert torch.equal(out[-1:], F.graded_spikes(spikes[-1:], weight, 64.0))
    assert not out[:-1].any()
