"""The same bits in every run and for any number of threads, forward and backward."""

import pytest
import torch

from cases import outputs_of
from gradspike import functional as F


@pytest.fixture
def threads():
    """Runs a function with 1 and 2 threads and gives both results."""
    before = torch.get_num_threads()

    def run(function):
        results = []
        for count in (1, 2, 2, 3):
            torch.set_num_threads(count)
            results.append(function())
        return results

    yield run
    torch.set_num_threads(before)


def assert_all_same(results):
    for result in results[1:]:
        for actual, expected in zip(outputs_of(result), outputs_of(results[0])):
            assert torch.equal(actual, expected)


def large_spikes(*shape):
    return (torch.rand(shape) < 0.1).float()


def test_graded_spikes_of_counts(threads):
    spikes, weight, gradient = large_spikes(60, 50, 200), torch.randn(130, 200), torch.randn(60, 50, 130)

    def run():
        s, w = spikes.clone().requires_grad_(), weight.clone().requires_grad_()
        out = F.graded_spikes(s, w, 64.0)
        out.backward(gradient)
        return out.detach(), w.grad

    assert_all_same(threads(run))


def test_graded_spikes_of_real_numbers(threads):
    spikes, weight = torch.randn(3000, 100), torch.randn(70, 100)
    assert_all_same(threads(lambda: F.graded_spikes(spikes, weight, 64.0)))


@pytest.mark.parametrize("kind", ["lif", "li"])
def test_neurons(kind, threads):
    x, taus = torch.randn(40, 70, 150) * 3, 1e-5 * (0.5 + torch.rand(150))

    def run():
        leaf, tau = x.clone().requires_grad_(), taus.clone().requires_grad_()
        function = F.lif if kind == "lif" else F.li
        out = function(leaf, tau_mem=tau, outputs="membrane+current")
        out.membrane.square().sum().backward()
        return out.membrane.detach(), out.current.detach(), leaf.grad, tau.grad

    assert_all_same(threads(run))


def test_weights(threads):
    weight = torch.randn(1500, 700)

    def run():
        statistics = torch.ops.gradspike.weight_statistics(weight, 50.0)
        return (F.linear_saturating(weight, 50.0), F.hardware_weights(weight, 50.0), F.connections(weight), *statistics)

    assert_all_same(threads(run))


def test_deterministic_algorithms_are_allowed():
    torch.use_deterministic_algorithms(True)
    try:
        x = torch.randn(5, 2, 4, requires_grad=True)
        weight = torch.randn(4, 4, requires_grad=True)
        F.lif(F.graded_spikes(x, weight)).spikes.sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_concurrent_callers_get_their_own_results():
    from concurrent.futures import ThreadPoolExecutor

    inputs = [torch.randn(30, 8, 40) * 3 for _ in range(8)]
    expected = [F.lif(x, refractory_time=2e-6).spikes for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for actual, wanted in zip(pool.map(lambda x: F.lif(x, refractory_time=2e-6).spikes, inputs), expected):
                assert torch.equal(actual, wanted)
