"""Scales that are tensors: the bits of the number, gradients, one compilation, one description."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter

from gradspike import chip, nn
from gradspike import functional as F
from test_opcheck import Calls

INDEX = torch.tensor([[0, 0, 1, 2, 3], [1, 4, 0, 2, 3]])


def numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


SPIKES = (torch.rand(7, 2, 5, generator=torch.Generator().manual_seed(1)) < 0.4).float()


CALLS = {
    "linear_saturating": lambda w, s, **o: F.linear_saturating(w, s, -50, 63),
    "hardware_weights": lambda w, s, **o: F.hardware_weights(w, s, -50, 63),
    "graded_spikes": lambda w, s, **o: F.graded_spikes(SPIKES, w, s, -50, 63, **o),
    "eventprop_graded_spikes": lambda w, s, **o: F.eventprop_graded_spikes(SPIKES, w, s, -50, 63, **o)[0],
    "sparse_graded_spikes": lambda w, s, **o: F.sparse_graded_spikes(
        SPIKES, w[INDEX[0], INDEX[1]], INDEX, 4, s, -50, 63, **o
    ),
}
SUMS = [name for name in CALLS if name.endswith("spikes")]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@settings(max_examples=20, deadline=None)
@given(scale=st.floats(2.0**-10, 2.0**13, width=32), seed=st.integers(0, 100))
def test_bits_of_the_number(name, dtype, scale, seed):
    weight = numbers(4, 5, seed=seed, dtype=dtype)
    assert torch.equal(CALLS[name](weight, torch.tensor(scale)), CALLS[name](weight, scale))
    assert torch.equal(CALLS[name](weight, torch.tensor(scale, dtype=torch.float64)), CALLS[name](weight, scale))


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rounding", ["half_even", "half_away", "none"])
def test_bits_in_every_unit_and_rounding(name, units, rounding):
    options = {"units": units, "rounding": rounding}
    weight = numbers(4, 5)
    assert torch.equal(CALLS[name](weight, torch.tensor(17.3), **options), CALLS[name](weight, 17.3, **options))


@pytest.mark.parametrize("name", ["linear_saturating", *SUMS])
def test_weight_gradient_is_that_of_the_number(name):
    gradients = []
    for scale in (torch.tensor(30.0), 30.0):
        weight = numbers(4, 5).requires_grad_()
        (CALLS[name](weight, scale) * numbers(*CALLS[name](weight, scale).shape, seed=3)).sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


def test_scale_gradient_against_its_formula():
    """Straight through: d/ds of round(clip(s w)) is w inside the bounds; the factor 1/s gives -sum / s**2."""
    weight, spikes, scale, away = numbers(4, 5), SPIKES, torch.tensor(30.0, requires_grad=True), 30.0
    out = F.graded_spikes(spikes, weight, scale, -50, 63)
    direction = numbers(*out.shape, seed=2)
    (out * direction).sum().backward()
    w, x, d = (t.double() for t in (weight, spikes, direction))
    integers = (away * w).clamp(-50, 63).round()
    inside = ((away * w) >= -50) & ((away * w) <= 63)
    slope = (d * (x @ (w * inside).T)).sum() / away - (d * (x @ integers.T)).sum() / away**2
    torch.testing.assert_close(scale.grad.double(), slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_no_compilation_anew_when_the_scale_changes(name):
    counter = CompileCounter()
    compiled = torch.compile(CALLS[name], backend=counter, fullgraph=True)
    weight = numbers(4, 5)
    for scale in (16.0, 20.0, 24.0):
        assert torch.equal(compiled(weight, torch.tensor(scale)), CALLS[name](weight, scale))
    assert counter.frame_count == 1


def test_func_transforms():
    weight, scale = numbers(4, 5), torch.tensor(20.0)

    def loss(weight, scale):
        return F.graded_spikes(SPIKES, weight, scale).square().sum()

    plain = weight.clone().requires_grad_(), scale.clone().requires_grad_()
    loss(*plain).backward()
    for got, leaf in zip(torch.func.grad(loss, argnums=(0, 1))(weight, scale), plain):
        torch.testing.assert_close(got, leaf.grad)


SCALES = torch.tensor([10.0, 17.3, 30.1])
WEIGHTS = torch.stack([numbers(4, 5, seed=k) for k in range(3)])
OPTIONS = [{"units": units, "rounding": rounding} for units in ("model", "lsb") for rounding in ("half_even", "none")]
DIMS = [(0, None), (None, 0), (0, 0)]


@pytest.fixture
def no_fallback():
    """The loop that PyTorch makes where an operator has no rule raises, and its warning too."""
    torch._C._functorch._set_vmap_fallback_enabled(False)
    yield
    torch._C._functorch._set_vmap_fallback_enabled(True)


def of_samples(dims, dtype=torch.float32):
    """Weights and scales for `torch.vmap`, and those of each run of a loop."""
    tensors = WEIGHTS.to(dtype), SCALES
    together = [t if dim == 0 else t[0] for t, dim in zip(tensors, dims)]
    return together, [[t[k] if dim == 0 else t[0] for t, dim in zip(tensors, dims)] for k in range(3)]


@pytest.mark.usefixtures("no_fallback")
@pytest.mark.filterwarnings("error")
class TestVmap:
    @pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
    @pytest.mark.parametrize("dims", DIMS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("name", CALLS)
    def test_has_the_bits_of_a_loop(self, name, dtype, dims, options):
        together, runs = of_samples(dims, dtype)
        call = lambda w, s: CALLS[name](w, s, **options)  # noqa: E731
        check = torch.testing.assert_close if options["rounding"] == "none" else assert_equal  # a product of PyTorch
        check(torch.vmap(call, dims)(*together), torch.stack([call(*run) for run in runs]))

    @pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
    @pytest.mark.parametrize("dims", DIMS)
    @pytest.mark.parametrize("name", [name for name in CALLS if name != "hardware_weights"])
    def test_gradients_of_samples(self, name, dims, options):
        """To weight and scale, of each sample and of all together."""
        together, runs = of_samples(dims)
        loss = lambda w, s: CALLS[name](w, s, **options).square().sum()  # noqa: E731
        gradient = torch.func.grad(loss, (0, 1))
        expected = [torch.stack(g) for g in zip(*(gradient(*run) for run in runs))]
        check = torch.testing.assert_close if options["rounding"] == "none" else assert_equal
        for actual, e in zip(torch.vmap(gradient, dims)(*together), expected):
            check(actual, e)
        total = torch.func.grad(lambda *t: torch.vmap(loss, dims)(*t).sum(), (0, 1))(*together)
        for actual, e, dim in zip(total, expected, dims):
            torch.testing.assert_close(actual, e if dim == 0 else e.sum(0), rtol=1e-5, atol=1e-3)

    @pytest.mark.parametrize("name", CALLS)
    def test_nested_and_of_no_samples(self, name):
        call = CALLS[name]
        nested = torch.vmap(torch.vmap(call, (None, 0)), (0, None))(WEIGHTS, SCALES)
        assert_equal(nested, torch.stack([torch.stack([call(w, s) for s in SCALES]) for w in WEIGHTS]))
        for dims in DIMS:
            tensors = [t[:0] if dim == 0 else t[0] for t, dim in zip((WEIGHTS, SCALES), dims)]
            assert torch.vmap(call, dims)(*tensors).shape == (0, *nested.shape[2:])

    @pytest.mark.parametrize("name", CALLS)
    def test_a_scale_of_all_samples_makes_the_calls_of_a_number(self, name):
        seen = []
        for scale in (SCALES[0], float(SCALES[0])):
            with Calls() as calls:
                torch.vmap(lambda w: CALLS[name](w, scale))(WEIGHTS)  # noqa: B023
            seen.append([(func, [getattr(a, "shape", None) for a in args]) for func, args, _ in calls.seen])
        assert seen[0] == seen[1] and len(seen[0]) == 1

    @pytest.mark.parametrize("name", CALLS)
    def test_compiled(self, name):
        run = lambda w, s: torch.vmap(CALLS[name])(w, s)  # noqa: E731
        torch._dynamo.reset()
        assert_equal(torch.compile(run, backend="aot_eager", fullgraph=True)(WEIGHTS, SCALES), run(WEIGHTS, SCALES))

    @pytest.mark.parametrize("kind", [nn.Synapse, nn.EventPropSynapse])
    def test_an_ensemble_of_synapses(self, kind):
        models = [kind(5, 4, scale=torch.nn.Parameter(s.clone())) for s in SCALES]
        parameters, buffers = torch.func.stack_module_state(models)

        def loss(parameters):
            out = torch.func.functional_call(models[0], (parameters, buffers), (SPIKES,))
            return (out if isinstance(out, torch.Tensor) else out[0]).square().sum()

        gradients, values = torch.vmap(torch.func.grad_and_value(loss))(parameters)
        for k, model in enumerate(models):
            out = model(SPIKES)
            value = (out if isinstance(out, torch.Tensor) else out[0]).square().sum()
            value.backward()
            assert_equal(values[k], value.detach())
            for name, parameter in model.named_parameters():
                assert_equal(gradients[name][k], parameter.grad)

    def test_a_bad_scale_is_that_of_a_sample(self):
        with pytest.raises(RuntimeError, match=r"scale must be a number .* with 1 dimensions"):
            torch.vmap(lambda s: F.graded_spikes(SPIKES, WEIGHTS[0], s))(torch.ones(3, 2))


def assert_equal(actual, expected):
    assert actual.dtype == expected.dtype and torch.equal(actual, expected)


@pytest.mark.parametrize("scale", [torch.ones(1), torch.ones(2), torch.tensor(3)])
@pytest.mark.parametrize("name", CALLS)
def test_bad_scales_are_named(name, scale):
    with pytest.raises(RuntimeError, match=f"{name}: scale must be a number or a floating-point tensor"):
        CALLS[name](numbers(4, 5), scale)


class TestSynapse:
    def layers(self, scale):
        torch.manual_seed(0)
        return torch.nn.Sequential(nn.Synapse(5, 4, name="in", scale=scale), nn.LIF(4, name="neurons"))

    def test_trains_its_scale(self):
        model = self.layers(torch.nn.Parameter(torch.tensor(16.0)))
        assert "0.scale" in dict(model.named_parameters())
        model[0](SPIKES).square().sum().backward()
        assert model[0].scale.grad.abs() > 0
        assert "scale=16" in repr(model)

    def test_scripts_traces_exports_and_reads_with_the_scale_of_the_moment(self):
        model = self.layers(torch.nn.Parameter(torch.tensor(16.0)))
        reference = self.layers(20.0)
        with torch.no_grad():
            model[0].scale.fill_(20.0)
        x = SPIKES
        assert torch.equal(model(x), reference(x))
        assert torch.equal(torch.jit.script(model)(x), reference(x))
        descriptions = [
            chip.read(m, x, "net")._handle.description()
            for m in (model, torch.jit.trace(model, (x,)), torch.export.export(model.eval(), (x,)), reference)
        ]
        assert len(set(descriptions)) == 1
        assert torch.equal(chip.deploy(model, network="net")(x).outputs, reference(x))

    def test_a_buffer_is_moved_and_saved(self):
        model = self.layers(torch.tensor(16.0))
        assert "0.scale" in model.state_dict() and model[0].statistics().clipped_fraction >= 0

    def test_a_bad_tensor_is_refused(self):
        with pytest.raises(ValueError, match="scale must be a number or a floating-point tensor without dimensions"):
            nn.Synapse(5, 4, scale=torch.ones(4))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("name", [name for name in CALLS if name != "hardware_weights"])
def test_a_scale_that_is_not_above_zero_gives_nan(name, scale):
    """Never a plausible number: nobody reads the scale, so nobody can refuse it."""
    assert CALLS[name](numbers(4, 5), torch.tensor(scale)).isnan().any()


def test_integers_of_a_bad_scale_are_those_of_nan():
    integers = F.hardware_weights(numbers(4, 5), torch.tensor(-1.0))
    assert (integers == torch.iinfo(integers.dtype).min).all()


@pytest.mark.parametrize("scale", [0.0, -2.0, float("nan")])
def test_a_layer_refuses_a_bad_scale(scale):
    with pytest.raises(ValueError, match="scale must be finite and above 0"):
        nn.Synapse(5, 4, scale=torch.tensor(scale))
