import copy

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradspike
from gradspike import chip, nn
from gradspike.functional import LIFOutput, graded_spikes, lif, synapse_lif
from neurons import NUMBERS, heterogeneous, to_numpy
from reference import synapse_lif as reference

ALL = "spikes+membrane+current"
TRAINABLE = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")
WEIGHT = ("scale", "min_weight", "max_weight", "rounding", "gradient", "units")


def spikes_of(time, batch, inputs, density=0.3, counts=False):
    spikes = (torch.rand(time, batch, inputs) < density).float()
    return spikes * torch.randint(1, 4, spikes.shape) if counts else spikes


def weight_of(neurons, inputs):
    return torch.randn(neurons, inputs) * 2.0 / max(inputs, 1) ** 0.5


def pack(spikes):
    return torch.from_numpy(reference.pack(spikes.numpy()))


def separate(spikes, weight, **options):
    """The two operators."""
    first = {name: options.pop(name) for name in WEIGHT if name in options}
    options.pop("recompute_every", None)
    return lif(graded_spikes(spikes, weight, **first), **options)


def assert_same(result, expected):
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        assert actual.dtype == wanted.dtype and actual.shape == wanted.shape, name
        assert torch.equal(actual.nan_to_num(7.0), wanted.nan_to_num(7.0)), name


def gradients(function, spikes, weight, options, wanted):
    """Gradients to leaves with fixed output gradients; to the weight first."""
    leaves = {"weight": weight.clone().requires_grad_()}
    if "spikes" in wanted:
        leaves["spikes"] = spikes.clone().requires_grad_()
    for name, value in options.items():
        if name in wanted:
            leaves[name] = value.clone().requires_grad_()
    given_options = {**options, **{n: v for n, v in leaves.items() if n in options}}
    out = function(leaves.get("spikes", spikes), leaves["weight"], **given_options)
    torch.manual_seed(11)
    seeds = [torch.randn_like(o) for o in out]
    return dict(zip(leaves, torch.autograd.grad(out, list(leaves.values()), seeds)))


def assert_same_gradients(actual, expected, exact=False):
    assert actual.keys() == expected.keys()
    for name in actual:
        if name == "weight" and not exact:  # another fixed order of the sums
            scale = expected[name].abs().max().clamp(min=1e-20)
            assert (actual[name] - expected[name]).abs().max() <= 1e-5 * scale, name
        else:
            assert torch.equal(actual[name], expected[name]), name


# ---- forward -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_values_in_float64(refractory_time):
    spikes, weight = spikes_of(30, 2, 6).double(), weight_of(5, 6)
    parameters = NUMBERS | {"refractory_time": refractory_time}
    result = synapse_lif(spikes, weight, **parameters, scale=20.0, outputs=ALL)
    expected = reference.synapse_lif(spikes.long().numpy(), weight.numpy(), to_numpy(parameters), 20.0)
    assert 3 < result.spikes.sum() < 0.7 * result.spikes.numel()
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-6, atol=1e-6, msg=name)


SHAPES = [(1, 1, 1, 1), (7, 3, 5, 4), (20, 70, 33, 130), (38, 50, 5, 120), (9, 2, 300, 65), (6, 5, 130, 64)]
OPTIONS = {
    "plain": {},
    "refractory": {"refractory_time": 2.5e-6},
    "lsb": {"units": "lsb", "scale": 3.0},
    "wide bounds": {"min_weight": -600.0, "max_weight": 600.0, "rounding": "half_away"},
    "float product": {"rounding": "none"},
    "sigmoid": {"surrogate": "sigmoid", "alpha": 4.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_of_the_two_operators(shape, options):
    time, batch, inputs, neurons = shape
    for density, counts in ((0.05, False), (0.6, False), (0.3, True)):
        spikes, weight = spikes_of(time, batch, inputs, density, counts), weight_of(neurons, inputs)
        state = torch.randn(3, batch, neurons)
        state[2] = torch.randint(0, 3, (batch, neurons))
        for parameters in (heterogeneous((), neurons), heterogeneous(TRAINABLE, neurons)):
            given_options = {"scale": 20.0, **parameters, **options, "outputs": ALL, "initial_state": state}
            assert_same(synapse_lif(spikes, weight, **given_options), separate(spikes, weight, **given_options))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool])
def test_types_of_spikes_and_of_weights(dtype):
    spikes, weight = spikes_of(9, 3, 20), weight_of(11, 20)
    expected = separate(spikes, weight, scale=20.0, outputs=ALL)
    result = synapse_lif(spikes.to(dtype), weight, scale=20.0, outputs=ALL)
    assert_same(
        result,
        [x.double() for x in separate(spikes.double(), weight, scale=20.0, outputs=ALL)]
        if dtype == torch.float64
        else expected,
    )
    if dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert_same(
            synapse_lif(spikes, weight.to(dtype), scale=20.0, outputs=ALL),
            separate(spikes, weight.to(dtype), scale=20.0, outputs=ALL),
        )


def test_rows_that_are_no_counts_and_weights_that_are_nan():
    spikes, weight = spikes_of(9, 3, 20), weight_of(70, 20)
    spikes[2, 1] *= 0.37
    spikes[4, 0, 3] = 200.0
    weight[5, 7] = float("nan")
    assert_same(synapse_lif(spikes, weight, scale=20.0, outputs=ALL), separate(spikes, weight, scale=20.0, outputs=ALL))


@pytest.mark.parametrize("neurons", [1, 7, 8, 9, 64, 65, 200])
def test_compact_spikes(neurons):
    spikes, weight = spikes_of(12, 3, 20), weight_of(neurons, 20)
    expected = separate(spikes, weight, scale=20.0).spikes
    assert torch.equal(synapse_lif(spikes, weight, scale=20.0, spike_format="uint8").spikes, expected.byte())
    packed = synapse_lif(spikes, weight, scale=20.0, spike_format="packed").spikes
    assert packed.dtype == torch.uint8 and torch.equal(packed, pack(expected))


@pytest.mark.parametrize("inputs", [1, 7, 8, 63, 64, 65, 300])
def test_packed_input(inputs):
    spikes, weight = spikes_of(12, 3, inputs), weight_of(17, inputs)
    for rounding in ("half_even", "none"):
        options = {"scale": 20.0, "rounding": rounding, "outputs": ALL}
        assert_same(
            synapse_lif(pack(spikes), weight, packed_input=True, **options), separate(spikes, weight, **options)
        )
        actual = gradients(
            lambda s, w, **o: synapse_lif(pack(s.detach()), w, packed_input=True, **o), spikes, weight, options, ()
        )
        assert_same_gradients(actual, gradients(separate, spikes, weight, options, ()))


def test_layers_pass_packed_spikes_on():
    spikes, first, second = spikes_of(20, 4, 30), weight_of(50, 30), weight_of(10, 50)
    packed = synapse_lif(spikes, first, scale=20.0, spike_format="packed").spikes
    result = synapse_lif(packed, second, scale=20.0, packed_input=True)
    hidden = synapse_lif(spikes, first, scale=20.0).spikes
    assert torch.equal(result.spikes, synapse_lif(hidden, second, scale=20.0).spikes)


@pytest.mark.parametrize("outputs", ["", "spikes", "membrane", "current+spikes", ALL])
def test_outputs_that_nobody_asked_for_are_empty(outputs):
    spikes, weight = spikes_of(6, 2, 5), weight_of(4, 5)
    result, everything = (synapse_lif(spikes, weight, scale=20.0, outputs=o) for o in (outputs, ALL))
    for name in ("spikes", "membrane", "current"):
        wanted = getattr(everything, name) if name in outputs else torch.empty(0)
        assert torch.equal(getattr(result, name), wanted)
    assert torch.equal(result.state, everything.state)


def test_steps_one_by_one():
    spikes, weight = spikes_of(15, 3, 20), weight_of(11, 20)
    options = {"scale": 20.0, "refractory_time": 2e-6, "outputs": ALL}
    state, parts = None, []
    for t in range(15):
        parts.append(synapse_lif(spikes[t : t + 1], weight, initial_state=state, **options))
        state = parts[-1].state
    whole = synapse_lif(spikes, weight, **options)
    assert_same((*(torch.cat(x) for x in list(zip(*parts))[:3]), state), whole)


def test_measurements():
    spikes, weight = spikes_of(15, 3, 20), weight_of(11, 20)
    z, v = (torch.rand(10, 3, 11) < 0.1).float() * 2, torch.randn(6, 3, 11)
    for measured in ({"measured_spikes": z}, {"measured_membrane": v}, {"measured_spikes": z, "measured_membrane": v}):
        options = {"scale": 20.0, "outputs": ALL, "refractory_time": 1e-6, **measured}
        assert_same(synapse_lif(spikes, weight, **options), separate(spikes, weight, **options))
        expected = gradients(separate, spikes, weight, options, ("spikes",))
        for every in (0, 4):
            actual = gradients(synapse_lif, spikes, weight, {**options, "recompute_every": every}, ("spikes",))
            assert_same_gradients(actual, expected)


@pytest.mark.parametrize("shape", [(0, 2, 4, 3), (3, 0, 4, 3), (3, 2, 0, 3), (3, 2, 4, 0)])
def test_empty(shape):
    time, batch, inputs, neurons = shape
    spikes, weight = torch.zeros(time, batch, inputs), torch.zeros(neurons, inputs, requires_grad=True)
    for every in (0, 2):
        result = synapse_lif(spikes, weight, outputs=ALL, recompute_every=every)
        assert result.spikes.shape == (time, batch, neurons) and result.state.shape == (3, batch, neurons)
        (gradient,) = torch.autograd.grad(result.membrane.sum() + result.state.sum(), weight)
        assert torch.equal(gradient, torch.zeros_like(weight))


def test_non_contiguous():
    spikes, weight = spikes_of(20, 3, 9).transpose(0, 2), weight_of(20, 11).t()
    assert_same(synapse_lif(spikes, weight, scale=20.0, outputs=ALL), separate(spikes, weight, scale=20.0, outputs=ALL))


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["clipped", "identity", "returning"])
@pytest.mark.parametrize("every", [0, 1, 4, 7, 100])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_gradients_are_those_of_the_two_operators(shape, every, gradient):
    time, batch, inputs, neurons = shape
    spikes, weight = spikes_of(time, batch, inputs), weight_of(neurons, inputs)
    state = torch.randn(3, batch, neurons)
    state[2] = torch.randint(0, 3, (batch, neurons))
    options = {
        "scale": 40.0,
        "gradient": gradient,
        "outputs": ALL,
        "initial_state": state,
        **heterogeneous(TRAINABLE, neurons),
        "refractory_time": 1e-6,
    }
    wanted = ("spikes", "initial_state", *TRAINABLE)
    expected = gradients(separate, spikes, weight, options, wanted)
    plain = gradients(synapse_lif, spikes, weight, options, wanted)
    assert_same_gradients(plain, expected)
    actual = gradients(synapse_lif, spikes, weight, {**options, "recompute_every": every}, wanted)
    assert_same_gradients(actual, plain, exact=True)


@pytest.mark.parametrize("counts", [False, True])
def test_weight_gradient_of_many_rows_in_float64(counts):
    spikes, weight = spikes_of(60, 150, 40, 0.2, counts), weight_of(150, 40) * 0.2
    spikes[3, 2] *= 0.5
    leaf = graded_spikes(spikes, weight, 100.0).requires_grad_()
    seed = torch.randn(60, 150, 150)
    (grad_input,) = torch.autograd.grad(lif(leaf).spikes, leaf, seed)
    exact = torch.einsum("tbn,tbk->nk", grad_input.double(), spikes.double())  # scale * (1 / scale) is 1 up to rounding
    bound = 1e-6 * torch.einsum("tbn,tbk->nk", grad_input.double().abs(), spikes.double())
    leaf = weight.clone().requires_grad_()
    out = synapse_lif(spikes, leaf, scale=100.0, gradient="identity")
    (actual,) = torch.autograd.grad(out.spikes, leaf, seed)
    assert ((actual.double() - exact).abs() <= bound + 1e-12).all()


def test_threads_do_not_change_a_bit():
    spikes, weight = spikes_of(20, 150, 60, 0.1), weight_of(300, 60)
    options = {"scale": 40.0, "outputs": ALL, **heterogeneous(("threshold",), 300)}
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            out = synapse_lif(spikes, weight, **options)
            results.append((out, gradients(synapse_lif, spikes, weight, options, ("spikes", "threshold"))))
    finally:
        torch.set_num_threads(before)
    for out, grads in results[1:]:
        assert_same(out, results[0][0])
        assert_same_gradients(grads, results[0][1], exact=True)


def saved_bytes(**options):
    """Bytes of the tensors that autograd keeps, beside the arguments."""
    spikes, weight = spikes_of(100, 8, 20), weight_of(64, 20).requires_grad_()
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t) is None or t, lambda t: t):
        out = synapse_lif(spikes, weight, scale=20.0, **options)
    out.spikes.sum().backward()
    arguments = {spikes.data_ptr(), weight.data_ptr()}
    return sum(t.nbytes for pointer, t in kept.items() if pointer not in arguments)


def test_memory_of_checkpoints():
    trace = 100 * 8 * 64 * 4
    small = 20 * 64 + 7 * 64 * 4 + 100  # integers, coefficients, numbers
    assert trace <= saved_bytes() <= trace + small
    assert saved_bytes(recompute_every=20) <= 5 * 3 * 8 * 64 * 4 + small
    trained = {"threshold": torch.ones(64, requires_grad=True)}
    assert saved_bytes(**trained) >= 2 * trace
    assert saved_bytes(**trained, recompute_every=20) <= 5 * 3 * 8 * 64 * 4 + small + 256


def test_nothing_is_saved_without_gradients():
    with torch.no_grad():
        out = torch.ops.gradspike._synapse_lif_forward(
            spikes_of(4, 2, 3),
            weight_of(5, 3),
            *(torch.tensor(x, dtype=torch.float64) for x in (0, 0, 1, 1e-5, 1e-5)),
            torch.tensor(1e-5, dtype=torch.float64),
            torch.tensor(0.0, dtype=torch.float64),
            1.0,
            -63.0,
            63.0,
            "half_even",
            "clipped",
            "model",
            1e-6,
            "superspike",
            50.0,
            "",
            "float",
            False,
            None,
            None,
            None,
            0,
            False,
        )
    assert [t.numel() for t in out[:3]] == [0, 0, 0] and out[4].numel() == 0


def test_double_backward_and_forward_mode_are_refused():
    spikes, weight = spikes_of(4, 2, 3), weight_of(5, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(synapse_lif(spikes, weight, scale=20.0).spikes.sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        gradient.sum().backward()
    with pytest.raises(RuntimeError, match="forward-mode"):
        torch.func.jvp(lambda w: synapse_lif(spikes, w).spikes, (weight.detach(),), (weight.detach(),))


# ---- refusals ----------------------------------------------------------------------------------------------------

X, W = torch.zeros(4, 2, 9), torch.zeros(5, 9)
REFUSED = {
    "spikes must have 3 dimensions": lambda: synapse_lif(X[0], W),
    "the last dimension of spikes must equal": lambda: synapse_lif(X[..., :8], W),
    "spikes must be float32": lambda: synapse_lif(X.int(), W),
    "spikes must be uint8 where packed_input": lambda: synapse_lif(X, W, packed_input=True),
    "last dimension of packed spikes": lambda: synapse_lif(X.byte(), W, packed_input=True),
    "weight must have 2 dimensions": lambda: synapse_lif(X, W[0]),
    "scale must be finite": lambda: synapse_lif(X, W, scale=0.0),
    "dt must be finite": lambda: synapse_lif(X, W, dt=0.0),
    "surrogate must be one of": lambda: synapse_lif(X, W, surrogate="step"),
    "rounding must be": lambda: synapse_lif(X, W, rounding="up"),
    "outputs must be names": lambda: synapse_lif(X, W, outputs="voltage"),
    "spike_format must be 'float', 'uint8' or": lambda: synapse_lif(X, W, spike_format="int8"),
    "spike_format must be 'float' with measured": lambda: synapse_lif(
        X, W, spike_format="uint8", measured_spikes=torch.zeros(4, 2, 5)
    ),
    "spike_format must be 'float' where gradients": lambda: synapse_lif(
        X, W.clone().requires_grad_(), spike_format="packed"
    ),
    "recompute_every must be": lambda: synapse_lif(X, W, recompute_every=-1),
    "leak must have one value per neuron": lambda: synapse_lif(X, W, leak=torch.zeros(4)),
    "tau_mem must be finite and > 0": lambda: synapse_lif(X, W, tau_mem=0.0),
    "initial_state must have shape": lambda: synapse_lif(X, W, initial_state=torch.zeros(2, 2, 5)),
    "measured_spikes must not have more time": lambda: synapse_lif(X, W, measured_spikes=torch.zeros(5, 2, 5)),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(sentence):
    with pytest.raises(RuntimeError, match="synapse_lif: ") as error:
        REFUSED[sentence]()
    assert sentence in str(error.value)


# ---- property ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_fused_is_separate(data):
    draw = data.draw
    time, batch, inputs, neurons = (draw(st.integers(1, top)) for top in (9, 9, 140, 140))
    torch.manual_seed(draw(st.integers(0, 1000)))
    spikes = spikes_of(time, batch, inputs, draw(st.sampled_from([0.0, 0.1, 0.9])), draw(st.booleans()))
    if draw(st.booleans()):
        spikes = spikes.transpose(0, 1).contiguous().transpose(0, 1)
    weight = weight_of(neurons, inputs)
    names = draw(st.sets(st.sampled_from(TRAINABLE)))
    bound = draw(st.sampled_from([63.0, 31.0, 127.0, 4000.0]))
    options = {
        **heterogeneous(names, neurons),
        "refractory_time": draw(st.sampled_from([0.0, 1e-6, 3e-6])),
        "scale": draw(st.sampled_from([1.0, 20.0, 300.0])),
        "min_weight": -bound,
        "max_weight": draw(st.sampled_from([0.0, bound])),
        "rounding": draw(st.sampled_from(["half_even", "half_away", "none"])),
        "units": draw(st.sampled_from(["model", "lsb"])),
        "gradient": draw(st.sampled_from(["clipped", "identity", "returning"])),
        "outputs": draw(st.sampled_from([ALL, "spikes", "membrane+spikes"])),
    }
    every = draw(st.sampled_from([0, 1, 3, 20]))
    assert_same(synapse_lif(spikes, weight, **options), separate(spikes, weight, **options))
    options["outputs"] = ALL
    expected = gradients(separate, spikes, weight, options, ("spikes", *names))
    assert_same_gradients(
        gradients(synapse_lif, spikes, weight, {**options, "recompute_every": every}, ("spikes", *names)), expected
    )


# ---- module ------------------------------------------------------------------------------------------------------


def pair():
    torch.manual_seed(3)
    synapse = nn.Synapse(5, 12, name="hidden")
    return synapse, nn.LIF(12, name="neurons", threshold=0.1, tau_mem=torch.nn.Parameter(torch.full((12,), 9e-6)))


def test_module_from_a_pair():
    synapse, neurons = pair()
    layer = nn.SynapseLIF.from_layers(synapse, neurons)
    spikes = spikes_of(20, 3, 5)
    assert torch.equal(layer(spikes), neurons(synapse(spikes)))
    assert_same(layer.traces(spikes), neurons.traces(synapse(spikes)))
    z, state = layer.step(spikes[0])
    assert torch.equal(z, layer(spikes)[0]) and state.shape == (3, 3, 12)
    assert layer.weight is synapse.weight and layer.tau_mem is neurons.tau_mem
    assert set(dict(layer.named_parameters())) == {"weight", "tau_mem"}
    with pytest.raises(ValueError, match="as many neurons"):
        nn.SynapseLIF.from_layers(synapse, nn.LIF(3))


def test_module_scripts_trains_and_copies():
    layer = nn.SynapseLIF(5, 12, threshold=0.1, recompute_every=6, mask=torch.rand(12, 5) < 0.8)
    spikes = spikes_of(20, 3, 5)
    scripted = torch.jit.script(layer)
    assert torch.equal(scripted(spikes), layer(spikes))
    assert_same(scripted.traces(spikes), layer.traces(spikes))
    layer(spikes).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert torch.equal(copy.deepcopy(layer)(spikes), layer(spikes))
    assert "recompute_every=6" in repr(layer)
    with pytest.raises(ValueError, match="recompute_every must be"):
        nn.SynapseLIF(5, 12, recompute_every=-1)


def test_recorder_sees_the_layer():
    layer = nn.SynapseLIF(5, 12, name="hidden", threshold=0.1)
    recorder = nn.Recorder(torch.nn.Sequential(layer, nn.Synapse(12, 3), nn.LI(3)))
    recorder(spikes_of(20, 3, 5))
    assert recorder.spikes["hidden"].shape == (20, 3, 12)


# ---- networks ----------------------------------------------------------------------------------------------------


def networks():
    synapse, neurons = pair()
    readout = nn.Synapse(12, 3, name="readout"), nn.LI(3, name="scores")
    return (
        torch.nn.Sequential(synapse, neurons, *readout),
        torch.nn.Sequential(nn.SynapseLIF.from_layers(synapse, neurons), *readout),
    )


def test_a_network_reads_as_the_pair_does(tmp_path):
    spikes = spikes_of(30, 2, 5)
    two, one = networks()
    read_two, read_one = chip.read(two, spikes, network="net"), chip.read(one, spikes, network="net")
    assert read_one.description == read_two.description
    assert read_one.integers().keys() == read_two.integers().keys()
    for name, integers in read_one.integers().items():
        assert torch.equal(integers, read_two.integers()[name])
    files = []
    for k, model in enumerate((two, one)):
        path = tmp_path / f"{k}.pt"
        gradspike.save(model, path, example=spikes, network=str(tmp_path / f"{k}.json"))
        files.append((tmp_path / f"{k}.json").read_bytes())
    assert files[0].replace(b'"0"', b'"k"') == files[1].replace(b'"1"', b'"k"')


def test_a_fused_network_runs_on_the_emulator():
    spikes = spikes_of(30, 2, 5)
    two, one = networks()
    results = [chip.read(model, spikes, network="net").deploy()(spikes) for model in (two, one)]
    assert results[0].spikes["neurons"].sum() > 0
    assert torch.equal(results[1].spikes["neurons"], results[0].spikes["neurons"])
    assert torch.equal(results[1].spikes["neurons"], two[1](two[0](spikes)))
    assert torch.equal(results[1].outputs, one(spikes))


def test_unnamed_layers_take_their_path():
    model = torch.nn.Sequential(nn.SynapseLIF(5, 6), nn.Synapse(6, 3), nn.LI(3))
    names = [p["name"] for p in chip.read(model, torch.zeros(4, 1, 5)).description["projections"]]
    assert names == ["0", "1"]


@pytest.mark.parametrize("options", [{"packed_input": True}, {"spike_format": "packed"}])
def test_compact_spikes_are_refused_in_a_network(options):
    layer = nn.SynapseLIF(5, 6, name="hidden", **options)
    with pytest.raises(Exception, match="must (not be set|be 'float') in a network"):
        chip.read(layer, torch.zeros(4, 1, 1 if "packed_input" in options else 5).byte())


def test_numpy_layout_of_the_reference():
    assert reference.pack(numpy.array([1, 0, 0, 0, 0, 0, 0, 0, 1])).tolist() == [1, 1]


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "none"])
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (0, 0, 3)])
def test_no_step_and_no_batch_entry(rounding, shape):
    weight = torch.randn(5, 3, requires_grad=True)
    out = synapse_lif(torch.zeros(shape), weight, rounding=rounding, outputs=ALL)
    assert out.spikes.shape == (*shape[:2], 5)
    assert out.state.shape == (3, shape[1], 5)
    (out.membrane.sum() + out.state.sum()).backward()
    assert torch.equal(weight.grad, torch.zeros(5, 3))


def test_segments_longer_than_the_run_cost_no_more():
    weight = torch.randn(4, 3, requires_grad=True)
    gradients_of = []
    for recompute_every in (0, 5, 2**31 - 1):
        out = synapse_lif(torch.ones(5, 2, 3), weight, scale=20.0, recompute_every=recompute_every)
        gradients_of.append(torch.autograd.grad(out.spikes.sum(), weight)[0])
    assert torch.equal(gradients_of[0], gradients_of[1]) and torch.equal(gradients_of[0], gradients_of[2])
    with pytest.raises(RuntimeError, match="recompute_every.*4611686018427387904"):
        synapse_lif(torch.ones(5, 2, 3), weight, recompute_every=2**62)
