"""Recurrent wrappers in simulation and on a backend."""

import pytest
import torch
from contract_networks import UNIT, assert_same, emulator, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike import nn


def recurrent(experiment, inputs=1, scales=(24.0, 24.0)):
    """The handle of a recurrent population, and its projections."""
    torch.manual_seed(0)
    into = [hxsnn.Synapse(5, 6, experiment, transform=scaled(scales[0])) for _ in range(inputs)]
    back = hxsnn.Synapse(6, 6, experiment, transform=scaled(scales[1]))
    neurons = hxsnn.LIF(6, experiment, **UNIT, tau_mem=6e-6, membrane_capacitance=6e-6, refractory_time=2e-6)
    for synapse in into:
        torch.nn.init.normal_(synapse.weight, 1.5, 1)
    torch.nn.init.normal_(back.weight, 0, 1)
    wrapper = hxsnn.HXModuleWrapper(
        experiment, **{f"into{k}": s for k, s in enumerate(into)}, back=back, neurons=neurons
    )

    def run(*given):
        promised = hxsnn.LIFObservables()
        neurons(*(s(handle_of(g)) for s, g in zip(into, given)), back(promised), output=promised)
        wrapper()
        hxsnn.run(experiment, given[0].shape[0])
        return promised

    return run, into, back, neurons


@pytest.mark.parametrize("integers", [False, True])
def test_a_recurrent_wrapper_is_the_recurrent_layer(integers):
    x = spikes(30)
    run, into, back, _ = recurrent(hxsnn.Experiment(mock=True, hardware_weights=integers), scales=(24.0, 16.0))
    handle = run(x)
    layer = nn.RecurrentLIF(
        5,
        6,
        input_scale=24.0,
        recurrent_scale=16.0,
        rounding="half_even" if integers else "none",
        **UNIT,
        tau_mem=6e-6,
        tau_syn=10e-6,
        membrane_capacitance=6e-6,
        refractory_time=2e-6,
    )
    layer.input_weight, layer.recurrent_weight = into[0].weight, back.weight
    assert torch.equal(handle.spikes, layer(x)) and handle.spikes.any()
    ramp = torch.linspace(-1, 1, handle.spikes.numel()).reshape(handle.spikes.shape)
    found = [torch.autograd.grad((s * ramp).sum(), (into[0].weight, back.weight)) for s in (handle.spikes, layer(x))]
    for a, b in zip(*found):
        assert torch.equal(a, b)


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_recurrent_wrapper_on_a_backend(inputs):
    given, results, found = [spikes(30, seed=k) for k in range(inputs)], [], []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        run, into, back, neurons = recurrent(experiment, inputs)
        for _ in range(2):
            handle = run(*given)
        results.append(handle)
        neurons.enable_cadc_recording = False  # the membrane after the reset has another surrogate
        handle = run(*given)
        loss = handle.membrane_cadc.sum() + handle.spikes.sum()
        found.append(torch.autograd.grad(loss, [into[0].weight, back.weight]))
    assert_same(*results)
    assert results[0].spikes.any() and experiment.uploads == 1
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)
    for synapse in (*into, back):  # an upload follows each change
        synapse.weight.data.mul_(-1)
        run(*given)
        held = experiment.last_run_chip_configs.values()
        flipped = torch.cat([s.hardware_weight() for s in into], dim=1).short()
        assert any(torch.equal(t, flipped) for t in held)
        assert any(torch.equal(t, back.hardware_weight().short()) for t in held)


def test_a_recurrent_wrapper_in_a_larger_network():
    results, x = [], spikes(30)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        into, back, out = (hxsnn.Synapse(i, o, experiment, transform=scaled()) for i, o in ((5, 6), (6, 6), (6, 3)))
        neurons, readout = hxsnn.LIF(6, experiment, **UNIT), hxsnn.LI(3, experiment, leak=0.0)
        torch.nn.init.normal_(into.weight, 2, 1)
        wrapper = hxsnn.HXModuleWrapper(experiment, into=into, back=back, neurons=neurons)
        promised = hxsnn.LIFObservables()
        neurons(into(handle_of(x)), back(promised), output=promised)
        wrapper()
        handle = readout(out(promised))
        hxsnn.run(experiment, 30)
        results.append(handle)
    assert_same(*results)


def test_sparse_projections_in_a_recurrent_wrapper():
    results, x = [], spikes(30)
    generator = torch.Generator().manual_seed(1)
    into_mask, back_mask = (torch.rand(n, 6, generator=generator) < 0.5 for n in (5, 6))
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        into = hxsnn.SparseSynapse(into_mask, experiment, transform=scaled())
        back = hxsnn.SparseSynapse(back_mask, experiment, transform=scaled())
        neurons = hxsnn.LIF(6, experiment, **UNIT)
        for synapse in (into, back):  # also where no connection exists
            torch.nn.init.normal_(synapse.weight, 2, 1)
        wrapper = hxsnn.HXModuleWrapper(experiment, into=into, back=back, neurons=neurons)
        promised = hxsnn.LIFObservables()
        neurons(into(handle_of(x)), back(promised), output=promised)
        wrapper()
        hxsnn.run(experiment, 30)
        results.append(promised)
    assert_same(*results)
    assert results[0].spikes.any()
    held = sorted(experiment.last_run_chip_configs.values(), key=lambda t: t.shape[1])
    assert torch.equal(held[0] != 0, into_mask.t() & (held[0] != 0)) and not held[1][~back_mask.t()].any()


def test_an_input_projection_of_a_wrapper_takes_one_handle():
    experiment = hxsnn.Experiment(mock=True)
    run, into, _back, _neurons = recurrent(experiment)
    first, second = hxsnn.LIF(5, experiment), hxsnn.LIF(5, experiment)
    graded = hxsnn.SynapseHandle(graded_spikes=torch.zeros(20, 2, 5))
    into[0](first(graded))
    into[0](second(graded))
    with pytest.raises(ValueError, match="each of its 1 input projections takes one handle, got"):
        run(spikes())


def test_dropout_before_a_recurrent_wrapper_is_refused_in_training_and_no_obstacle_in_evaluation():
    for training in (True, False):
        experiment = emulator()
        torch.manual_seed(0)
        before, first = hxsnn.Synapse(5, 5, experiment), hxsnn.LIF(5, experiment, **UNIT)
        dropout = hxsnn.BatchDropout(5, 0.5, experiment).train(training)
        _, into, back, neurons = recurrent(experiment)
        promised = hxsnn.LIFObservables()
        neurons(into[0](dropout(first(before(handle_of(spikes()))))), back(promised), output=promised)
        hxsnn.HXModuleWrapper(experiment, into=into[0], back=back, neurons=neurons)()
        if training:
            with pytest.raises(NotImplementedError, match="dropout in training cannot stand before"):
                hxsnn.run(experiment, 20)
        else:
            hxsnn.run(experiment, 20)
            assert promised.holds("spikes")


def test_several_inputs_of_a_recurrent_wrapper_are_one_weight_of_the_module():
    experiment = hxsnn.Experiment(mock=True)
    run, into, _, _ = recurrent(experiment, 2)
    handle = run(spikes(seed=1), spikes(seed=2))
    module = hxsnn.to_module(experiment)
    layer = next(part for part in module.modules() if isinstance(part, nn.RecurrentLIF))
    assert torch.equal(layer.input_weight, torch.cat([synapse.weight for synapse in into], dim=1))
    output = module(spikes(seed=1), spikes(seed=2))
    assert torch.equal(output, handle.spikes)
    found = torch.autograd.grad(output.sum(), [synapse.weight for synapse in into])
    assert all(gradient.any() for gradient in found)


class Quantised(hxsnn.Synapse):
    def forward_func(self, input):
        return hxsnn.SynapseHandle(graded_spikes=input.spikes @ self.weight.round().t())


class Clipped(hxsnn.LIF):
    def forward_func(self, *inputs, hw_data=None):
        return super().forward_func(*inputs, hw_data=hw_data)


def deprecated_neurons(*args, **options):
    with pytest.warns(DeprecationWarning):
        return hxsnn.NeuronExp(*args, **options)


@pytest.mark.parametrize("mock", [True, False])
@pytest.mark.parametrize(
    "kinds, options, reason",
    [
        (
            (hxsnn.Synapse, hxsnn.Synapse, hxsnn.LIF),
            {"fire": False, "refractory_time": 0.0},
            "neurons has leaky=True, fire=False",
        ),
        ((hxsnn.Synapse, hxsnn.Synapse, hxsnn.LIF), {"leaky": False}, "neurons has leaky=False, fire=True"),
        ((hxsnn.Synapse, hxsnn.Synapse, deprecated_neurons), {}, "neurons has exponential decays"),
        ((hxsnn.Synapse, hxsnn.Synapse, hxsnn.EventPropLIF), {}, "neurons has the adjoint of EventProp"),
        ((hxsnn.EventPropSynapse, hxsnn.Synapse, hxsnn.LIF), {}, "into has the adjoint of EventProp"),
        ((hxsnn.Synapse, hxsnn.EventPropSynapse, hxsnn.LIF), {}, "back has the adjoint of EventProp"),
        ((Quantised, hxsnn.Synapse, hxsnn.LIF), {}, "into overrides forward_func"),
        ((hxsnn.Synapse, Quantised, hxsnn.LIF), {}, "back overrides forward_func"),
        ((hxsnn.Synapse, hxsnn.Synapse, Clipped), {}, "neurons overrides forward_func"),
    ],
)
def test_what_the_operator_does_not_compute_needs_a_function_of_its_own(kinds, options, reason, mock):
    experiment = hxsnn.Experiment(mock=True) if mock else emulator()
    into, back = kinds[0](5, 6, experiment), kinds[1](6, 6, experiment)
    neurons = kinds[2](6, experiment, **UNIT, **options)
    wrapper = hxsnn.HXModuleWrapper(experiment, into=into, back=back, neurons=neurons)
    promised = hxsnn.LIFObservables()
    neurons(into(handle_of(spikes())), back(promised), output=promised)
    wrapper()
    with pytest.raises(NotImplementedError, match=rf"without a forward_func of its own.*; {reason}"):
        hxsnn.run(experiment, 20)


def test_a_function_of_an_instance_is_not_overlooked():
    run, into, _, _ = recurrent(hxsnn.Experiment(mock=True))
    into[0].forward_func = lambda input: hxsnn.SynapseHandle(graded_spikes=input.spikes.new_zeros(20, 2, 6))
    with pytest.raises(NotImplementedError, match="; into0 overrides forward_func"):
        run(spikes())
