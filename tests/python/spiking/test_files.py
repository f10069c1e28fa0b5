"""The road to a module, a file, a report and a mapping; the readers of a network agree byte for byte."""

import functools
import json

import pytest
import torch
from contract_networks import UNIT, Network, emulator, gradients, handle_of, scaled, spikes

import gradspike
import gradspike.spiking as hxsnn
from gradspike import chip
from gradspike.spiking import files
from gradspike.spiking._wishes import wishes_of

# PyTorch's own class of such modules has an annotation that TorchScript does not like.
pytestmark = pytest.mark.filterwarnings("ignore:The TorchScript type system doesn't support instance-level")


def network_of(build=Network, **options):
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True, name="network")
    network = build(experiment, **options)
    return network


def description(network):
    return network._handle.description()


# to_module


@pytest.mark.parametrize("integers", [False, True])
def test_to_module_gives_the_same_bits(integers):
    experiment = hxsnn.Experiment(mock=True, hardware_weights=integers)
    network, x = Network(experiment), spikes()
    _, readout = network.run(x)
    module = hxsnn.to_module(experiment)
    outputs = module(x)
    assert torch.equal(outputs, readout.membrane_cadc)
    for a, b in zip(gradients(network, readout.membrane_cadc), gradients(network, outputs)):
        assert torch.equal(a, b)


def test_to_module_shares_the_parameters():
    network = network_of()
    network.run(spikes())
    module = hxsnn.to_module(network.experiment)
    assert {id(p) for p in module.parameters()} == {id(p) for p in network.parameters()}


def test_to_module_before_any_run():
    network, x = network_of(), spikes()
    network(x)  # called, not run
    module = hxsnn.to_module(network.experiment)
    _, readout = network.run(x)
    assert torch.equal(module(x), readout.membrane_cadc)


def test_to_module_without_calls_is_one_sentence():
    with pytest.raises(ValueError, match="no module was called yet"):
        hxsnn.to_module(hxsnn.Experiment(mock=True))


def test_to_module_of_several_inputs_and_outputs():
    experiment = hxsnn.Experiment(mock=True)
    a, b = hxsnn.Synapse(5, 4, experiment), hxsnn.Synapse(7, 4, experiment)
    first, second = hxsnn.LIF(4, experiment, **UNIT), hxsnn.LI(4, experiment)
    x, y = spikes(seed=1), spikes(size=7, seed=2)
    graded = a(handle_of(x)), b(handle_of(y))
    handles = first(*graded), second(graded[0])
    hxsnn.run(experiment, 20)
    outputs = hxsnn.to_module(experiment)(x, y)
    assert torch.equal(outputs[0], handles[0].spikes) and torch.equal(outputs[1], handles[1].membrane_cadc)


@pytest.mark.parametrize("kind", ["AELIF", "EventPropLIF", "SparseSynapse", "BatchDropout", "recurrent", "InputNeuron"])
def test_to_module_of_every_layer(kind):
    experiment, x = hxsnn.Experiment(mock=True, hardware_weights=True), spikes(30)
    synapse = hxsnn.Synapse(5, 6, experiment, transform=scaled())
    neurons = hxsnn.LIF(6, experiment, **UNIT)
    given = handle_of(x)
    if kind == "AELIF":
        neurons = hxsnn.AELIF(6, experiment, **UNIT, exponential=False, subthreshold_adaptation_strength=0.1)
    if kind == "EventPropLIF":
        synapse, neurons = hxsnn.EventPropSynapse(5, 6, experiment), hxsnn.EventPropLIF(6, experiment, **UNIT)
    if kind == "SparseSynapse":
        synapse = hxsnn.SparseSynapse((torch.rand(5, 6) < 0.5).float(), experiment)
    if kind == "InputNeuron":
        given = hxsnn.InputNeuron(5, experiment)(given)
    torch.nn.init.normal_(synapse.weight, 2, 1)
    if kind == "recurrent":
        back = hxsnn.Synapse(6, 6, experiment, transform=scaled())
        wrapper = hxsnn.HXModuleWrapper(experiment, synapse=synapse, back=back, neurons=neurons)
        handle = hxsnn.LIFObservables()
        neurons(synapse(given), back(handle), output=handle)
        wrapper()
    else:
        handle = neurons(synapse(given))
    if kind == "BatchDropout":
        dropout = hxsnn.BatchDropout(6, 0.5, experiment).eval()
        handle = dropout(handle)
    hxsnn.run(experiment, 30)
    module = hxsnn.to_module(experiment)
    if kind == "BatchDropout":
        module.eval()
    assert torch.equal(module(x), handle.spikes) and handle.spikes.any()


def test_to_module_of_a_module_of_the_user_is_refused_by_name():
    class Own(hxsnn.HXModule):
        def forward_func(self, input):
            return hxsnn.TensorHandle(tensor=input.tensor)

    experiment = hxsnn.Experiment(mock=True)
    Own(experiment, name="mine")(hxsnn.TensorHandle(tensor=torch.ones(2)))
    with pytest.raises(NotImplementedError, match="Own 'mine' has no counterpart in gradspike.nn"):
        hxsnn.to_module(experiment)


class Quantised(hxsnn.Synapse):
    def forward_func(self, input):
        return hxsnn.SynapseHandle(graded_spikes=input.spikes @ self.weight.round().t())


class Silent(hxsnn.LIF):
    def forward_func(self, *inputs, hw_data=None):
        return super().forward_func(*inputs, hw_data=hw_data)


def overriding(synapse=hxsnn.Synapse, neurons=hxsnn.LIF, mock=True, **options):
    """An experiment that was called, and its projection."""
    experiment = hxsnn.Experiment(mock=mock, backend=None if mock else "emulator")
    synapse, neurons = synapse(4, 3, experiment, name="in", **options), neurons(3, experiment, name="out")
    neurons(synapse(hxsnn.LIFObservables(spikes=torch.ones(5, 2, 4))))
    return experiment, synapse


@pytest.mark.parametrize("kinds, name", [((Quantised, hxsnn.LIF), "in"), ((hxsnn.Synapse, Silent), "out")])
@pytest.mark.parametrize("verb", [hxsnn.to_module, hxsnn.save, hxsnn.export])
def test_what_overrides_forward_func_goes_into_no_file(verb, kinds, name, tmp_path):
    experiment, _ = overriding(*kinds)
    with pytest.raises(NotImplementedError, match=f"'{name}' overrides forward_func: what it computes has no counter"):
        verb(experiment, *([] if verb is hxsnn.to_module else [tmp_path / "network.pt2"]))
    assert not list(tmp_path.iterdir())


def test_a_function_of_an_instance_goes_into_no_file():
    experiment, synapse = overriding()
    synapse.forward_func = lambda input: hxsnn.SynapseHandle(graded_spikes=input.spikes[..., :3])
    with pytest.raises(NotImplementedError, match="Synapse 'in' overrides forward_func"):
        hxsnn.to_module(experiment)


def test_an_override_with_a_transform_of_its_own_goes_as_its_integers():
    experiment, synapse = overriding(Quantised, transform=lambda weight: 20 * weight.tanh(), weight_scale=10.0)
    module = hxsnn.to_module(experiment)
    assert module.meta["integers_only"] == ["in"]
    layer = next(m for m in module.modules() if getattr(m, "projection", None) == "in")
    assert torch.equal(layer(torch.eye(4)) * 10, synapse.hardware_weight().float().t())


def test_on_a_backend_an_override_runs_as_before():
    experiment, synapse = overriding(Quantised, mock=False)
    hxsnn.run(experiment, 5)
    assert torch.equal(experiment.last_run_chip_configs["in"].int(), synapse.hardware_weight())


def test_to_module_of_a_projection_that_is_called_twice_is_refused():
    experiment = hxsnn.Experiment(mock=True)
    synapse, neurons = hxsnn.Synapse(4, 4, experiment), hxsnn.LIF(4, experiment)
    first, second = hxsnn.LIF(4, experiment), hxsnn.LIF(4, experiment)
    graded = hxsnn.SynapseHandle(graded_spikes=torch.zeros(3, 1, 4))
    synapse(first(graded))
    neurons(synapse(second(graded)))
    with pytest.raises(ValueError, match="was called 2 times in one run: a projection has one source"):
        hxsnn.to_module(experiment)


def test_modules_take_the_path_by_which_a_model_holds_them():
    network = network_of()
    network.run(spikes())
    names = files.read(network.experiment, model=network).description
    assert {p["name"] for p in names["populations"]} == {"hidden", "readout"}
    assert {p["name"] for p in names["projections"]} == {"synapse", "readout_synapse"}


def test_to_module_can_be_scripted():
    network, x = network_of(), spikes()
    _, readout = network.run(x)
    scripted = torch.jit.script(hxsnn.to_module(network.experiment))
    assert torch.equal(scripted(x), readout.membrane_cadc)


# Arbitrary transforms


def cubic(weight):
    return (weight**3 * 8).clamp(-63, 63)


def test_an_arbitrary_transform_is_noted_as_integers_only(tmp_path):
    experiment, x = hxsnn.Experiment(mock=True, name="network"), spikes()
    synapse = hxsnn.Synapse(5, 4, experiment, transform=cubic, weight_scale=16.0, name="in")
    handle = hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(x)))
    torch.nn.init.normal_(synapse.weight)
    hxsnn.run(experiment, 20)
    module = hxsnn.to_module(experiment)
    assert module.meta["integers_only"] == ["in"]
    saved = hxsnn.save(experiment, tmp_path / "net.pt", card={"encoder": "none"})
    assert saved.description["model_card"]["encoder"] == "none; integers only: in"
    assert torch.equal(saved.integers()["in"].float(), cubic(synapse.weight.detach()).round())
    loaded = gradspike.load(tmp_path / "net.pt")
    integers = cubic(synapse.weight.detach()).round()
    assert handle.holds("spikes")
    expected = gradspike.functional.lif(
        x @ integers.t() / 16.0,
        **UNIT,
        tau_mem=10e-6,
        tau_syn=10e-6,
        membrane_capacitance=10e-6,
        refractory_time=1e-6,
    ).spikes
    assert torch.equal(loaded(x), expected)


def test_a_linear_transform_is_not_noted(tmp_path):
    network = network_of()
    network.run(spikes())
    saved = hxsnn.save(network.experiment, tmp_path / "net.pt")
    assert hxsnn.to_module(network.experiment).meta["integers_only"] == []
    assert "integers only" not in json.dumps(saved.description)


# Files


def test_save_and_load(tmp_path):
    network, x = network_of(), spikes()
    _, readout = network.run(x)
    saved = hxsnn.save(network.experiment, tmp_path / "net.pt", network=tmp_path / "net.json")
    loaded = gradspike.load(tmp_path / "net.pt")
    assert torch.equal(loaded(x), readout.membrane_cadc)
    assert description(chip.read(loaded)) == description(saved)
    chip_part = chip.load_network(tmp_path / "net.json")
    assert torch.equal(chip_part.deploy()(x).membrane[readout_name(saved)], readout.membrane_cadc)


def readout_name(network):
    return next(p["name"] for p in network.description["populations"] if p["size"] == 3)


def test_save_keeps_wishes_and_plasticity_rules(tmp_path):
    experiment = hxsnn.Experiment(mock=True)
    rule = gradspike.nn.PlasticityRule("kernel", period=1e-3)
    synapse = hxsnn.Synapse(
        5, 4, experiment, "AtomicNeuronOnDLS(3)", receptor="excitatory", plasticity_rule=rule, name="in"
    )
    hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    saved = hxsnn.save(experiment, tmp_path / "net.pt", name="saved")
    (projection,) = saved.description["projections"]
    assert projection["plasticity_rule"] == "kernel" and projection["receptor"] == "excitatory"
    (entry,) = [p for p in chip.registered()["projections"] if p["key"] == "saved/in"]
    assert entry["chip_coordinate"] == "AtomicNeuronOnDLS(3)"


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # PyTorch's reader
def test_export(tmp_path):
    network, x = network_of(), spikes()
    network.run(x)
    saved = hxsnn.export(network.experiment, tmp_path / "net.pt2")
    program = gradspike.load(tmp_path / "net.pt2")
    for steps, batch in ((20, 2), (33, 5)):
        y = spikes(steps, batch)
        assert torch.equal(program(y), network.run(y)[1].membrane_cadc)
    assert description(chip.read(program, (x,))) == description(saved)


def test_export_needs_inputs(tmp_path):
    experiment = hxsnn.Experiment(mock=True)
    hxsnn.LIF(4, experiment)(hxsnn.SynapseHandle(graded_spikes=torch.zeros(3, 1, 4)))
    with pytest.raises((ValueError, NotImplementedError)):
        hxsnn.export(experiment, tmp_path / "net.pt2")


def test_check_and_map():
    network = network_of()
    network.run(spikes())
    report = hxsnn.check(network.experiment)
    assert report.fits
    mapping = hxsnn.map(network.experiment)
    measured = Network(emulator(name="network"))
    measured.run(spikes())
    assert measured.experiment.mapping == mapping
    assert hxsnn.check(network.experiment, target="emulator analog").fits


def test_check_of_a_network_that_is_too_large_says_so():
    network = network_of(sizes=(300, 600, 10))
    network(spikes(3, 1, 300))
    assert not hxsnn.check(network.experiment).fits
    assert hxsnn.check(network.experiment, chips=100).fits


# Three readers


def recurrent(experiment, x, inputs=1):
    """A recurrent population with a readout."""
    torch.manual_seed(0)
    into = [hxsnn.Synapse(5, 6, experiment, transform=scaled()) for _ in range(inputs)]
    back, out = hxsnn.Synapse(6, 6, experiment, transform=scaled()), hxsnn.Synapse(6, 2, experiment, transform=scaled())
    neurons, readout = hxsnn.LIF(6, experiment, **UNIT), hxsnn.LI(2, experiment, leak=0.0)
    wrapper = hxsnn.HXModuleWrapper(
        experiment, **{f"into{k}": synapse for k, synapse in enumerate(into)}, back=back, neurons=neurons
    )
    promised, given = hxsnn.LIFObservables(), [handle_of(x) for _ in into]
    neurons(*(synapse(handle) for synapse, handle in zip(into, given)), back(promised), output=promised)
    wrapper()
    readout(out(promised))
    hxsnn.run(experiment, x.shape[0])
    return (x,) * inputs


def layered(experiment, x):
    Network(experiment).run(x)
    return (x,)


def sparse(experiment, x):
    """Sparse and dense projections, receptors, and wishes for the chip."""
    torch.manual_seed(0)
    first = hxsnn.SparseSynapse((torch.rand(5, 6) < 0.5).float(), experiment, transform=scaled())
    second = hxsnn.Synapse(6, 3, experiment, transform=scaled(8.0), receptor="excitatory", name="excitatory")
    third = hxsnn.Synapse(5, 3, experiment, "AtomicNeuronOnDLS(3)", transform=scaled(8.0), receptor="inhibitory")
    hidden, last = hxsnn.LIF(6, experiment, **UNIT), hxsnn.LIF(3, experiment, **UNIT, refractory_time=2.5e-6)
    given = handle_of(x)
    last(second(hidden(first(given))), third(given))
    hxsnn.run(experiment, x.shape[0])
    return (x,)


@pytest.mark.parametrize("build", [layered, sparse, recurrent, functools.partial(recurrent, inputs=2)])
@pytest.mark.parametrize("integers", [True, False])
def test_descriptions_of_three_readers_are_byte_identical(tmp_path, build, integers):
    """From the handles, from TorchScript, from an exported program, and from the files of both."""
    experiment = hxsnn.Experiment(mock=True, hardware_weights=integers, name="network")
    example = build(experiment, spikes())
    wishes = wishes_of(files._plain(experiment, None).names) or None
    from_handles = description(files.read(experiment, "network"))
    module = hxsnn.to_module(experiment).eval()
    scripted, program = torch.jit.script(module), torch.export.export(module, tuple(t.clone() for t in example))
    assert description(chip.read(scripted, example, "network", projections=wishes)) == from_handles
    assert description(chip.read(program, example, "network", projections=wishes)) == from_handles
    hxsnn.save(experiment, tmp_path / "net.pt", name="network")
    assert description(chip.read(gradspike.load(tmp_path / "net.pt"))) == from_handles
    measured = emulator(hardware_weights=integers, name="network")
    build(measured, spikes())
    assert description(measured._hardware.network) == from_handles


def test_descriptions_from_an_exported_program_are_byte_identical(tmp_path):
    network, x = network_of(), spikes()
    network.run(x)
    from_handles = description(files.read(network.experiment, "network"))
    program = torch.export.export(hxsnn.to_module(network.experiment).eval(), (x,))
    assert description(chip.read(program, (x,), "network")) == from_handles
    hxsnn.export(network.experiment, tmp_path / "net.pt2", name="network")
    assert description(chip.read(gradspike.load(tmp_path / "net.pt2"), (x,))) == from_handles


def test_the_description_on_a_backend_is_that_of_the_file():
    simulated = network_of()
    simulated.run(spikes())
    from_handles = description(files.read(simulated.experiment, "network"))
    measured = Network(emulator(hardware_weights=True, name="network"))
    measured.run(spikes())
    assert description(measured.experiment._hardware.network) == from_handles


def test_save_of_an_experiment_on_a_backend(tmp_path):
    network, x = Network(emulator(hardware_weights=True)), spikes()
    _, readout = network.run(x)
    hxsnn.save(network.experiment, tmp_path / "net.pt")
    assert torch.equal(gradspike.load(tmp_path / "net.pt")(x), readout.membrane_cadc)
    network.run(x)  # saving reads the network anew, under the same name
    network.run(x)


def test_saving_between_runs_uploads_no_more_than_once(tmp_path):
    network, x = Network(emulator(hardware_weights=True)), spikes()
    mapped = []
    network.experiment.post_mapping_hook = mapped.append
    network.run(x)
    hxsnn.save(network.experiment, tmp_path / "net.pt", name="elsewhere")
    network.run(x)
    assert network.experiment.uploads == 1 and len(mapped) == 1


def test_what_is_saved_trains_on(tmp_path):
    network, x = network_of(), spikes()
    network.run(x)
    hxsnn.save(network.experiment, tmp_path / "net.pt")
    loaded = gradspike.load(tmp_path / "net.pt")
    loaded(x).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in loaded.parameters())


def test_the_verbs_of_the_package_take_an_experiment(tmp_path):
    """`gradspike.save`, `export` and the verbs of `gradspike.chip` read it as those of `gradspike.spiking` do."""
    experiment = hxsnn.Experiment(mock=True)
    synapse = hxsnn.Synapse(5, 3, experiment, name="in", execution_instance=3, hardware_weights=True)
    neurons = hxsnn.LI(3, experiment, leak=0.0, name="out")
    spikes = (torch.rand(9, 2, 5) < 0.4).float()
    handle = neurons(synapse(hxsnn.LIFObservables(spikes=spikes)))
    hxsnn.run(experiment, 9)
    described = gradspike.chip.read(experiment, network="net").description
    assert described["projections"][0]["execution_instance"] == "3"
    assert gradspike.save(experiment, tmp_path / "net.pt").description == described
    assert gradspike.export(experiment, tmp_path / "net.pt2").description == described
    assert hxsnn.save(experiment, tmp_path / "net.pt").description == described
    assert gradspike.chip.check(experiment).fits and gradspike.chip.map(experiment).instances
    assert torch.equal(gradspike.chip.deploy(experiment)(spikes).outputs, handle.membrane_cadc)
