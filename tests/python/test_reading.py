"""Reading: which models become networks, what stands in the description, and what is refused and how."""

import gc
import warnings
import weakref
from typing import Dict, List, NamedTuple, Tuple

import pytest
import torch
from torch import Tensor, nn

import gradspike
from gradspike import chip
from gradspike import functional as F
from gradspike.nn import LI, LIF, Synapse

X = torch.zeros(12, 2, 5)
SPIKES = (torch.rand(12, 2, 5, generator=torch.Generator().manual_seed(3)) < 0.4).float()


class Named(NamedTuple):
    spikes: Tensor
    membrane: Tensor


class Base(nn.Module):
    """Layers that the models below wire in different ways."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Synapse(5, 6, scale=16.0)
        self.b = Synapse(5, 6, scale=16.0)
        self.c = Synapse(6, 6, scale=16.0)
        self.lif = LIF(6, threshold=0.05)
        self.lif2 = LIF(6, threshold=0.05)
        self.li = LI(6)
        self.linear = nn.Linear(6, 6)
        self.relu = nn.ReLU()


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def bare_lif(input: Tensor, name: str = "hidden") -> Tensor:
    zero, tau = number(0.0), number(1e-5)
    return torch.ops.gradspike.lif(input, zero, zero, number(0.3), tau, tau, tau, zero, population=name)[0]


def require_deployed(model, *inputs: Tensor, **options) -> chip.Result:
    """The deployed network gives the outputs of the model, and not only zeros."""
    network = chip.read(model, inputs, **options)
    result = network.deploy()(*inputs)
    expected = model(*inputs)
    assert torch.equal(result.outputs, expected)
    assert any(spikes.sum() > 0 for spikes in result.spikes.values())
    return result


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_function_of_bare_operators():
    weight = nn.Parameter(torch.rand(4, 5))

    def net(spikes):
        return bare_lif(torch.ops.gradspike.graded_spikes(spikes, weight, 24.0, projection="hidden"))

    network = chip.read(net, SPIKES, network="yinyang")
    assert network.name == "yinyang"
    assert [p["name"] for p in network.description["projections"]] == ["hidden"]
    assert torch.equal(network.integers()["hidden"], F.hardware_weights(weight.detach(), 24.0).short())
    require_deployed(net, SPIKES)


def test_function_of_functional():
    first, second = nn.Parameter(torch.rand(4, 5)), nn.Parameter(torch.rand(3, 4))

    def net(spikes):
        hidden = F.lif(F.graded_spikes(spikes, first, 24.0, projection="first"), threshold=0.3).spikes
        return F.li(F.graded_spikes(hidden, second, 24.0, projection="second")).membrane

    require_deployed(net, SPIKES)


def test_function_whose_weight_is_joined_from_two_parameters():
    first, second = nn.Parameter(torch.rand(2, 5)), nn.Parameter(torch.rand(3, 5))

    def net(spikes):
        return bare_lif(F.graded_spikes(spikes, torch.cat([first, second]), 24.0, projection="joined"))

    deployed = chip.deploy(net, example=SPIKES)
    assert not deployed.changed
    with torch.no_grad():
        second.mul_(0.5)
    assert deployed.changed  # the graph refers to the parameters, not to copies


def test_function_that_calls_modules():
    synapse, neurons = Synapse(5, 4, name="in"), LIF(4, threshold=0.3)
    require_deployed(lambda spikes: neurons(synapse(spikes)), SPIKES)


def test_sequential_takes_paths_as_names():
    model = nn.Sequential(Synapse(5, 6), LIF(6), Synapse(6, 3), LI(3))
    description = chip.read(model).description
    assert [p["name"] for p in description["projections"]] == ["0", "2"]
    assert [p["name"] for p in description["populations"]] == ["1", "3"]
    assert model[0].projection == "" and model[1].population == ""  # the model itself is untouched


def test_nested_modules_take_qualified_paths():
    block = nn.Sequential(Synapse(5, 6), LIF(6))
    model = nn.Sequential(nn.ModuleDict({"x": block})["x"], nn.Sequential(Synapse(6, 3), LI(3)))
    assert [p["name"] for p in chip.read(model).description["projections"]] == ["0.0", "1.0"]


def test_reading_leaves_mode_and_parameters():
    model = nn.Sequential(Synapse(5, 6), nn.Dropout(0.5), LIF(6)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chip.read(model)
    assert model.training and model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_compiled_model_is_unwrapped():
    model = nn.Sequential(Synapse(5, 6), LIF(6))
    assert chip.read(torch.compile(model)).description == chip.read(model).description


def test_weight_is_any_expression_of_parameters():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.tanh(self.a.weight) * 0.5 + self.b.weight.abs()
            return self.lif(F.graded_spikes(x, weight, 16.0, projection="sum"))

    model = Model()
    expected = F.hardware_weights((torch.tanh(model.a.weight) * 0.5 + model.b.weight.abs()).detach(), 16.0)
    assert torch.equal(chip.read(model).integers()["sum"], expected.short())
    require_deployed(model, SPIKES)


def test_transform_and_mask():
    mask = torch.rand(6, 5) < 0.5

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = Synapse(5, 6, transform=nn.Softplus(), mask=mask, scale=16.0)
            self.lif = LIF(6, threshold=0.05)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x))

    model = Model()
    assert (chip.read(model).integers()["a"][~mask] == 0).all()
    connected = chip.read(model).map().data
    unmasked = chip.read(nn.Sequential(Synapse(5, 6), LIF(6))).map().data
    assert len(connected["synapses"]) < len(unmasked["synapses"])  # what is masked takes no synapse
    require_deployed(model, SPIKES)


def test_fan_in_of_different_scales_is_exact_on_the_ideal_emulator():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Synapse(5, 6, scale=16.0), Synapse(5, 6, scale=21.0)
            self.lif = LIF(6, threshold=0.05)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x) + self.b(x))

    require_deployed(Model(), SPIKES)


def test_skip_connection():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self.lif(self.a(x))
            return self.lif2(self.c(hidden) + self.b(x))

    require_deployed(Model(), SPIKES)


def test_in_place_sum_is_a_sum():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            current = self.a(x)
            current += self.b(x)
            return self.lif(current)

    require_deployed(Model(), SPIKES)


def test_two_branches():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([self.lif(self.a(x))[:, :, :3], self.lif2(self.b(x))[:, :, 3:]], 2)
            return self.li(self.c(both))

    require_deployed(Model(), SPIKES)


def test_slices_of_one_input_share_the_input():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Synapse(3, 6, scale=16.0), Synapse(3, 6, scale=16.0)
            self.lif = LIF(6, threshold=0.05)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x[:, :, :3]) + self.b(x[:, :, 2:5]))

    spikes = torch.cat([SPIKES, SPIKES[:, :, :1]], dim=2)
    network = chip.read(Model(), spikes)
    assert network.description["inputs"] == [{"name": "input0", "size": 6}]
    require_deployed(Model(), spikes)


def test_conversions_that_keep_float32_are_wires():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            spikes = self.lif(self.a(x)).to(self.linear.weight).type_as(self.linear.bias).to(torch.float32)
            return self.lif2(self.c(spikes.to("cpu")))

    require_deployed(Model(), SPIKES)


def test_gate_that_is_trained_is_no_mask():
    class Gated(nn.Module):
        def __init__(self, hard: bool, trained: bool) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(6, 5))
            self.gate = nn.Parameter((torch.rand(6, 5) < 0.5).float(), requires_grad=trained)
            self.hard, self.lif = hard, LIF(6, threshold=0.05)

        def forward(self, x: Tensor) -> Tensor:
            gate = (self.gate > 0.5).float() if self.hard else self.gate.clamp(0, 1)
            return self.lif(F.graded_spikes(x, self.weight * gate, 16.0, projection="a"))

    def synapses(hard: bool, trained: bool) -> int:
        return len(chip.read(Gated(hard, trained), SPIKES).map().data["synapses"])

    for hard in (False, True):
        assert synapses(hard, trained=True) > synapses(hard, trained=False)


def test_untrained_rounding_is_an_approximation_of_the_report():
    exact = nn.Sequential(Synapse(5, 6, name="hidden"), LIF(6))
    floats = nn.Sequential(Synapse(5, 6, name="hidden", rounding="none"), LIF(6))
    assert chip.check(exact).data["approximations"] == []
    report = chip.check(floats)
    assert report.data["approximations"] == [
        "projection 'hidden': trained with float weights (rounding=\"none\"), "
        "deployed with integers rounded half to even"
    ]
    assert report.data["approximations"][0] in str(report)
    assert report.verdict == "fits with losses"


BAD_NEURONS = [
    ("tau_mem", 0.0, "> 0"),
    ("tau_syn", -1e-6, "> 0"),
    ("membrane_capacitance", float("nan"), "finite"),
    ("refractory_time", -1e-6, ">= 0"),
    ("leak", float("inf"), "finite"),
    ("reset", float("nan"), "finite"),
    ("threshold", float("-inf"), "finite"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD_NEURONS)
def test_neuron_parameters_out_of_range(name, value, words):
    model = nn.Sequential(Synapse(5, 6), LIF(6, **{name: torch.full((6,), 1e-5)}, name="cells"))
    chip.read(model)
    with torch.no_grad():
        getattr(model[1], name)[4] = value
    with pytest.raises(RuntimeError, match=rf"population 'cells': {name} of neuron 4 must be finite.*got") as caught:
        chip.read(model)
    assert words in one_sentence(caught.value)


def test_replicated_inputs_share_the_input():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(15, 6, scale=16.0), LIF(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x.repeat(1, 1, 3)))

    network = chip.read(Model(), SPIKES)
    assert network.description["inputs"] == [{"name": "input0", "size": 5}]
    require_deployed(Model(), SPIKES)


def test_host_code_before_and_after():
    class Model(Base):
        def forward(self, values: Tensor) -> Tensor:
            spikes = (values > 0.6).to(torch.float32).unsqueeze(0).repeat(12, 1, 1)
            membrane = self.li(self.c(self.lif(self.a(spikes))))
            return torch.softmax(membrane.amax(0), -1)

    model = Model()
    values = torch.rand(3, 5)
    result = require_deployed(model, values)
    assert result.spikes["lif"].shape == (12, 3, 6)


def test_sum_of_two_inputs_is_host_code():
    class Model(Base):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.lif(self.a(x[:8] + y[:8]))

    require_deployed(Model(), SPIKES, SPIKES.flip(0))


def test_inputs_are_matched_whatever_the_order_of_use():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.lif = Synapse(5, 6, scale=16.0), Synapse(3, 6, scale=16.0), LIF(6)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.lif(self.b(y) + self.a(x))

    require_deployed(Model(), SPIKES, SPIKES[:, :, :3])


def test_default_arguments_are_filled_in():
    class Model(Base):
        def forward(self, x: Tensor, gain: float = 1.0, shift: int = 2) -> Tensor:
            return self.li(self.c(self.lif(self.a(x)))) * gain + shift

    require_deployed(Model(), SPIKES)


def test_host_code_may_use_membrane_current_and_state():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            traces = self.lif.traces(self.a(x))
            return traces.membrane.sum() + traces.current.amax() + traces.state.sum() + traces.spikes.sum()

    require_deployed(Model(), SPIKES)


def test_the_inputs_of_the_caller_are_not_changed():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            x.clamp_(0.0, 1.0)
            return self.lif(self.a(x))

    doubled = SPIKES * 2
    result = chip.deploy(Model())(doubled)
    assert torch.equal(doubled, SPIKES * 2)
    assert result.outputs.shape == (12, 2, 6)


def test_one_name_and_one_parameter_is_one_projection():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            first, second = self.a(x), self.a(x)
            return self.lif(torch.cat([first[:, :, :2], second[:, :, 2:]], 2))

    network = chip.read(Model(), SPIKES)
    assert [p["name"] for p in network.description["projections"]] == ["a"]
    require_deployed(Model(), SPIKES)


def test_one_masked_parameter_used_twice_is_one_projection():
    """A product is computed at each call, so the parameter tells, not the result."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(5, 6, mask=torch.rand(6, 5) < 0.8, scale=16.0), LIF(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(torch.cat([self.a(x)[:, :, :2], self.a(x)[:, :, 2:]], 2))

    assert len(chip.read(Model(), SPIKES).description["projections"]) == 1


def test_keyed_operator_that_reaches_no_output_is_reported():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            self.lif2(self.b(x))
            return self.lif(self.a(x))

    network = chip.read(Model())
    assert [p["name"] for p in network.description["projections"]] == ["a"]
    assert len(network.warnings) == 2
    assert any("'b'" in w and "reaches no output" in w and "test_reading.py" in w for w in network.warnings)


def test_projection_that_only_host_code_reads_is_reported():
    class Model(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x)) + self.b(x)

    network = chip.read(Model())
    assert any("'b'" in w for w in network.warnings)
    require_deployed(Model(), SPIKES)


def test_wishes_and_card_stand_in_the_description():
    model = nn.Sequential(Synapse(5, 6, name="in", receptor="excitatory"), LIF(6))
    wish = {"receptor": "excitatory", "plasticity_rule": "stdp", "plasticity_period": 1e-3}
    network = chip.read(model, projections={"in": wish}, card={"class_names": ["a", "b"], "steps": 30})
    (projection,) = network.description["projections"]
    assert projection["plasticity_rule"] == "stdp"
    assert network.description["model_card"]["class_names"] == ["a", "b"]
    assert network.description["model_card"]["steps"] == 30


def test_results_that_a_module_keeps_do_not_hinder():
    class Model(Base):
        def forward(self, *inputs: Tensor) -> Tensor:
            self.kept = self.lif(self.a(inputs[0]))  # as for a regulariser: no leaf, which deepcopy refuses
            return self.kept

    model = Model()
    model(SPIKES)
    chip.read(model, SPIKES)


def test_attributes_that_only_keep_results():
    class Model(Base):
        def __init__(self) -> None:
            super().__init__()
            self.kept = torch.zeros(1)

        def forward(self, x: Tensor) -> Tensor:
            z = self.lif(self.a(x))
            self.kept = z
            return z

    require_deployed(Model(), SPIKES)


@pytest.mark.parametrize("saved", [False, True])
def test_parametrized_weights(tmp_path, saved):
    """weight = g * v / |v|: the graph computes it, so the parameters of the parametrization are those that count."""
    model = nn.Sequential(Synapse(5, 6, name="a", scale=16.0), LIF(6, threshold=0.3, name="b"))
    nn.utils.parametrizations.weight_norm(model[0])
    with pytest.raises(RuntimeError, match=r"example.*parametrizations"):
        chip.read(model)
    if saved:
        gradspike.save(model, tmp_path / "net.pt", example=SPIKES)
        loaded = gradspike.load(tmp_path / "net.pt")
        assert torch.equal(chip.deploy(loaded)(SPIKES).outputs, model(SPIKES))
        return
    deployed = chip.read(model, SPIKES).deploy()
    assert torch.equal(deployed(SPIKES).outputs, model(SPIKES))
    with torch.no_grad():
        model[0].parametrizations.weight.original0.mul_(0.5)
    assert deployed.changed


def test_outputs_of_every_kind():
    class Model(Base):
        def forward(self, x: Tensor) -> Tuple[Named, Dict[str, Tensor], List[Tensor], int]:
            z = self.lif(self.a(x))
            return Named(z, self.li(self.c(z))), {"x": x}, [z, z], x.size(0)

    outputs = chip.deploy(Model())(SPIKES).outputs
    assert outputs[0].spikes.shape == (12, 2, 6) and torch.equal(outputs[1]["x"], SPIKES)
    assert torch.equal(outputs[2][0], outputs[0].spikes) and outputs[3] == 12


def test_weight_change_never_remaps():
    model = nn.Sequential(Synapse(5, 6), LIF(6))
    deployed = chip.deploy(model)
    mapping = deployed.network.map()
    with torch.no_grad():
        model[0].weight.neg_()
    assert deployed.changed
    assert deployed.network.map() == mapping
    again = deployed.network.deploy()
    assert not again.changed
    assert torch.equal(again(SPIKES).outputs, model(SPIKES))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision(dtype):
    model = nn.Sequential(Synapse(5, 6, scale=16.0, dtype=dtype), LIF(6, threshold=0.3))
    require_deployed(model, SPIKES)


def test_parameters_of_every_kind():
    """Numbers, float32 and float64 tensors, one for all neurons and one for each: the coefficients are the op's."""
    torch.manual_seed(4)
    parameters = {
        "leak": torch.rand(6, dtype=torch.float64) * 0.1,
        "reset": torch.tensor(-0.05),
        "threshold": nn.Parameter(torch.rand(6) * 0.3 + 0.1),
        "tau_mem": nn.Parameter(torch.tensor(7.3e-6)),
        "tau_syn": torch.rand(6) * 1e-5 + 3e-6,
        "membrane_capacitance": torch.tensor(9.1e-6, dtype=torch.float64),
        "refractory_time": torch.full((6,), 2.5e-6),
    }
    model = nn.Sequential(Synapse(5, 6, scale=16.0), LIF(6, **parameters), Synapse(6, 3, scale=16.0), LI(3))
    require_deployed(model, SPIKES)


def test_empty_runs():
    deployed = chip.deploy(nn.Sequential(Synapse(5, 6), LIF(6, name="out")))
    for shape in ((0, 2, 5), (4, 0, 5)):
        result = deployed(torch.zeros(shape))
        assert result.outputs.shape == (*shape[:2], 6)
        assert result.spikes["out"].shape == (*shape[:2], 6)


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {}


def refused(*words: str):
    """Registers a forward method whose model must be refused with these words."""

    def register(forward):
        REFUSED[forward.__name__] = (forward, words)
        return forward

    return register


@refused("aten::relu", "test_reading.py:", "wired on a chip")
def relu_between(self, x: Tensor) -> Tensor:
    return self.lif(self.relu(self.a(x)))


@refused("aten::mul", "test_reading.py:")
def product_with_a_number(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) * 2.0)


@refused("aten::sub", "test_reading.py:")
def difference(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) - self.b(x))


@refused("aten::add", "alpha", "2")
def weighted_sum(self, x: Tensor) -> Tensor:
    return self.lif(torch.add(self.a(x), self.b(x), alpha=2.0))


@refused("aten::add", "test_reading.py:", "adds a constant to a signal")
def sum_with_a_number(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) + 1.0)


@refused("aten::add", "test_reading.py:", "adds a constant to a signal")
def number_added_to_spikes(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)) + 1.0))


@refused("aten::add", "test_reading.py:", "adds a constant to a signal")
def sum_with_a_bias(self, x: Tensor) -> Tensor:
    return self.lif(self.linear.bias + self.a(x))


@refused("aten::add", "test_reading.py:", "adds a constant to a signal")
def sum_with_a_constant_tensor(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) + torch.ones(6))


@refused("aten::add", "test_reading.py:", "adds a constant to a signal")
def sum_with_zeros_that_may_change_its_shape(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) + torch.zeros(1, 1, 6))


@refused("aten::slice", "time or batch", "test_reading.py:")
def time_slice(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x))[2:]))


@refused("aten::transpose", "test_reading.py:")
def transpose(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x).transpose(0, 1))


@refused("aten::cat", "axis other than the neurons")
def concatenation_in_time(self, x: Tensor) -> Tensor:
    return self.lif(torch.cat([self.a(x), self.b(x)], 0))


@refused("aten::linear", "test_reading.py:")
def analog_layer(self, x: Tensor) -> Tensor:
    return self.lif2(self.linear(self.lif(self.a(x))))


@refused("loop or an `if`", "gradspike::graded_spikes", "test_reading.py:")
def loop(self, x: Tensor) -> Tensor:
    y = x
    for _ in range(x.size(0)):
        y = self.lif(self.a(x))
    return y


@refused("loop or an `if`")
def condition(self, x: Tensor) -> Tensor:
    if bool(x.sum() > 0):
        return self.lif(self.a(x))
    return self.lif2(self.b(x))


@refused("prim::If", "wired on a chip")
def condition_between(self, x: Tensor) -> Tensor:
    z = self.lif(self.a(x))
    if bool(x.sum() > 0):
        z = z * 0.0
    return self.lif2(self.c(z))


@refused("initial_state", "code before the network")
def recurrence(self, x: Tensor) -> Tensor:
    first = self.lif.traces(self.a(x))
    return self.lif2.traces(self.b(x), first.state).spikes


@refused("projection 'c'", "another projection")
def projection_onto_projection(self, x: Tensor) -> Tensor:
    return self.lif(self.c(self.a(x)))


@refused("projection 'c'", "membrane", "'lif'")
def projection_of_a_membrane(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif.traces(self.a(x)).membrane))


@refused("population 'lif'", "an input", "without a projection")
def population_without_projection(self, x: Tensor) -> Tensor:
    return self.lif(x)


@refused("population 'lif2'", "another population")
def population_onto_population(self, x: Tensor) -> Tensor:
    return self.lif2(self.lif(self.a(x)))


@refused("sum to a sum", "left to right")
def sum_of_sums(self, x: Tensor) -> Tensor:
    z = self.lif2(F.graded_spikes(x, self.linear.weight[:, :5], 16.0, projection="z"))
    return self.lif((self.a(x) + self.b(x)) + (self.c(z) + F.graded_spikes(z, self.linear.weight, projection="d")))


@refused("projection 'a'", "used twice")
def projection_with_two_targets(self, x: Tensor) -> Tensor:
    current = self.a(x)
    return self.lif(current) + self.lif2(current)


@refused("projection 'a'", "used twice")
def projection_added_to_itself(self, x: Tensor) -> Tensor:
    current = self.a(x)
    return self.lif(current + current)


@refused("projection 'a'", "two different inputs")
def projection_with_two_sources(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x) + self.a(x[:, :, self.order]))


@refused("projection 'p'", "two scales")
def one_parameter_two_scales(self, x: Tensor) -> Tensor:
    first = F.graded_spikes(x, self.a.weight, 16.0, projection="p")
    return self.lif(first + F.graded_spikes(x, self.a.weight, 32.0, projection="p"))


@refused("'p'", "different weights", "unique")
def two_projections_of_one_name(self, x: Tensor) -> Tensor:
    first = F.graded_spikes(x, self.a.weight, 16.0, projection="p")
    return self.lif(first + F.graded_spikes(x, self.b.weight, 16.0, projection="p"))


@refused("'lif'", "two populations", "unique")
def two_populations_of_one_name(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x)) + F.lif(self.b(x), population="lif").spikes


@refused("population 'slow'", "dt", "2e-06", "1e-06")
def unequal_dt(self, x: Tensor) -> Tensor:
    return self.lif(self.a(x)) + F.lif(self.b(x), dt=2e-6, population="slow").spikes


@refused("'p'", "weight depends on the input")
def weight_from_the_input(self, x: Tensor) -> Tensor:
    return self.lif(F.graded_spikes(x, self.a.weight * x.sum(), projection="p"))


@refused("'p'", "float64")
def double_weight(self, x: Tensor) -> Tensor:
    return self.lif(F.graded_spikes(x, self.a.weight.double(), projection="p"))


@refused("dtype", "float32")
def change_of_dtype(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)).to(torch.float64)))


@refused("aten::to", "dtype", "float32", "Double")
def dtype_of_another_tensor(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)).to(torch.zeros(1, dtype=torch.float64))))


@refused("aten::type_as", "dtype", "float32", "BFloat16")
def type_as_another_tensor(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)).type_as(torch.zeros(1, dtype=torch.bfloat16))))


@refused("aten::type_as", "dtype", "depends on the input")
def type_as_the_input(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)).type_as(x)))


@refused("aten::to", "dtype", "float32", "Half")
def dtype_with_a_device(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x)).to(torch.device("cpu"), torch.float16)))


@refused("no name", "projection=")
def unnamed_projection(self, x: Tensor) -> Tensor:
    return self.lif(F.graded_spikes(x, self.a.weight))


@refused("'in/out'", "'/'")
def slash_in_a_name(self, x: Tensor) -> Tensor:
    return self.lif(F.graded_spikes(x, self.a.weight, projection="in/out"))


@refused("'in/out'", "'/'")
def slash_in_a_population(self, x: Tensor) -> Tensor:
    return F.lif(self.a(x), population="in/out").spikes


@refused("changes in place", "test_reading.py:")
def written_between(self, x: Tensor) -> Tensor:
    z = self.lif(self.a(x))
    z[:, :, 0] = 0.0
    return self.lif2(self.c(z))


@refused("changes in place", "test_reading.py:")
def input_written_between_two_readers(self, x: Tensor) -> Tensor:
    first = self.lif(self.a(x))
    x.zero_()
    return first + self.lif2(self.b(x))


@refused("attribute 'count'", "no state")
def state_between_runs(self, x: Tensor) -> Tensor:
    self.count += 1
    return self.lif(self.a(x)) * self.count


@refused("sum of spikes")
def projection_of_a_sum_of_spikes(self, x: Tensor) -> Tensor:
    return self.li(self.c(self.lif(self.a(x)) + self.lif2(self.b(x))))


@refused("projection 'c'", "6 inputs", "5 neurons")
def wrong_size(self, x: Tensor) -> Tensor:
    return self.lif2(self.c(self.lif(self.a(x))[:, :, :5]))


@refused("no gradspike operator")
def no_operator(self, x: Tensor) -> Tensor:
    return self.relu(x)


def model_of(forward) -> nn.Module:
    """Compiles the given method as the forward of a model with all layers."""

    class Model(Base):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("order", torch.tensor([1, 0, 2, 3, 4]))
            self.count = 0

    Model.forward = forward
    return Model()


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text, text
    assert "Traceback" not in text and ".cpp" not in text, text
    return text


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name):
    forward, words = REFUSED[name]
    before = chip.registered()
    with pytest.raises(RuntimeError) as caught:
        chip.read(model_of(forward), network="refused")
    text = one_sentence(caught.value)
    for word in words:
        assert word in text, text
    assert chip.registered() == before  # nothing is left half registered


def test_refused_in_a_traced_model_with_its_line():
    class Model(Base):
        def forward(self, *inputs: Tensor) -> Tensor:
            return self.lif(self.relu(self.a(inputs[0])))

    with pytest.raises(RuntimeError, match=r"aten::relu in .*test_reading.py:\d+ lies between"):
        chip.read(Model(), X)


@pytest.mark.parametrize("example", [None, X], ids=["scripted", "traced"])
@pytest.mark.parametrize("saved", [None, "net.pt", "net.pt2"])
def test_refused_in_a_sequential_by_the_path_of_the_module(tmp_path, example, saved):
    """The line of a container's forward is one of PyTorch: the path says which layer it is."""
    model = nn.Sequential(Synapse(5, 6, name="a"), nn.Sequential(LIF(6), nn.ReLU()), Synapse(6, 6, name="c"))
    compact = nn.Sequential(gradspike.nn.SynapseLIF(5, 6, name="a", spike_format="uint8"), Synapse(6, 6, name="c"))
    for network, words in (
        (model, "aten::relu in module '1.1' lies between"),
        (compact, "gradspike::synapse_lif in module '0': spike_format must be 'float' in a network that is read"),
    ):
        with pytest.raises(RuntimeError, match=f"^{words}") as caught:
            if saved is None:
                chip.read(network, example)
            elif saved == "net.pt":
                gradspike.save(network, tmp_path / saved, example=example)
            else:
                gradspike.export(network, tmp_path / saved, example=X)
        one_sentence(caught.value)


def test_sum_of_python_starts_with_zero():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([Synapse(5, 6, name="a", scale=16.0), Synapse(5, 6, name="b", scale=16.0)])
            self.lif = LIF(6, threshold=0.05)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(sum(part(x) for part in self.parts))

    require_deployed(Model(), SPIKES)


def test_unrolled_loop_is_refused():
    class Model(Base):
        def forward(self, *inputs: Tensor) -> Tensor:
            z = torch.zeros(1, 2, 6)
            for step in inputs[0]:
                z = self.lif(self.a(step.unsqueeze(0)) + self.c(z))
            return z

    with pytest.raises(RuntimeError) as caught:
        chip.read(Model(), X)
    one_sentence(caught.value)


def test_dropout_is_never_active():
    """The copy that is read is in evaluation mode, whatever the mode of the model."""
    model = nn.Sequential(Synapse(5, 6, scale=16.0), nn.Dropout(0.9), LIF(6)).train()
    result = chip.deploy(model)(SPIKES)
    assert torch.equal(result.outputs, model.eval()(SPIKES))


OPTIONS = {
    "unknown projection": (dict(projections={"hiden": {}}), ("'hiden'", '"hidden"')),
    "wish is no dictionary": (dict(projections={"hidden": "x"}), ("'hidden'", "dictionary")),
    "unknown wish": (dict(projections={"hidden": {"colour": 1}}), ("'hidden'", "'colour'", "receptor")),
    "wish of wrong type": (dict(projections={"hidden": {"receptor": 3}}), ("'receptor'", "3")),
    "wrong receptor": (dict(projections={"hidden": {"receptor": "excitatory"}}), ("'hidden'", "excitatory", "signed")),
    "no number": (dict(projections={"hidden": {"plasticity_period": float("nan")}}), ("finite",)),
    "signed plasticity": (dict(projections={"hidden": {"plasticity_rule": "stdp"}}), ('"hidden"', "unsigned")),
    "projections is a list": (dict(projections=["hidden"]), ("projections", "dictionary")),
    "unknown card": (dict(card={"classes": []}), ("card", "'classes'", "class_names")),
    "card of wrong type": (dict(card={"steps": "many"}), ("'steps'", "many")),
    "card with a fraction": (dict(card={"steps": 3.7}), ("'steps'", "whole number", "3.7")),
    "slash in the network": (dict(network="a/b"), ("'a/b'", "'/'")),
    "example is text": (dict(example="x"), ("example", "str")),
    "example holds a number": (dict(example=[1.0]), ("example", "float")),
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_refused_options(name):
    options, words = OPTIONS[name]
    before = chip.registered()
    with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
        chip.read(nn.Sequential(Synapse(5, 6, name="hidden"), LIF(6)), **options)
    text = one_sentence(caught.value)
    for word in words:
        assert word in text, text
    assert chip.registered() == before


def test_refused_models():
    with pytest.raises(TypeError, match="torch.nn.Module"):
        chip.read(3)
    with pytest.raises(ValueError, match="example"):
        chip.read(lambda x: x)
    with pytest.raises(ValueError, match="keeps its name"):
        chip.read(chip.read(nn.Sequential(Synapse(5, 6), LIF(6))), network="other")


def test_model_that_cannot_be_scripted_asks_for_an_example():
    class Model(Base):
        def forward(self, *inputs: Tensor, **options: int) -> Tensor:
            return self.lif(self.a(inputs[0]))

    with pytest.raises(RuntimeError, match="example") as caught:
        chip.read(Model())
    one_sentence(caught.value)


def test_captured_result_of_a_computation_is_refused():
    weight = nn.Parameter(torch.rand(4, 5)) * 2
    with pytest.raises(RuntimeError, match="inside the function"):
        chip.read(lambda x: bare_lif(F.graded_spikes(x, weight, projection="p")), X)


def test_size_that_does_not_follow_from_the_weights_asks_for_an_example():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(8, 6), LIF(6)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.lif(self.a(torch.cat([x, y], 2)))

    with pytest.raises(RuntimeError, match=r"input 'x' .*example"):
        chip.read(Model())
    require_example = chip.read(Model(), (X, X[:, :, :3]))
    assert [entry["size"] for entry in require_example.description["inputs"]] == [5, 3]


def test_warnings_of_pytorch_are_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chip.read(nn.Sequential(Synapse(5, 6), LIF(6)))
        chip.read(lambda x: bare_lif(F.graded_spikes(x, torch.ones(2, 5), projection="p")), X)


def test_a_network_that_nobody_holds_frees_its_parameters():
    model = nn.Sequential(Synapse(8, 4, name="a", scale=16.0), LIF(4, name="l"))
    weight = weakref.ref(model[0].weight)
    network = chip.read(model, network="freed")
    assert weight() is not None and network.name == "freed"
    del model, network
    chip.clear("freed")
    gc.collect()
    assert weight() is None


class WeightInParts(nn.Module):
    """Builds a list step by step, in a loop too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.full((2, 5), 0.5))
        self.second = nn.Parameter(torch.full((1, 5), -0.25))

    def forward(self, spikes: Tensor) -> Tensor:
        parts: List[Tensor] = []
        parts.append(self.first)
        for _ in range(2):
            parts.append(self.second)
        current = torch.ops.gradspike.graded_spikes(spikes, torch.cat(parts), 16.0, projection="in")
        return F.lif(current, 0.0, 0.0, 0.3, population="neurons").spikes


def test_a_weight_from_a_list_that_grows():
    model, spikes = WeightInParts(), torch.ones(6, 2, 5)
    network = chip.read(model, spikes, "grows")
    assert network.integers()["in"][:, 0].tolist() == [8, 8, -4, -4]
    assert torch.equal(network.deploy()(spikes).outputs, model(spikes))


class WeightThroughAView(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 5), 0.1))

    def forward(self, spikes: Tensor) -> Tensor:
        weight = self.weight * 1.0
        weight[0].fill_(0.5)
        current = torch.ops.gradspike.graded_spikes(spikes, weight, 100.0, projection="in")
        return F.lif(current, population="neurons").spikes


class WritesItsParameter(WeightThroughAView):
    def forward(self, spikes: Tensor) -> Tensor:
        self.weight.detach().clamp_(max=0.05)
        current = torch.ops.gradspike.graded_spikes(spikes, self.weight, 100.0, projection="in")
        return F.lif(current, population="neurons").spikes


def test_a_weight_that_is_changed_through_a_view():
    network = chip.read(WeightThroughAView(), torch.ones(6, 2, 5), "view")
    assert network.integers()["in"][:, 0].tolist() == [50, 10, 10]


def test_a_parameter_that_changes_while_the_model_runs_is_refused():
    model = WritesItsParameter()
    with pytest.raises(RuntimeError, match="changes a parameter or buffer of the model in place"):
        chip.read(model, torch.ones(6, 2, 5), "writes")
    assert model.weight.detach().max() == pytest.approx(0.1)


def test_a_graph_that_touches_files_is_refused(tmp_path):
    class Reads(WeightThroughAView):
        def forward(self, spikes: Tensor) -> Tensor:
            weight = self.weight + torch.from_file(str(tmp_path / "made"), True, 15).view(3, 5)
            return torch.ops.gradspike.graded_spikes(spikes, weight, 100.0, projection="in")

    (tmp_path / "made").write_bytes(bytes(60))
    with pytest.raises(RuntimeError, match="reads or writes files"):
        chip.read(Reads(), torch.ones(6, 2, 5), "files")
