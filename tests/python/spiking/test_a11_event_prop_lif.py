"""A11: `EventPropLIF`."""

import pytest
import torch
from contract_networks import handle_of, spikes

import gradspike.spiking as hxsnn
from reference import hxtorch_contract as reference

VALUES = {"leak": 0.1, "reset": -0.2, "threshold": 0.6, "tau_mem": 7e-6, "tau_syn": 5e-6}


def network(dtype=torch.float64, inputs=6, size=4, dt=1e-6, **options):
    experiment = hxsnn.Experiment(mock=True, dt=dt)
    synapse = hxsnn.EventPropSynapse(inputs, size, experiment, dtype=dtype)
    torch.nn.init.normal_(synapse.weight, 0.5, 0.8)
    return experiment, synapse, hxsnn.EventPropLIF(size, experiment, **{**VALUES, **options})


def run(parts, x):
    experiment, synapse, neurons = parts
    handle = neurons(synapse(handle_of(x)))
    hxsnn.run(experiment, x.shape[0])
    return handle


def test_a11_the_forward_pass_is_its_equation():
    parts, x = network(), spikes(30, 3, 6, dtype=torch.float64)
    ours = run(parts, x)
    current, membrane, spiked = reference.eventprop_forward(x @ parts[1].weight.detach().t(), **VALUES, dt=1e-6)
    assert torch.equal(ours.spikes, spiked) and spiked.sum() > 20
    torch.testing.assert_close(ours.current, current, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.membrane_cadc, membrane, rtol=1e-9, atol=1e-9)
    assert ours.membrane_madc is None and type(ours) is hxsnn.LIFObservables


@pytest.mark.parametrize("dt", [1e-6, 0.5e-6])
def test_a11_the_backward_pass_is_its_equation(dt):
    parts, x = network(dt=dt), spikes(30, 3, 6, dtype=torch.float64).requires_grad_()
    weight = parts[1].weight
    ours = run(parts, x)
    gradient = torch.randn(30, 3, 4, dtype=torch.float64)
    to_x, to_weight = torch.autograd.grad(ours.spikes, (x, weight), gradient)
    current, _, spiked = reference.eventprop_forward((x @ weight.t()).detach(), **VALUES, dt=dt)
    first, second = reference.eventprop_backward(gradient, current, spiked, **VALUES, dt=dt)
    torch.testing.assert_close(to_weight, torch.einsum("tbo,tbi->oi", first, x.detach()), rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(to_x, second @ weight.detach(), rtol=1e-7, atol=1e-9)


def test_a11_gradients_to_membrane_and_current_are_discarded():
    parts, x = network(), spikes(30, 3, 6, dtype=torch.float64)
    handle = run(parts, x)
    (only_spikes,) = torch.autograd.grad(handle.spikes.sum(), parts[1].weight, retain_graph=True)
    loss = handle.spikes.sum() + handle.membrane_cadc.sum() + handle.current.sum()
    assert torch.equal(torch.autograd.grad(loss, parts[1].weight)[0], only_spikes)


def test_a11_parameters_get_no_gradient():
    threshold = hxsnn.TrainableModelParameter(0.6)
    parts = network(threshold=threshold)
    run(parts, spikes(30, 3, 6, dtype=torch.float64)).spikes.sum().backward()
    value = threshold.model_value
    assert value.grad is None or not value.grad.any()


def test_a11_golden_spikes_of_the_example():
    """Three inputs of weight 5 at step 3: EventProp's scheme and that of LIF give the spikes that were observed."""
    x = torch.zeros(20, 1, 3)
    x[3] = 1.0
    options = {"leak": 0.0, "reset": 0.0, "threshold": 1.0, "tau_mem": 10e-6, "tau_syn": 10e-6}
    parts = network(torch.float32, 3, 1, **options)
    torch.nn.init.constant_(parts[1].weight, 5.0)
    assert run(parts, x).spikes.flatten().nonzero().flatten().tolist() == [4, 5, 6, 7, 9, 11, 13, 16]
    experiment = hxsnn.Experiment(mock=True)
    synapse, lif = hxsnn.Synapse(3, 1, experiment), hxsnn.LIF(1, experiment, leak=0.0, reset=0.0, threshold=1.0)
    torch.nn.init.constant_(synapse.weight, 5.0)
    handle = lif(synapse(handle_of(x)))
    hxsnn.run(experiment, 20)
    assert handle.spikes.flatten().nonzero().flatten().tolist() == [4, 6, 9, 12, 16]


def test_a11_the_last_input_row_is_ignored():
    parts, x = network(), spikes(12, 3, 6, dtype=torch.float64)
    before = run(parts, x).spikes
    x = x.clone()
    x[-1] = 1 - x[-1]
    assert torch.equal(run(parts, x).spikes, before)


def test_a11_no_delay_between_input_and_membrane():
    parts, x = network(threshold=1e9), torch.zeros(6, 1, 6, dtype=torch.float64)
    x[2] = 1.0
    handle = run(parts, x)
    moved = (handle.membrane_cadc - 0.1).abs() > 1e-12
    assert moved[3].any() and not moved[:3].any()


@pytest.mark.parametrize(
    "options",
    [
        {"membrane_capacitance": 3e-6},
        {"leak_conductance": 7.0},
        {"refractory_time": 9e-6},
        {"alpha": 3.0},
        {"method": "triangle"},
        {"trace_scale": 3.0, "trace_offset": 1.0},
    ],
    ids=str,
)
def test_a11_other_arguments_have_no_effect(options):
    x, results = spikes(30, 3, 6, dtype=torch.float64), []
    for changed in ({}, options):
        torch.manual_seed(0)
        parts = network(**changed)
        handle = run(parts, x)
        results.append((handle.spikes, *torch.autograd.grad(handle.spikes.sum(), parts[1].weight)))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_a11_exactly_one_input_of_an_event_prop_synapse():
    experiment, synapse, neurons = network()
    other = hxsnn.Synapse(6, 4, experiment, dtype=torch.float64)
    neurons(other(handle_of(spikes(5, 1, 6, dtype=torch.float64))))
    with pytest.raises(AssertionError, match="the input must be the handle of an EventPropSynapse"):
        hxsnn.run(experiment, 5)
    experiment, synapse, neurons = network()
    second = hxsnn.EventPropSynapse(6, 4, experiment, dtype=torch.float64)
    x = spikes(5, 1, 6, dtype=torch.float64)
    neurons(synapse(handle_of(x)), second(handle_of(x)))
    with pytest.raises(AssertionError, match="EventPropLIF [0-9]+: EventProp neurons take one input, got 2"):
        hxsnn.run(experiment, 5)


def test_a11_terms_that_are_not_finite_are_zero():
    """i = threshold - leak at the step before a spike: a is 0."""
    x = torch.zeros(8, 1, 1, dtype=torch.float64)
    x[1] = 1.0
    values = {"leak": 0.0, "reset": 0.0, "threshold": 0.5, "tau_mem": 1e-6, "tau_syn": 1e-6}
    parts = network(inputs=1, size=1, **values)
    torch.nn.init.constant_(parts[1].weight, 0.75)
    handle = run(parts, x)
    assert handle.spikes.any()
    (gradient,) = torch.autograd.grad(handle.spikes.sum(), parts[1].weight)
    current, _, spiked = reference.eventprop_forward(x * 0.75, **values, dt=1e-6)
    first, _ = reference.eventprop_backward(torch.ones_like(x), current, spiked, **values, dt=1e-6)
    torch.testing.assert_close(gradient, torch.einsum("tbo,tbi->oi", first, x))
    assert gradient.isfinite().all()


def test_a11_measured_data_is_returned_as_it_is():
    _experiment, synapse, neurons = network(torch.float32)
    x = spikes(30, 3, 6)
    channels = synapse.forward_func(handle_of(x))
    spiked, membrane = (torch.rand(30, 3, 4) < 0.2).float(), torch.randn(30, 3, 4)
    data = hxsnn.Handle(spikes=spiked, voltage=hxsnn.AnalogObservable(membrane), adaptation=hxsnn.AnalogObservable())
    result = neurons.forward_func(channels, hw_data=data)
    assert torch.equal(result.spikes, spiked) and torch.equal(result.membrane_cadc, membrane)
    assert result.current is None
    (gradient,) = torch.autograd.grad(result.spikes.sum(), synapse.weight)
    assert gradient.isfinite().all() and gradient.any()


def test_a11_training_lowers_the_loss():
    torch.manual_seed(0)
    parts, x = network(torch.float32), spikes(30, 8, 6)
    optimizer = torch.optim.Adam(parts[1].parameters(), lr=5e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (run(parts, x).spikes.sum(0) - 2.0).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
