"""A9: the exact step of AELIF, LIF and LI, and measured data in it."""

import itertools

import pytest
import torch
from contract_networks import spikes

import gradspike.spiking as hxsnn
from gradspike.spiking import functional
from reference import hxtorch_contract as reference

FLAGS = ("leaky", "fire", "exponential", "subthreshold_adaptation", "spike_triggered_adaptation")
COMBINATIONS = [
    (*flags, refractory)
    for flags in itertools.product([False, True], repeat=5)
    for refractory in ((False, True) if flags[1] else (False,))
]
"""All 48: without fire there is no refractory time."""

DT = 1e-6
STEPS = 20
PARAMETERS = {
    "leak": 0.1,
    "reset": -0.2,
    "threshold": 1.0,
    "tau_mem": 8e-6,
    "tau_syn": 5e-6,
    "membrane_capacitance": 9e-6,
    "exponential_slope": 0.7,
    "exponential_threshold": 0.9,
    "subthreshold_adaptation_strength": 0.4,
    "spike_triggered_adaptation_increment": 0.3,
    "tau_adap": 20e-6,
}
REFRACTORY = 2.5e-6
CALM = {"exponential_threshold": 2.0}
"""Without fire, and so without reset, the exponential runs away: it sets in later, and weights are small."""


def graded(values):
    return hxsnn.SynapseHandle(graded_spikes=values)


def run(neurons, *inputs):
    handle = neurons(*map(graded, inputs))
    hxsnn.run(neurons.experiment, inputs[0].shape[0])
    return handle


def parameters_for(flags):
    return {**PARAMETERS, **({} if flags["fire"] else CALM)}


def expected(x, flags, refractory_time):
    p = parameters_for(flags)
    return reference.aelif(
        x,
        leak=p["leak"],
        reset=p["reset"],
        threshold=p["threshold"],
        tau_syn=p["tau_syn"],
        capacitance=p["membrane_capacitance"],
        conductance=p["membrane_capacitance"] / p["tau_mem"],
        refractory_time=refractory_time,
        slope=p["exponential_slope"],
        exponential_threshold=p["exponential_threshold"],
        strength=p["subthreshold_adaptation_strength"],
        increment=p["spike_triggered_adaptation_increment"],
        tau_adap=p["tau_adap"],
        dt=DT,
        leaky=flags["leaky"],
        fire=flags["fire"],
        exponential=flags["exponential"],
        subthreshold=flags["subthreshold_adaptation"],
        triggered=flags["spike_triggered_adaptation"],
    )


def problem(seed=0, fire=True):
    """Spikes and a weight that make the neurons cross the threshold now and then."""
    generator = torch.Generator().manual_seed(seed)
    x = spikes(STEPS, 3, 6, rate=0.25, seed=seed, dtype=torch.float64)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64) * 1.5 + 0.6
    return x, weight if fire else weight / 50


def weight_gradient(weight, outputs):
    loss = sum((o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype).reshape(o.shape)).sum() for o in outputs)
    return torch.autograd.grad(loss, weight)[0]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: "".join("-+"[flag] for flag in c))
def test_a9_every_combination_of_flags_is_its_equation(combination):
    """Values, spikes and weight gradients, through a projection, in float64."""
    flags, refractory_time = dict(zip(FLAGS, combination)), REFRACTORY if combination[5] else 0.0
    x, start = problem(fire=flags["fire"])
    experiment = hxsnn.Experiment(mock=True, dt=DT)
    synapse = hxsnn.Synapse(6, 4, experiment, dtype=torch.float64)
    synapse.weight.data = start.clone()
    neurons = hxsnn.AELIF(4, experiment, **parameters_for(flags), refractory_time=refractory_time, **flags)
    handle = neurons(synapse(hxsnn.LIFObservables(spikes=x)))
    hxsnn.run(experiment, STEPS)

    weight = start.clone().requires_grad_()
    current, membrane, adaptation, spiked = expected(x @ weight.t(), flags, refractory_time)
    pairs = [(handle.current, current), (handle.membrane_cadc, membrane)]
    if flags["subthreshold_adaptation"] or flags["spike_triggered_adaptation"]:
        pairs.append((handle.adaptation_cadc, adaptation))
    else:
        assert not handle.holds("adaptation_cadc")
    if flags["fire"]:
        assert torch.equal(handle.spikes, spiked) and spiked.sum() > 10
        pairs.append((handle.spikes, spiked))
    else:
        assert not handle.holds("spikes")
    for ours, theirs in pairs:
        assert theirs.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    ours, theirs = (weight_gradient(w, values) for w, values in zip((synapse.weight, weight), zip(*pairs)))
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: "".join("-+"[flag] for flag in c))
def test_a9_the_function_and_its_step_code_are_the_equation_too(combination):
    """The fused operator, and a text of one's own that says the same."""
    flags, refractory_time = dict(zip(FLAGS, combination)), REFRACTORY if combination[5] else 0.0
    (x, start), p = problem(seed=1, fire=flags["fire"]), parameters_for(flags)
    code = functional.CuBaStepCode(
        leaky=flags["leaky"],
        fire=flags["fire"],
        refractory=combination[5],
        exponential=flags["exponential"],
        subthreshold_adaptation=flags["subthreshold_adaptation"],
        spike_triggered_adaptation=flags["spike_triggered_adaptation"],
    ).generate()
    weight = start.clone().requires_grad_()
    current, membrane, adaptation, spiked = expected(x @ weight.t(), flags, refractory_time)
    gradient = weight_gradient(weight, [membrane])
    for text in (None, code, code + "\n# the user's own"):
        weight = start.clone().requires_grad_()
        ours = functional.cuba_aelif_integration(
            x @ weight.t(),
            leak=p["leak"],
            reset=p["reset"],
            threshold=p["threshold"],
            tau_syn=p["tau_syn"],
            c_mem=p["membrane_capacitance"],
            g_l=p["membrane_capacitance"] / p["tau_mem"],
            refractory_time=refractory_time,
            exp_slope=p["exponential_slope"],
            exp_threshold=p["exponential_threshold"],
            subthreshold_adaptation_strength=p["subthreshold_adaptation_strength"],
            spike_triggered_adaptation_increment=p["spike_triggered_adaptation_increment"],
            tau_adap=p["tau_adap"],
            dt=DT,
            refractory=combination[5],
            integration_step_code=text,
            **flags,
        )
        if flags["fire"]:
            assert torch.equal(ours.spikes, spiked)
        torch.testing.assert_close(ours.membrane, membrane, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.current, current, rtol=1e-9, atol=1e-9)
        if flags["subthreshold_adaptation"] or flags["spike_triggered_adaptation"]:
            torch.testing.assert_close(ours.adaptation, adaptation, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(weight_gradient(weight, [ours.membrane]), gradient, rtol=1e-7, atol=1e-9)


def test_a9_the_function_gives_its_fields_in_hxtorchs_order():
    assert functional.neurons.AELIFIntegration._fields == (
        "membrane",
        "membrane_madc_hw",
        "current",
        "adaptation",
        "adaptation_madc_hw",
        "spikes",
    )


def test_a9_altered_step_code_runs_in_place_of_the_operator():
    code = functional.CuBaStepCode(leaky=True, fire=True).generate()
    x = torch.full((12, 1, 2), 1.5)
    options = {"leak": 0.0, "reset": 0.0, "threshold": 1.0, "tau_syn": 1e-5, "c_mem": 1e-5, "g_l": 1.0}
    usual = functional.cuba_aelif_integration(x, **options, refractory_time=0.0, integration_step_code=code)
    doubled = functional.cuba_aelif_integration(
        x, **options, refractory_time=0.0, integration_step_code=code.replace("input[t]", "2 * input[t]")
    )
    twice = functional.cuba_aelif_integration(2 * x, **options, refractory_time=0.0)
    assert not torch.equal(doubled.spikes, usual.spikes)
    assert torch.equal(doubled.spikes, twice.spikes)


# Measured data


def bundle(spiked=None, membrane=None, adaptation=None):
    return hxsnn.Handle(
        spikes=spiked,
        voltage=hxsnn.AnalogObservable(membrane),
        adaptation=hxsnn.AnalogObservable(adaptation),
    )


@pytest.mark.parametrize("kinds", [("spikes",), ("membrane",), ("spikes", "membrane"), ("adaptation",)])
@pytest.mark.parametrize("length", [STEPS, 13])
def test_a9_measured_values_take_the_place_of_the_models(kinds, length):
    """All steps, or fewer than the input has: what was not measured goes on from there."""
    x, start = problem()
    generator = torch.Generator().manual_seed(9)
    measured = {
        "spikes": (torch.rand(length, 3, 4, generator=generator) < 0.2).double(),
        "membrane": torch.randn(length, 3, 4, generator=generator, dtype=torch.float64),
        "adaptation": torch.randn(length, 3, 4, generator=generator, dtype=torch.float64),
    }
    measured = {name: measured[name] for name in kinds}
    flags = {"exponential": False}
    neurons = hxsnn.AELIF(4, hxsnn.Experiment(mock=True), **PARAMETERS, refractory_time=REFRACTORY, **flags)
    weights = [start.clone().requires_grad_() for _ in range(2)]
    data = bundle(measured.get("spikes"), measured.get("membrane"), measured.get("adaptation"))
    ours = neurons.forward_func(graded(x @ weights[0].t()), hw_data=data)
    p = PARAMETERS
    theirs = reference.aelif(
        x @ weights[1].t(),
        leak=p["leak"],
        reset=p["reset"],
        threshold=p["threshold"],
        tau_syn=p["tau_syn"],
        capacitance=p["membrane_capacitance"],
        conductance=p["membrane_capacitance"] / p["tau_mem"],
        refractory_time=REFRACTORY,
        strength=p["subthreshold_adaptation_strength"],
        increment=p["spike_triggered_adaptation_increment"],
        tau_adap=p["tau_adap"],
        dt=DT,
        subthreshold=True,
        triggered=True,
        measured=measured,
    )
    results = (ours.current, ours.membrane_cadc, ours.adaptation_cadc, ours.spikes)
    for a, b in zip(results, theirs):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    if "spikes" in measured:
        assert torch.equal(ours.spikes[:length], measured["spikes"])
    if "membrane" in measured:
        assert torch.equal(ours.membrane_cadc[:length], measured["membrane"])
    a, b = (weight_gradient(w, [r[1], r[3]]) for w, r in zip(weights, (results, theirs)))
    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
