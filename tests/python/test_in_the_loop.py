"""Training in the loop: measured values forward, the gradient of the model, weights uploaded when they change."""

import pytest
import torch

import gradspike
from gradspike import nn
from gradspike.chip import in_the_loop

STEPS, BATCH = 30, 4


def network(names=True, seed=0):
    torch.manual_seed(seed)
    hidden, out = ("hidden", "out") if names else (None, None)
    model = torch.nn.Sequential(
        nn.Synapse(5, 12, name=hidden, scale=24),
        nn.LIF(12, name=hidden, tau_mem=6e-6, tau_syn=6e-6, membrane_capacitance=6e-6),
        nn.Synapse(12, 3, name=out, scale=32),
        nn.LI(3, name=out),
    )
    torch.nn.init.normal_(model[0].weight, 0.8, 0.5)
    return model


def spikes(rate=0.1):
    torch.manual_seed(1)
    return (torch.rand(STEPS, BATCH, 5) < rate).float()


def gradients(model, outputs):
    ramp = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
    return torch.autograd.grad((outputs * ramp).sum(), list(model.parameters()))


@pytest.mark.parametrize("names", [True, False])
def test_on_the_ideal_emulator_it_is_the_model(names):
    model, inputs = network(names), spikes()
    loop = in_the_loop(model)
    outputs = loop(inputs)
    assert torch.equal(outputs, model(inputs))
    for a, b in zip(gradients(model, outputs), gradients(model, model(inputs))):
        torch.testing.assert_close(a, b)
    assert loop.result.target == "emulator ideal"
    assert [m.population for m in model if hasattr(m, "population")] == (["hidden", "out"] if names else ["", ""])


@pytest.mark.parametrize("membrane", ["readout", "all"])
def test_gradients_are_those_of_the_operators_with_measurements(membrane):
    model, inputs = network(), spikes(0.2)
    loop = in_the_loop(model, preset="calibrated", seed=2, membrane=membrane)
    outputs = loop(inputs)
    measured = loop.result
    assert torch.equal(outputs, measured.membrane["out"])
    lif, li = model[1], model[3]
    numbers = {n: getattr(lif, n) for n in ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")}
    hidden = gradspike.functional.lif(
        model[0](inputs),
        **numbers,
        refractory_time=lif.refractory_time,
        measured_spikes=measured.spikes["hidden"],
        measured_membrane=measured.membrane["hidden"] if membrane == "all" else None,
    ).spikes
    assert torch.equal(hidden, measured.spikes["hidden"])
    numbers = {n: getattr(li, n) for n in ("leak", "tau_mem", "tau_syn", "membrane_capacitance")}
    expected = gradspike.functional.li(model[2](hidden), **numbers, measured_membrane=measured.membrane["out"]).membrane
    for a, b in zip(gradients(model, outputs), gradients(model, expected)):
        assert torch.equal(a, b)
    assert all(g.abs().sum() > 0 for g in gradients(model, loop(inputs)))


def test_weights_are_uploaded_when_they_change_and_the_mapping_stays():
    model, inputs = network(), spikes()
    loop = in_the_loop(model)
    loop(inputs)
    loop(inputs)
    assert loop.uploads == 1
    mapping = loop.deployed(inputs).network.map()
    with torch.no_grad():
        model[0].weight.mul_(-1)
    outputs = loop(inputs)
    assert loop.uploads == 2 and torch.equal(outputs, model(inputs))
    with torch.no_grad():
        model[0].weight.add_(1e-6)  # the same integers
    loop(inputs)
    assert loop.uploads == 2
    assert loop.deployed(inputs).network.map() == mapping


def test_trials_differ_and_count_up():
    model, inputs = network(), spikes(0.2)
    loop, again = (in_the_loop(model, preset="calibrated", seed=1, network=name) for name in ("a", "b"))
    first, second = loop(inputs), loop(inputs)
    assert not torch.equal(first, second)
    assert torch.equal(again(inputs), first) and torch.equal(again(inputs), second)


def test_it_regains_what_a_bad_chip_took():
    """A chip that shifts all thresholds by 60 %: the loss on the chip falls, and the model alone would not know."""
    model, inputs = network(), spikes(0.2)
    target = torch.rand(BATCH, 3, generator=torch.Generator().manual_seed(3)) * 0.5
    loop = in_the_loop(model, preset="noiseless", constants={"threshold_offset": 0.6, "cadc_lsb_per_unit": 60})
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = (loop(inputs).amax(0) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_functions_of_operators_and_skips_work():
    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Synapse(5, 8)
            self.first = nn.LIF(8)
            self.b = nn.Synapse(8, 3)
            self.c = nn.Synapse(5, 3)
            self.out = nn.LI(3)

        def forward(self, x):
            hidden = self.first(self.a(x))
            return self.out(self.b(hidden) + self.c(x)), hidden

    torch.manual_seed(0)
    model, inputs = Branches(), spikes(0.3)
    out, hidden = in_the_loop(model)(inputs)
    wanted = model(inputs)
    assert torch.equal(out, wanted[0]) and torch.equal(hidden, wanted[1])


def test_what_cannot_work_is_refused_by_name():
    model, inputs = network(), spikes()
    with pytest.raises(ValueError, match="dropout '4' is in training mode"):
        in_the_loop(torch.nn.Sequential(*model, torch.nn.Dropout(0.5)))(inputs)
    in_the_loop(torch.nn.Sequential(*model, torch.nn.Dropout(0.5)).eval())(inputs)
    with pytest.raises(TypeError, match="not scripted"):
        in_the_loop(torch.jit.script(model))
    with pytest.raises(ValueError, match="membrane must be 'readout' or 'all', got 'none'"):
        in_the_loop(model, membrane="none")
    with pytest.raises(RuntimeError, match="no backend"):
        in_the_loop(model, "chip")(inputs)
    half_scripted = torch.nn.Sequential(model[0], torch.jit.script(model[1]), model[2], model[3])
    with pytest.raises(RuntimeError, match="did not call an operator for population 'hidden'"):
        in_the_loop(half_scripted)(inputs)


def test_the_module_is_one_of_torch():
    model = network()
    loop = in_the_loop(model)
    assert {id(p) for p in loop.parameters()} == {id(p) for p in model.parameters()}
    assert "target=emulator, preset=ideal, seed=0" in repr(loop)
    assert not loop.eval().model.training
