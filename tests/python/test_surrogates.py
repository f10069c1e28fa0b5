"""The surrogate derivatives by name: formula, area, edges; through the operator, the module, script and compiler."""

import numpy
import pytest
import torch

from gradspike import nn
from gradspike.functional import lif
from neurons import TRAINABLE, drive, heterogeneous, relative_error
from reference import eager
from reference.surrogate import NAMES, derivative

ALPHAS = (0.0, 0.5, 4.0, 50.0, 1e4)


def slope(name, x, alpha):
    """d z / d x as the operator computes it: a membrane of 0 lies x above a threshold of -x."""
    threshold = (-x).requires_grad_()
    spikes = lif(torch.zeros(1, 1, x.numel(), dtype=x.dtype), threshold=threshold, surrogate=name, alpha=alpha).spikes
    return -torch.autograd.grad(spikes.sum(), threshold)[0]


def around_threshold(alpha, dtype):
    """Distances in units of the width, both signs, and the threshold itself."""
    width = 1.0 / max(alpha, 1e-3)
    distances = torch.cat([torch.zeros(1), torch.logspace(-6, 1.2, 400), torch.linspace(0.01, 4.0, 400)]) * width
    return torch.cat([distances, -distances]).to(dtype)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_formula_in_float64(name, alpha):
    x = around_threshold(alpha, torch.float64)
    expected = torch.from_numpy(derivative(name, x.numpy(), alpha))
    torch.testing.assert_close(slope(name, x, alpha), expected, rtol=2e-13, atol=1e-15 * max(alpha, 1.0))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_formula_in_float32(name, alpha):
    x = around_threshold(alpha, torch.float32)
    x = x[(alpha * x.abs().double() - 0.5).abs() > 1e-6]  # the edge of the box, where rounding decides
    expected = torch.from_numpy(derivative(name, x.double().numpy(), alpha))
    actual = slope(name, x, alpha)
    assert actual.dtype == torch.float32
    # 2^-24 per operation; the gaussian's exponent of up to 125 magnifies its own rounding.
    torch.testing.assert_close(actual.double(), expected, rtol=2e-5, atol=3e-7 * max(alpha, 1e-3))


@pytest.mark.parametrize("name", NAMES)
def test_area(name):
    """1 as that of the step's derivative; superspike has height 1 instead."""
    alpha = 8.0
    side = torch.cat([torch.zeros(1), torch.logspace(-7, 6, 60_000)]).double() / alpha
    x = torch.cat([-side.flip(0)[:-1], side])
    area = numpy.trapezoid if hasattr(numpy, "trapezoid") else numpy.trapz
    expected = 2.0 / alpha if name == "superspike" else 1.0
    assert float(area(slope(name, x, alpha).numpy(), x.numpy())) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_symmetric_and_highest_at_the_threshold(name, dtype):
    x = around_threshold(7.0, dtype)
    actual = slope(name, x, 7.0)
    assert torch.equal(actual, slope(name, -x, 7.0))
    heights = {"superspike": 1.0, "fast_sigmoid": 3.5, "sigmoid": 1.75, "arctan": 3.5, "triangular": 7.0, "box": 7.0}
    height = heights.get(name, 7.0 / (2.0 * numpy.pi) ** 0.5)
    assert actual.max().item() == pytest.approx(height, rel=1e-6)
    assert actual[0].item() == pytest.approx(height, rel=1e-6) and (actual >= 0.0).all()


@pytest.mark.parametrize("name", NAMES)
def test_alpha_zero_is_flat(name):
    x = torch.tensor([-3.0, -1e-3, 0.0, 1e-3, 3.0])
    assert torch.equal(slope(name, x, 0.0), torch.full((5,), 1.0 if name == "superspike" else 0.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_far_from_the_threshold(name, dtype):
    far = torch.tensor([1e4, 1e12, 1e30, 3e38, float("inf")], dtype=dtype)
    for x in (far, -far):
        actual = slope(name, x, 50.0)
        assert torch.isfinite(actual).all() and (actual >= 0.0).all()
        assert (actual[1:] < 1e-20).all() and (actual[3:] <= 1e-35).all()


@pytest.mark.parametrize("name", NAMES)
def test_edges_of_those_with_an_end(name):
    edge = {"triangular": 0.25, "box": 0.125}.get(name)  # exact for alpha = 4
    if edge is None:
        assert slope(name, torch.tensor([0.25, 2.0]), 4.0).min() > 0.0
        return
    outside = numpy.nextafter(numpy.float32(edge), numpy.float32(1.0))
    inside = numpy.nextafter(numpy.float32(edge), numpy.float32(0.0))
    x = torch.tensor([inside, edge, outside])
    at_edge = 4.0 if name == "box" else 0.0
    assert slope(name, x, 4.0).tolist() == [pytest.approx(at_edge, abs=1e-6), at_edge, 0.0]


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_with_its_neuron(name):
    x = torch.tensor([0.01, float("nan"), -0.02])
    clean = torch.tensor([0.01, 0.3, -0.02])
    actual, expected = slope(name, x, 50.0), slope(name, clean, 50.0)
    assert torch.equal(actual[[0, 2]], expected[[0, 2]])
    # A diverged membrane shows in the gradient; the comparisons of triangular and box give 0 there.
    assert actual[1] == 0.0 if name in ("triangular", "box") else actual[1].isnan()


@pytest.mark.parametrize("kind", ["model", "measured"])
@pytest.mark.parametrize("refractory_steps", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_through_a_run(name, refractory_steps, kind):
    """All gradients in float64 against autograd through the eager loop with the surrogate of the reference."""
    x = drive(40, 2, 5, torch.float64)
    parameters = heterogeneous(TRAINABLE, 5, torch.float64) | {"refractory_time": refractory_steps * 1e-6}
    data = {} if kind == "model" else {"measured_membrane": torch.randn_like(x)}
    weights = torch.randn_like(x)
    results = []
    for run in (lambda x, p: lif(x, **p, surrogate=name, alpha=3.0, **data).spikes,
                lambda x, p: eager.lif(x, p, surrogate=name, alpha=3.0, **data)[0]):  # fmt: skip
        leaves = [x.clone().requires_grad_(), *(parameters[n].clone().requires_grad_() for n in TRAINABLE)]
        loss = (run(leaves[0], parameters | dict(zip(TRAINABLE, leaves[1:]))) * weights).sum()
        results.append(torch.autograd.grad(loss, leaves, allow_unused=True))
    for parameter, actual, expected in zip(("input", *TRAINABLE), *results):
        expected = torch.zeros_like(actual) if expected is None else expected
        assert expected.abs().sum() > 0 or parameter == "reset", parameter
        assert relative_error(actual, expected) < 1e-11, parameter


@pytest.mark.parametrize(
    "call", [lambda: lif(torch.zeros(1, 1, 1), surrogate="step"), lambda: nn.LIF(2, surrogate="step")]
)
def test_an_unknown_name_is_answered_with_all_names(call):
    with pytest.raises((RuntimeError, ValueError), match="surrogate must be one of") as error:
        call()
    for name in NAMES:
        assert name in str(error.value)
    assert "'step'" in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_module_script_and_compiler(name):
    module = nn.LIF(4, surrogate=name, alpha=5.0, tau_mem=torch.nn.Parameter(torch.full((4,), 9e-6)))
    x = drive(12, 2, 4)

    def gradients(run):
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(run(leaf).square().sum(), [leaf, module.tau_mem])

    expected = gradients(module)
    direct = gradients(lambda leaf: lif(leaf, tau_mem=module.tau_mem, surrogate=name, alpha=5.0).spikes)
    assert all(torch.equal(a, e) for a, e in zip(direct, expected))
    torch._dynamo.reset()
    for run in (torch.jit.script(module), torch.compile(module, fullgraph=True, backend="aot_eager")):
        assert all(torch.equal(a, e) for a, e in zip(gradients(run), expected))
