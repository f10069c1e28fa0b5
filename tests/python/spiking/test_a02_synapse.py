"""A2: `Synapse` in simulation."""

import functools
import inspect
import math

import pytest
import torch
from contract_networks import emulator, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike.spiking.transforms.weight_transforms import linear_saturating


@pytest.fixture
def experiment():
    return hxsnn.Experiment(mock=True)


def run(experiment, module, x):
    handle = module(handle_of(x))
    hxsnn.run(experiment, x.shape[0])
    return handle


def test_a2_the_constructor_takes_hxtorchs_arguments_in_order():
    names = list(inspect.signature(hxsnn.Synapse).parameters)
    assert names[:9] == [
        "in_features",
        "out_features",
        "experiment",
        "chip_coordinate",
        "device",
        "dtype",
        "transform",
        "plasticity_rule",
        "receptor",
    ]
    defaults = [p.default for p in list(inspect.signature(hxsnn.Synapse).parameters.values())[3:9]]
    assert defaults == [None, None, None, linear_saturating, None, None]


def test_a2_attributes(experiment):
    transform, coordinate = scaled(), object()
    synapse = hxsnn.Synapse(5, 7, experiment, coordinate, transform=transform)
    assert (synapse.in_features, synapse.out_features) == (5, 7)
    assert synapse.weight_transform is transform and synapse.experiment is experiment
    assert synapse.chip_coordinate is coordinate and synapse.descriptor is None
    assert synapse.output_type is hxsnn.SynapseHandle


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64, torch.bfloat16])
def test_a2_weight_has_shape_device_and_dtype_and_is_all_of_the_state(experiment, dtype):
    synapse = hxsnn.Synapse(5, 7, experiment, device="cpu", dtype=dtype)
    assert isinstance(synapse.weight, torch.nn.Parameter)
    assert synapse.weight.shape == (7, 5) and synapse.weight.device.type == "cpu"
    assert synapse.weight.dtype == (dtype or torch.get_default_dtype())
    assert list(synapse.state_dict()) == ["weight"]
    assert hxsnn.Synapse(5, 7, experiment, device="meta").weight.device.type == "meta"


def test_a2_reset_parameters_draws_as_linear_does(experiment):
    synapse = hxsnn.Synapse(50, 200, experiment)
    torch.manual_seed(3)
    synapse.reset_parameters()
    torch.manual_seed(3)
    expected = torch.nn.init.kaiming_uniform_(torch.empty(200, 50), a=math.sqrt(5))
    assert torch.equal(synapse.weight, expected)
    assert synapse.weight.abs().max() <= 1 / math.sqrt(50)
    torch.manual_seed(4)
    constructed = hxsnn.Synapse(50, 200, experiment).weight
    torch.manual_seed(4)
    assert torch.equal(constructed, torch.nn.init.kaiming_uniform_(torch.empty(200, 50), a=math.sqrt(5)))


def test_a2_a_call_registers_and_returns_a_new_empty_handle(experiment):
    synapse = hxsnn.Synapse(5, 7, experiment)
    assert not experiment.modules.has_module(synapse)
    first, second = synapse(handle_of(spikes())), synapse(handle_of(spikes()))
    assert experiment.modules.has_module(synapse)
    assert first is not second and type(first) is hxsnn.SynapseHandle
    assert first.graded_spikes is None


@pytest.mark.parametrize("options", [{}, {"receptor": "excitatory"}, {"transform": scaled(1000.0)}])
def test_a2_the_simulation_is_the_float_product_whatever_transform_and_receptor_are(experiment, options):
    synapse, x = hxsnn.Synapse(5, 7, experiment, **options), spikes()
    torch.nn.init.normal_(synapse.weight, std=100.0)  # far beyond 63, both signs
    direct = synapse.forward_func(handle_of(x)).graded_spikes
    torch.testing.assert_close(direct, x @ synapse.weight.t())
    assert torch.equal(run(experiment, synapse, x).graded_spikes, direct)


def test_a2_gradients_are_those_of_the_product(experiment):
    synapse, x = hxsnn.Synapse(5, 7, experiment, dtype=torch.float64), spikes(dtype=torch.float64).requires_grad_()
    ramp = torch.linspace(-1, 1, 20 * 2 * 7, dtype=torch.float64).reshape(20, 2, 7)
    ours = torch.autograd.grad((run(experiment, synapse, x).graded_spikes * ramp).sum(), (x, synapse.weight))
    theirs = torch.autograd.grad(((x @ synapse.weight.t()) * ramp).sum(), (x, synapse.weight))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


def test_a2_overridden_forward_func_is_called(experiment):
    class Doubled(hxsnn.Synapse):
        def forward_func(self, input):
            return hxsnn.SynapseHandle(graded_spikes=2 * (input.spikes @ self.weight.t()))

    class WithData(hxsnn.Synapse):
        def forward_func(self, input, hw_data=None):
            assert hw_data is None
            return hxsnn.SynapseHandle(graded_spikes=3 * (input.spikes @ self.weight.t()))

    x = spikes()
    for kind, factor in ((Doubled, 2), (WithData, 3)):
        synapse = kind(5, 7, experiment)
        assert torch.equal(run(experiment, synapse, x).graded_spikes, factor * (x @ synapse.weight.t()))


def test_a2_forward_func_of_an_instance_is_called(experiment):
    synapse, x = hxsnn.Synapse(5, 5, experiment), spikes()
    synapse.forward_func = lambda input: hxsnn.SynapseHandle(graded_spikes=input.spikes + 1)
    assert torch.equal(run(experiment, synapse, x).graded_spikes, x + 1)


# What the chip holds


def test_a2_get_connections_order_post_outer_pre_inner(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment)
    synapse.weight.data = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    connections = synapse.get_connections()
    assert connections == [(0, 0, 1), (1, 0, 2), (2, 0, 3), (0, 1, 4), (1, 1, 5), (2, 1, 6)]
    assert connections[3].idx_pre == 0 and connections[3].idx_post == 1 and connections[3].weight == 4
    assert type(connections[0]) is hxsnn.modules.ProjectionConnection and connections[0]._fields == (
        "idx_pre",
        "idx_post",
        "weight",
    )
    assert torch.equal(synapse.connection_array(), torch.tensor(connections, dtype=torch.int32))


def test_a2_get_connections_rounds_half_to_even_and_keeps_zeros(experiment):
    synapse = hxsnn.Synapse(8, 1, experiment)
    synapse.weight.data = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.0, 62.5]])
    assert [c.weight for c in synapse.get_connections()] == [0, 2, 2, 0, -2, -2, 0, 62]


def test_a2_get_connections_is_signed_whatever_receptor(experiment):
    for receptor in (None, "excitatory", "inhibitory"):
        synapse = hxsnn.Synapse(2, 1, experiment, receptor=receptor)
        synapse.weight.data = torch.tensor([[-7.0, 7.0]])
        assert [c.weight for c in synapse.get_connections()] == [-7, 7]


def test_a2_get_connections_goes_through_the_transform_on_a_copy(experiment):
    def harmful(weight):
        return weight.mul_(10.4)

    synapse = hxsnn.Synapse(2, 1, experiment, transform=harmful)
    synapse.weight.data = torch.tensor([[0.25, 100.0]])
    before = synapse.weight.detach().clone()
    assert [c.weight for c in synapse.get_connections()] == [3, 1040]  # bounds are the transform's business
    assert torch.equal(synapse.weight, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a2_get_connections_of_other_dtypes(experiment, dtype):
    synapse = hxsnn.Synapse(4, 3, experiment, dtype=dtype, transform=scaled(64.0))
    expected = torch.round((64.0 * synapse.weight.detach().double()).clamp(-63, 63)).int()
    assert [c.weight for c in synapse.get_connections()] == expected.flatten().tolist()


def test_a2_get_connections_with_fractional_bounds(experiment):
    transform = functools.partial(linear_saturating, scale=10.0, min_weight=-2.6, max_weight=2.5)
    synapse = hxsnn.Synapse(4, 1, experiment, transform=transform)
    synapse.weight.data = torch.tensor([[-1.0, -0.2, 0.2, 1.0]])
    assert [c.weight for c in synapse.get_connections()] == [-3, -2, 2, 2]


def test_a2_get_connections_refuses_nan(experiment):
    synapse = hxsnn.Synapse(4, 1, experiment, name="broken")
    synapse.weight.data[0, 2] = math.nan
    with pytest.raises(RuntimeError, match=r"Synapse 'broken': weight must not be NaN, got NaN at index \[0, 2\]"):
        synapse.get_connections()


# Changes


def test_a2_changed_input_data_goes_by_content(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment)
    assert synapse.changed_input_data  # at construction
    synapse.changed_input_data = False
    assert not synapse.changed_input_data
    synapse.weight.data.add_(1.0)
    assert synapse.changed_input_data
    synapse.weight.data.sub_(1.0)  # the content may be that of before, up to rounding
    synapse.changed_input_data = True  # both values mean: recorded
    assert not synapse.changed_input_data
    with torch.no_grad():
        synapse.weight[0, 0] = 9.0
    assert synapse.changed_input_data
    synapse.changed_input_data = False
    synapse.weight.data = synapse.weight.data.clone()  # another tensor with the same content
    assert not synapse.changed_input_data


def test_a2_an_optimizer_step_is_seen_each_time(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment)
    optimizer = torch.optim.Adam(synapse.parameters(), lr=1e-3)
    for _ in range(10):
        synapse.changed_input_data = False
        optimizer.zero_grad()
        synapse.weight.sum().backward()
        optimizer.step()
        assert synapse.changed_input_data


def test_a2_a_changed_scale_changes_what_the_chip_holds(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment, transform=scaled(10.0))
    synapse.changed_input_data = False
    synapse.weight_transform.keywords["scale"] = 20.0
    assert synapse.changed_input_data


def test_a2_the_setter_does_nothing_before_there_is_a_weight():
    class Early(hxsnn.Synapse):
        def _weight_shape(self):
            self.changed_input_data = True  # called by the constructor, before the weight exists
            return super()._weight_shape()

    assert Early(3, 2, hxsnn.Experiment(mock=True)).changed_input_data


def test_a2_names_of_earlier_versions(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment)
    assert synapse.changed_since_last_run
    synapse.reset_changed_since_last_run()
    assert not synapse.changed_since_last_run and not synapse.changed_input_data
    instance = object()
    assert hxsnn.Synapse(3, 2, experiment, execution_instance=instance).execution_instance is instance


# Receptors, rules, places


@pytest.mark.parametrize(
    "receptor, expected",
    [
        (None, "signed"),
        ("excitatory", "excitatory"),
        ("inhibitory", "inhibitory"),
        (["excitatory"], "excitatory"),
        (("inhibitory",), "inhibitory"),
        (["excitatory", "inhibitory"], "signed"),
        (("inhibitory", "excitatory", "excitatory"), "signed"),
        (["excitatory", "excitatory"], "excitatory"),
    ],
)
def test_a2_receptor(experiment, receptor, expected):
    synapse = hxsnn.Synapse(3, 2, experiment, receptor=receptor)
    assert synapse.receptor == expected and synapse._signed_projection == (expected == "signed")


@pytest.mark.parametrize(
    "receptor, text",
    [
        ("both", "Unsupported receptor value"),
        ("", "Unsupported receptor value"),
        (["both"], "Unsupported receptor collection. Use \\['excitatory'\\]"),
        (["excitatory", "both"], "Unsupported receptor collection"),
        ([], "Unsupported receptor collection"),
        ((), "Unsupported receptor collection"),
        ([["excitatory"]], "Unsupported receptor collection"),
        (1, "Unsupported receptor type. Use str, list, or tuple"),
        ({"excitatory": 1}, "Unsupported receptor type"),
    ],
)
def test_a2_receptor_errors(experiment, receptor, text):
    with pytest.raises(ValueError, match=text):
        hxsnn.Synapse(3, 2, experiment, receptor=receptor)


@pytest.mark.parametrize("receptor", [None, ["excitatory", "inhibitory"]])
def test_a2_a_plasticity_rule_needs_an_unsigned_projection(experiment, receptor):
    with pytest.raises(ValueError, match="Plasticity rules require unsigned projections"):
        hxsnn.Synapse(3, 2, experiment, plasticity_rule=object(), receptor=receptor)
    rule = object()
    assert hxsnn.Synapse(3, 2, experiment, plasticity_rule=rule, receptor="excitatory").plasticity_rule is rule


@pytest.mark.parametrize("receptor, expected", [(None, [-7, 7]), ("excitatory", [0, 7]), ("inhibitory", [-7, 0])])
def test_a2_on_chip_a_receptor_takes_its_sign_alone(receptor, expected):
    experiment = emulator()
    synapse, neurons = hxsnn.Synapse(2, 1, experiment, receptor=receptor, name="in"), hxsnn.LIF(1, experiment)
    synapse.weight.data = torch.tensor([[-7.4, 7.4]])
    neurons(synapse(handle_of(spikes(size=2))))
    hxsnn.run(experiment, 20)
    assert experiment.last_run_chip_configs["in"].flatten().tolist() == expected


@pytest.mark.parametrize("coordinate", [None, lambda: 1, object(), "somewhere", 3, (1, 2), {"a": 1}])
def test_a2_chip_coordinate_is_stored_untouched(experiment, coordinate):
    assert hxsnn.Synapse(3, 2, experiment, coordinate).chip_coordinate is coordinate


def test_a2_a_wrong_device_of_the_input_is_one_sentence(experiment):
    synapse = hxsnn.Synapse(5, 2, experiment, device="meta")
    synapse(handle_of(spikes()))
    with pytest.raises(ValueError, match=r"Synapse 0: spikes must be on the device of the weight, meta, got cpu"):
        hxsnn.run(experiment, 20)


@pytest.mark.parametrize("tensor", [spikes(size=4), torch.tensor(1.0)])
def test_a2_a_wrong_size_of_the_input_is_one_sentence(experiment, tensor):
    hxsnn.Synapse(5, 2, experiment, name="hidden")(handle_of(tensor))
    with pytest.raises(ValueError, match=r"Synapse 'hidden': spikes must be \[time, batch, 5\], got \["):
        hxsnn.run(experiment, 20)


def test_a2_a_handle_without_spikes_is_one_sentence(experiment):
    synapse = hxsnn.Synapse(5, 2, experiment)
    synapse(hxsnn.TensorHandle(tensor=spikes()))
    with pytest.raises(TypeError, match="input must be a handle with spikes"):
        hxsnn.run(experiment, 20)


def test_a2_spikes_of_another_dtype_than_the_weight(experiment):
    """Spikes may be bytes or booleans; the product has the dtype of the weight."""
    synapse = hxsnn.Synapse(5, 2, experiment)
    expected = run(experiment, synapse, spikes()).graded_spikes
    for dtype in (torch.uint8, torch.bool):
        assert torch.equal(run(experiment, synapse, spikes().to(dtype)).graded_spikes, expected)
    with pytest.raises(RuntimeError, match="spikes must be float32, float64, float16, bfloat16, uint8 or bool"):
        run(experiment, synapse, spikes().to(torch.int64))


# Integers of the chip in simulation, gradspike's own


def test_a2_hardware_weights_simulate_what_get_connections_gives(experiment):
    synapse = hxsnn.Synapse(5, 7, experiment, transform=scaled(30.0), hardware_weights=True)
    torch.nn.init.normal_(synapse.weight)
    x = spikes()
    integers = torch.tensor([c.weight for c in synapse.get_connections()], dtype=torch.float32).reshape(7, 5)
    inverse = torch.tensor(1 / 30.0)
    assert torch.equal(run(experiment, synapse, x).graded_spikes, (x @ integers.t()) * inverse)


def test_a2_hardware_weights_of_the_experiment_are_the_default():
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True)
    assert hxsnn.Synapse(2, 2, experiment).uses_hardware_weights
    assert not hxsnn.Synapse(2, 2, experiment, hardware_weights=False).uses_hardware_weights


def test_a2_hardware_weights_follow_the_receptor():
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True)
    for receptor, expected in (("excitatory", [0.0, 7.0]), ("inhibitory", [-7.0, 0.0])):
        synapse = hxsnn.Synapse(2, 1, experiment, receptor=receptor)
        synapse.weight.data = torch.tensor([[-7.4, 7.4]])
        assert run(experiment, synapse, torch.eye(2).unsqueeze(1)).graded_spikes.flatten().tolist() == expected


def test_a2_hardware_weights_of_an_arbitrary_transform_need_weight_scale(experiment):
    def cubic(weight):
        return (weight**3 * 8).clamp(-63, 63)

    synapse = hxsnn.Synapse(5, 7, experiment, transform=cubic, hardware_weights=True, name="hidden")
    synapse(handle_of(spikes()))
    with pytest.raises(ValueError, match=r"Synapse 'hidden': hardware_weights=True needs weight_scale="):
        hxsnn.run(experiment, 20)
    experiment.clear()
    synapse = hxsnn.Synapse(5, 7, experiment, transform=cubic, hardware_weights=True, weight_scale=16.0)
    torch.nn.init.normal_(synapse.weight)
    integers = torch.round(cubic(synapse.weight.detach()))
    assert [c.weight for c in synapse.get_connections()] == integers.flatten().tolist()
    x = spikes()
    result = run(experiment, synapse, x).graded_spikes
    assert torch.equal(result, (x @ integers.t()) / 16.0)
    (gradient,) = torch.autograd.grad(result.sum(), synapse.weight)
    weight = synapse.weight.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad((cubic(weight) / 16.0 * x.sum((0, 1))).sum(), weight)
    torch.testing.assert_close(gradient, expected)
