"""A10: the deprecated neurons with exponential decays."""

import warnings

import pytest
import torch
from contract_networks import spikes

import gradspike.spiking as hxsnn
from gradspike.spiking import functional
from reference import hxtorch_contract as reference

TAUS = {"tau_mem": 7e-6, "tau_syn": 4e-6}
X, WEIGHT = (
    spikes(40, 3, 6, dtype=torch.float64),
    torch.randn(4, 6, generator=torch.Generator().manual_seed(2)).double(),
)


def neurons(kind, **options):
    with pytest.warns(DeprecationWarning, match=f"{kind.__name__} is deprecated"):
        return kind(4, hxsnn.Experiment(mock=True), **{"leak": 0.2, **TAUS, **options})


def run(module, x):
    handle = module(hxsnn.SynapseHandle(graded_spikes=x))
    hxsnn.run(module.experiment, x.shape[0])
    return handle


def gradient(weight, *outputs):
    return torch.autograd.grad(
        sum((o * torch.linspace(-1, 1, o.numel()).reshape(o.shape)).sum() for o in outputs), weight
    )[0]


@pytest.mark.parametrize("refractory_time", [0.0, 5e-6])
def test_a10_neuron_exp_is_exponential_euler_without_refractory_time(refractory_time):
    weights = [(WEIGHT * 3).requires_grad_() for _ in range(2)]
    ours = run(neurons(hxsnn.NeuronExp, reset=-0.1, threshold=0.5, refractory_time=refractory_time), X @ weights[0].t())
    theirs = reference.exponential_euler(X @ weights[1].t(), leak=0.2, reset=-0.1, threshold=0.5, dt=1e-6, **TAUS)
    assert torch.equal(ours.spikes, theirs[2]) and ours.spikes.sum() > 10
    torch.testing.assert_close(ours.current, theirs[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.membrane_cadc, theirs[1], rtol=1e-9, atol=1e-9)
    ours_to, theirs_to = (
        gradient(weights[0], ours.membrane_cadc, ours.spikes),
        gradient(weights[1], theirs[1], theirs[2]),
    )
    torch.testing.assert_close(ours_to, theirs_to, rtol=1e-7, atol=1e-9)


def test_a10_readout_neuron_exp_is_exponential_euler():
    weights = [WEIGHT.clone().requires_grad_() for _ in range(2)]
    ours = run(neurons(hxsnn.ReadoutNeuronExp), X @ weights[0].t())
    theirs = reference.exponential_euler(X @ weights[1].t(), leak=0.2, dt=1e-6, **TAUS)
    torch.testing.assert_close(ours.current, theirs[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.membrane_cadc, theirs[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient(weights[0], ours.membrane_cadc), gradient(weights[1], theirs[1]))


def test_a10_fields_are_where_their_names_say():
    assert run(neurons(hxsnn.NeuronExp), X @ WEIGHT.t()).spikes.unique().tolist() in ([0.0], [0.0, 1.0])
    handle = run(neurons(hxsnn.ReadoutNeuronExp), torch.zeros(3, 1, 4))
    assert (handle.membrane_cadc == 0.2).all() and not handle.current.any()


@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a10_the_functions_take_decays(dtype, close):
    x = (X @ WEIGHT.t()).to(dtype)
    decays = {
        name + "_exp": torch.exp(torch.tensor(-1e-6 / tau, dtype=torch.float64)).item() for name, tau in TAUS.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        spiked, membrane, current = functional.exp_cuba_lif_integration(
            x, leak=0.2, reset=-0.1, threshold=0.5, **decays
        )
        li_membrane, li_current = functional.exp_cuba_li_integration(x, leak=0.2, **decays)
    theirs = reference.exponential_euler(x.double(), leak=0.2, reset=-0.1, threshold=0.5, dt=1e-6, **TAUS)
    assert torch.equal(spiked.double(), theirs[2])
    torch.testing.assert_close(membrane.double(), theirs[1], rtol=close, atol=close)
    torch.testing.assert_close(current.double(), theirs[0], rtol=close, atol=close)
    theirs = reference.exponential_euler(x.double(), leak=0.2, dt=1e-6, **TAUS)
    torch.testing.assert_close(li_membrane.double(), theirs[1], rtol=close, atol=close)
    torch.testing.assert_close(li_current.double(), theirs[0], rtol=close, atol=close)
