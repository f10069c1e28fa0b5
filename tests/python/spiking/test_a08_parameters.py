"""A8: parameters."""

import copy
import pickle

import pytest
import torch
from contract_networks import UNIT

import gradspike.spiking as hxsnn
from gradspike.spiking import parameter as parameters


def twice(value):
    return 2 * value


def all_kinds():
    return [
        hxsnn.HXParameter(3.0),
        hxsnn.MixedHXModelParameter(3.0, 80),
        hxsnn.HXTransformedModelParameter(3.0, twice),
        hxsnn.ModelParameter(3.0),
        hxsnn.TrainableHXParameter(3.0),
        hxsnn.TrainableMixedHXModelParameter(3.0, 80),
        hxsnn.TrainableHXTransformedModelParameter(3.0, twice),
        hxsnn.TrainableModelParameter(3.0),
    ]


def test_a8_hx_parameter_has_one_value():
    parameter = hxsnn.HXParameter(3.0)
    assert parameter.model_value == parameter.hardware_value == 3.0
    parameter.hardware_value = 4.0
    assert parameter.model_value == parameter.hardware_value == 4.0
    with pytest.raises(AttributeError):
        parameter.model_value = 5.0


def test_a8_mixed_values_are_independent_model_first():
    parameter = hxsnn.MixedHXModelParameter(3.0, 80)
    assert (parameter.model_value, parameter.hardware_value) == (3.0, 80)
    parameter.model_value, parameter.hardware_value = 4.0, 81
    assert (parameter.model_value, parameter.hardware_value) == (4.0, 81)
    named = hxsnn.MixedHXModelParameter(hardware_value=80, model_value=3.0)
    assert (named.model_value, named.hardware_value) == (3.0, 80)


def test_a8_a_transformed_value_is_made_at_each_reading():
    parameter = hxsnn.HXTransformedModelParameter(3.0, twice)
    assert (parameter.model_value, parameter.hardware_value) == (3.0, 6.0)
    parameter.model_value = 4.0
    assert parameter.hardware_value == 8.0
    parameter.hardware_value = 1.0  # no effect
    assert (parameter.model_value, parameter.hardware_value) == (4.0, 8.0)


def test_a8_a_model_parameter_is_the_hardware_value_too():
    parameter = hxsnn.ModelParameter(3.0)
    parameter.model_value = 4.0
    parameter.hardware_value = 9.0  # no effect
    assert parameter.model_value == parameter.hardware_value == 4.0


@pytest.mark.parametrize("parameter", all_kinds(), ids=lambda p: type(p).__name__)
def test_a8_detached_values_exist_everywhere(parameter):
    for value in (parameter.model_value_detach(), parameter.hardware_value_detach()):
        assert not isinstance(value, torch.Tensor) or not value.requires_grad
    assert float(parameter.model_value_detach()) == 3.0


@pytest.mark.parametrize(
    "parameter, text",
    [
        (hxsnn.HXParameter(3.0), "HXParameter(hardware_value=3.0, model_value=3.0)"),
        (hxsnn.MixedHXModelParameter(3.0, 80), "MixedHXModelParameter(hardware_value=80, model_value=3.0)"),
        (hxsnn.ModelParameter(3.0), "ModelParameter(hardware_value=3.0, model_value=3.0)"),
    ],
)
def test_a8_texts(parameter, text):
    assert str(parameter) == repr(parameter) == text


def test_a8_arguments_may_be_numbers_tensors_and_parameters():
    experiment = hxsnn.Experiment(mock=True)
    mixed = hxsnn.MixedHXModelParameter(0.0, 80)
    neurons = hxsnn.LIF(3, experiment, leak=mixed, reset=0, threshold=torch.tensor([1.0, 2.0, 3.0]))
    assert neurons.leak is mixed
    assert isinstance(neurons.reset, hxsnn.HXParameter) and isinstance(neurons.threshold, hxsnn.HXParameter)
    assert neurons.threshold.model_value.tolist() == [1.0, 2.0, 3.0]


def test_a8_the_default_capacitance_is_a_new_object_for_each_layer():
    experiment = hxsnn.Experiment(mock=True)
    first, second = hxsnn.LIF(2, experiment), hxsnn.LIF(2, experiment)
    assert first.membrane_capacitance is not second.membrane_capacitance
    assert first.membrane_capacitance.model_value == 10e-6
    assert first.membrane_capacitance.hardware_value == 63
    first.membrane_capacitance.model_value = 5e-6
    assert second.membrane_capacitance.model_value == 10e-6 and first.membrane_capacitance.hardware_value == 31
    assert isinstance(first.membrane_capacitance.hardware_value, int)


# Training


def trainable(name, value):
    return {
        "HX": lambda: hxsnn.TrainableHXParameter(value),
        "Mixed": lambda: hxsnn.TrainableMixedHXModelParameter(value, 80),
        "Transformed": lambda: hxsnn.TrainableHXTransformedModelParameter(value, twice),
        "Model": lambda: hxsnn.TrainableModelParameter(value),
        "made": lambda: hxsnn.HXParameter(value).make_trainable(),
    }[name]()


def run(neurons, x):
    handle = neurons(hxsnn.SynapseHandle(graded_spikes=x))
    hxsnn.run(neurons.experiment, x.shape[0])
    return handle


@pytest.mark.parametrize("name", ["HX", "Mixed", "Transformed", "Model", "made"])
def test_a8_trainable_parameters_train(name):
    """The leak of an integrator finds the level that the loss asks for."""
    leak = trainable(name, 0.0)
    neurons = hxsnn.LI(2, hxsnn.Experiment(mock=True), leak=leak)
    assert leak.is_trainable() and list(dict(neurons.named_parameters())) == ["leak._model_value"]
    optimizer = torch.optim.SGD(neurons.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        (run(neurons, torch.zeros(40, 1, 2)).membrane_cadc[-1] - 0.75).square().sum().backward()
        optimizer.step()
    assert abs(float(leak.model_value.detach()) - 0.75) < 1e-2
    expected = {"Mixed": 80, "Transformed": 2 * float(leak.model_value.detach())}
    assert float(leak.hardware_value) == expected.get(name, float(leak.model_value.detach()))


def test_a8_training_tau_mem_has_an_effect_without_conductance():
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True), **UNIT, tau_mem=hxsnn.TrainableModelParameter(6e-6))
    x = torch.zeros(20, 1, 2)
    x[2] = 3.0
    (gradient,) = torch.autograd.grad(run(neurons, x).membrane_cadc.sum(), list(neurons.parameters()))
    assert gradient != 0


def test_a8_training_per_neuron():
    threshold = hxsnn.TrainableModelParameter(torch.tensor([1.0, 2.0]))
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True), leak=0.0, reset=0.0, threshold=threshold)
    x = torch.zeros(20, 3, 2)
    x[2] = 8.0
    (gradient,) = torch.autograd.grad(run(neurons, x).spikes.sum(), list(neurons.parameters()))
    assert gradient.shape == (2,) and (gradient < 0).all()


def test_a8_a_trainable_value_is_set_in_place():
    parameter = hxsnn.TrainableHXParameter(3.0)
    values = list(parameter.parameters())
    parameter.hardware_value = 4.0
    assert float(parameter.model_value_detach()) == 4.0 and next(iter(parameter.parameters())) is values[0]
    mixed = hxsnn.TrainableMixedHXModelParameter(3.0, 80)
    mixed.model_value = 5.0
    assert float(mixed.model_value_detach()) == 5.0 and mixed.is_trainable()


def test_a8_an_integer_becomes_a_float_that_trains():
    parameter = hxsnn.HXParameter(80).make_trainable()
    assert parameter.model_value.dtype == torch.get_default_dtype()
    assert parameter.make_trainable() is parameter


def test_a8_set_on_chip_calls_the_function_that_was_given():
    called = []
    for parameter in (
        hxsnn.TrainableHXParameter(3.0, lambda *args: called.append(args)),
        hxsnn.TrainableMixedHXModelParameter(3.0, 80, lambda *args: called.append(args)),
        hxsnn.TrainableHXTransformedModelParameter(3.0, twice, lambda *args: called.append(args)),
        hxsnn.TrainableModelParameter(3.0, set_on_hw_func=lambda *args: called.append(args)),
    ):
        parameter.set_hw_config("coords", "configs")
    hxsnn.HXParameter(1.0).make_trainable(lambda *args: called.append(args)).set_on_chip("coords", "configs")
    assert called == [("coords", "configs")] * 5
    for parameter in all_kinds():
        with pytest.raises(ValueError, match="no function was given"):
            parameter.set_hw_config("coords", "configs")


@pytest.mark.parametrize("parameter", all_kinds(), ids=lambda p: type(p).__name__)
def test_a8_parameters_can_be_copied_and_pickled(parameter):
    for other in (copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert type(other) is type(parameter) and str(other) == str(parameter)
        assert other.is_trainable() == parameter.is_trainable()


def test_a8_state_holds_trainable_values_alone():
    experiment = hxsnn.Experiment(mock=True)
    assert not hxsnn.LIF(2, experiment, leak=torch.zeros(2)).state_dict()
    neurons = hxsnn.LIF(2, experiment, leak=hxsnn.TrainableHXParameter(0.5))
    assert list(neurons.state_dict()) == ["leak._model_value"]


def test_a8_tensors_move_with_the_module():
    mixed = hxsnn.MixedHXModelParameter(torch.zeros(2), torch.ones(2))
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True), leak=mixed).double()
    assert neurons.leak.model_value.dtype == neurons.leak.hardware_value.dtype == torch.float64
    assert parameters.as_parameter(mixed) is mixed


def test_a8_a_parameter_shared_by_two_layers_trains_once():
    experiment = hxsnn.Experiment(mock=True)
    leak = hxsnn.TrainableHXParameter(0.0)
    layers = torch.nn.ModuleList([hxsnn.LI(2, experiment, leak=leak), hxsnn.LI(2, experiment, leak=leak)])
    assert len(list(layers.parameters())) == 1
