"""NIR graphs as experiments, in hxtorch's conventions and in others; and experiments as graphs."""

import numpy as np
import pytest
import torch

import gradspike.spiking as hxsnn
from gradspike.nir import NIRExportError, NIRImportError, NIRWarning
from gradspike.nir import from_nir as plain_from_nir
from gradspike.spiking.utils.from_nir import ConversionConfig, from_nir, from_nir_data
from gradspike.spiking.utils.to_nir import SNN, to_nir, to_nir_data

nir = pytest.importorskip("nir")


def array(value, size):
    return np.full(size, float(value))


def cuba(kind, size, tau_syn=10.0, tau_mem=15.0, r=1.0, leak=0.0, threshold=1.0, reset=0.0, w_in=1.0):
    """Times in ms, which hxtorch takes for us."""
    common = [array(tau_syn, size) * 1e-3, array(tau_mem, size) * 1e-3, array(r, size), array(leak, size)]
    if kind == "CubaLI":
        return nir.CubaLI(*common, w_in=array(w_in, size))
    return nir.CubaLIF(*common, array(threshold, size), array(reset, size), w_in=array(w_in, size))


def graph(recurrent=False, shuffle=False, **parameters):
    generator = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([5])),
        "l1.w": nir.Linear(generator.normal(1.0, 2.0, (8, 5))),
        "l1.lif": cuba("CubaLIF", 8, **parameters),
        "l2.w": nir.Linear(generator.normal(0.5, 1.0, (3, 8))),
        "li": cuba("CubaLI", 3, r=7.0),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "l1.w"), ("l1.w", "l1.lif"), ("l1.lif", "l2.w"), ("l2.w", "li"), ("li", "out")]
    if recurrent:
        nodes["rec"] = nir.Linear(generator.normal(0.0, 1.0, (8, 8)))
        edges += [("l1.lif", "rec"), ("rec", "l1.lif")]
    return nir.NIRGraph(nodes, edges[::-1] if shuffle else edges)


def spikes(steps=40, batch=3):
    return (torch.rand(steps, batch, 5, generator=torch.Generator().manual_seed(2)) < 0.3).float()


def test_a18_numbers_of_the_modules():
    network = from_nir(graph(r=2.0, leak=0.1))
    synapse, neurons, readout = (network.hxnodes[name] for name in ("l1_w", "l1_lif", "li"))
    assert isinstance(synapse, hxsnn.Synapse) and synapse.weight_transform.keywords == {"scale": 64.0}
    assert synapse.weight.dtype == torch.float32
    assert neurons.tau_mem.model_value == pytest.approx(15e-6) and neurons.tau_syn.model_value == pytest.approx(10e-6)
    assert neurons.membrane_capacitance.model_value == pytest.approx(15e-6 / 2)
    for name, model, hardware in (("leak", 0.1, 80), ("reset", 0.0, 80), ("threshold", 1.0, 150)):
        parameter = getattr(neurons, name)
        assert isinstance(parameter, hxsnn.MixedHXModelParameter)
        assert (parameter.model_value, parameter.hardware_value) == (pytest.approx(model), hardware)
    assert neurons.refractory_time.model_value == 1e-6  # hxtorch's default stays
    assert readout.membrane_capacitance.model_value == 10e-6  # r of CubaLI is ignored
    assert neurons.trace_scale == 1 / 50 and isinstance(network.hxnodes["in"], hxsnn.InputNeuron)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("recurrent", [False, True])
def test_the_same_spikes_as_the_plain_import(recurrent, shuffle):
    """Both builders of one analysis, from edges in any order; a loop runs as one operator."""
    network = from_nir(graph(recurrent, shuffle))
    result = network({"in": spikes()})
    assert set(result) == {"in", "l1.lif"} and torch.equal(result["in"], spikes())
    plain, _ = plain_from_nir(graph(recurrent), preset="hxtorch", rounding="none")
    assert torch.equal(network.output["li"].membrane_cadc, plain(spikes()))
    assert 0 < result["l1.lif"].mean() < 1


def test_on_the_emulator_with_integers():
    config = ConversionConfig(mock=False, hardware_weights=True, weight_scale=8.0)
    network = from_nir(graph(), config)
    network.exp.backend = "emulator"
    simulated = from_nir(graph(), ConversionConfig(hardware_weights=True, weight_scale=8.0))
    assert torch.equal(network({"in": spikes()})["l1.lif"], simulated({"in": spikes()})["l1.lif"])
    assert network.exp.result.target == "emulator ideal"


def test_other_conventions_by_preset():
    config = ConversionConfig(dt=1e-4, time_unit="s", preset="snntorch")
    values = graph(tau_syn=10.0, tau_mem=15.0)
    network = from_nir(values, config)
    plain, _ = plain_from_nir(values, preset="snntorch", dt=1e-4, rounding="none")
    network({"in": spikes()})
    assert torch.equal(network.output["li"].membrane_cadc, plain(spikes()))


def test_parameters_per_neuron():
    values = graph()
    values.nodes["l1.lif"].v_threshold = np.linspace(0.5, 2.0, 8)
    network = from_nir(values)
    assert network.hxnodes["l1_lif"].threshold.model_value.shape == (8,)
    plain, _ = plain_from_nir(values, preset="hxtorch", rounding="none")
    network({"in": spikes()})
    assert torch.equal(network.output["li"].membrane_cadc, plain(spikes()))


def test_every_refusal_at_once():
    values = graph()
    values.nodes["l1.w"] = nir.Affine(values.nodes["l1.w"].weight, np.ones(8))
    values.nodes["li"] = nir.LI(array(0.01, 3), array(1, 3), array(0, 3))
    with pytest.raises(NIRImportError) as caught:
        from_nir(values)
    assert {problem.node for problem in caught.value.problems} == {"l1.w", "li"}
    assert all("gradspike.nir.from_nir" in problem.remedy for problem in caught.value.problems)


def test_bad_arguments():
    with pytest.raises(ValueError, match="preset must be one of"):
        from_nir(graph(), ConversionConfig(preset="magic"))
    with pytest.raises(ValueError, match=r"inputs \['in'\]"):
        from_nir(graph())({"other": spikes()})


class Network(SNN):
    def __init__(self, recurrent=False):
        super().__init__()
        torch.manual_seed(0)
        values = {"leak": 0.0, "reset": 0.0, "threshold": 1.0, "refractory_time": 0.0, "tau_mem": 6e-6, "tau_syn": 6e-6}
        self.synapse = hxsnn.Synapse(5, 8, self.exp, name="weights")
        self.neurons = hxsnn.LIF(8, self.exp, name="lif", **values)
        self.loop = hxsnn.Synapse(8, 8, self.exp, name="loop") if recurrent else None
        if recurrent:
            self.wrapper = hxsnn.HXModuleWrapper(self.exp, synapse=self.synapse, loop=self.loop, neurons=self.neurons)
        torch.nn.init.normal_(self.synapse.weight, 1.0, 2.0)

    def forward(self, x):
        promise = hxsnn.LIFObservables()
        handles = [self.synapse(hxsnn.LIFObservables(spikes=x))]
        if self.loop is not None:
            handles.append(self.loop(promise))
        self.neurons(*handles, output=promise)
        if self.loop is not None:
            self.wrapper()
        hxsnn.run(self.exp, x.shape[0])
        return promise.spikes


@pytest.mark.parametrize("recurrent", [False, True])
def test_round_trip_gives_the_same_spikes(recurrent, tmp_path):
    network = Network(recurrent)
    expected = network(spikes())
    nir.write(tmp_path / "net.nir", to_nir(network, spikes(), metadata=False))
    config = ConversionConfig(time_unit="ms", preset="hxtorch")
    again = from_nir(tmp_path / "net.nir", config)
    for module in again.hxnodes.values():
        if isinstance(module, hxsnn.LIF):
            module.refractory_time.hardware_value = 0.0  # hxtorch's default is 1 us, NIR has no word for it
    (name,) = (unit.name for unit in again._analysis.inputs)
    result = again({name: spikes()})
    assert torch.equal(result["lif"], expected) and expected.sum() > 0


def test_what_nir_cannot_say_is_said():
    network = Network()
    network.neurons.refractory_time.hardware_value = 2e-6
    with pytest.warns(NIRWarning, match="refractory time"):
        to_nir(network, spikes())
    experiment = hxsnn.Experiment(mock=True)
    synapse, neurons = hxsnn.Synapse(5, 3, experiment), hxsnn.AELIF(3, experiment)
    neurons(synapse(hxsnn.LIFObservables(spikes=spikes())))
    with pytest.raises(NIRExportError, match="AELIF"):
        to_nir(experiment)


def test_data_both_ways():
    network = from_nir(graph())
    data = to_nir_data({"in": spikes()}, network, events=True)
    assert torch.equal(from_nir_data(data, network)["in"], spikes())
