"""A15: `Experiment`, the graph of modules, and `run`."""

import inspect

import pytest
import torch
from contract_networks import Network, emulator, handle_of, spikes

import gradspike.spiking as hxsnn


@pytest.fixture
def experiment():
    return hxsnn.Experiment(mock=True)


def chain(experiment):
    synapse, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment)
    return synapse, neurons


def test_a15_signature():
    parameters = inspect.signature(hxsnn.Experiment).parameters
    assert parameters["mock"].kind is inspect.Parameter.KEYWORD_ONLY and parameters["mock"].default is False
    assert parameters["dt"].kind is inspect.Parameter.KEYWORD_ONLY and parameters["dt"].default == 1e-6
    assert parameters["inter_batch_entry_wait"].default == 0


def test_a15_positional_arguments_are_calibration_and_mapper():
    experiment = hxsnn.Experiment("calibration", "mapper", mock=True)
    assert (experiment.calibration, experiment.mapper) == ("calibration", "mapper")
    named = hxsnn.Experiment(mock=True, calibration="calibration", mapper="mapper")
    assert (named.calibration, named.mapper) == ("calibration", "mapper")
    assert hxsnn.Experiment(mock=True).calibration is None
    assert hxsnn.Experiment(mock=True, hw_routing_func=len).options == {"hw_routing_func": len}


def test_a15_earlier_positional_arguments():
    experiment = hxsnn.Experiment(True, 2e-6)
    assert experiment.mock is True and experiment.dt == 2e-6


def test_a15_the_default_execution_instance(experiment):
    instance = experiment.default_execution_instance
    assert instance.load_calib("calib.pbin") == "calib.pbin" and instance.calib_path == "calib.pbin"
    instance.input_loopback = True
    experiment.default_execution_instance = hxsnn.ExecutionInstance(input_loopback=True)
    assert experiment.default_execution_instance.input_loopback


def test_a15_graph_nodes_and_edges(experiment):
    synapse, neurons = chain(experiment)
    given = handle_of(spikes())
    graded = synapse(given)
    result = neurons(graded)
    graph = experiment.modules.graph
    assert set(graph.nodes) == {0, 1, "s_0_0", "t_1"}
    assert graph.edges["s_0_0", 0]["handle"] is given
    assert graph.edges[0, 1]["handle"] is graded and graph.edges[1, "t_1"]["handle"] is result
    manager = experiment.modules
    assert manager.nodes == {synapse: 0, neurons: 1}
    assert manager.get_node_id(synapse) == manager.get_id_by_module(synapse) == 0
    assert manager.get_module_by_id(1) is neurons and manager.get_module_by_id(7) is None
    assert manager.has_module(synapse) and not manager.has_module(object())
    assert manager.find_edges(graded) == [(0, 1)]
    assert manager._open_sources == {"s_0_0"} and manager._open_targets == {"t_1"}
    assert manager._inputs["s_0_0"] is given and manager.input_data() == [given]
    assert manager.source_populations(synapse) == [] and manager.target_populations(synapse) == [neurons]
    with pytest.raises(KeyError, match="was not called in this experiment"):
        manager.get_node_id(hxsnn.LIF(2, experiment))


def test_a15_handles_are_matched_by_identity(experiment):
    """Two equal handles are two sources."""
    x, synapses = spikes(), [hxsnn.Synapse(5, 4, experiment) for _ in range(2)]
    for synapse in synapses:
        synapse(handle_of(x))
    assert experiment.modules._open_sources == {"s_0_0", "s_1_0"}


def test_a15_wrappers_are_named_w(experiment):
    wrapper = hxsnn.HXModuleWrapper(experiment)
    wrapper()
    assert experiment.modules.wrappers == {wrapper: "w_0"} and experiment.modules.get_node_id(wrapper) == "w_0"
    assert experiment.modules.get_module_by_id("w_0") is wrapper


def test_a15_clear_forgets_everything(experiment):
    synapse, neurons = chain(experiment)
    neurons(synapse(handle_of(spikes())))
    experiment.clear()
    assert not experiment.modules.nodes and not experiment.modules.calls and not experiment.modules.has_module(synapse)
    assert hxsnn.run(experiment, 20) is None


def test_a15_order_is_topological_whatever_the_order_of_the_calls(experiment):
    """A module may be called before the one whose handle it reads, with a handle that was made before."""
    synapse, neurons = chain(experiment)
    graded = hxsnn.SynapseHandle()
    result = neurons(graded)
    synapse(handle_of(spikes()), output=graded)
    assert [call.module for call in experiment.modules.order()] == [synapse, neurons]
    hxsnn.run(experiment, 20)
    assert result.holds("spikes")


@pytest.mark.parametrize("mock", [True, False])
def test_a15_a_cycle_is_refused(mock):
    experiment = hxsnn.Experiment(mock=True) if mock else emulator()
    synapse, neurons = hxsnn.Synapse(4, 4, experiment), hxsnn.LIF(4, experiment)
    promised = hxsnn.LIFObservables()
    neurons(synapse(promised), output=promised)
    with pytest.raises(ValueError, match="Encountered cyclic dependencies in the network"):
        hxsnn.run(experiment, 20)


def test_a15_two_paths_are_no_cycle(experiment):
    a, b, c = (hxsnn.Synapse(4, 4, experiment) for _ in range(3))
    first, second = hxsnn.LIF(4, experiment), hxsnn.LIF(4, experiment)
    hidden = first(a(handle_of(spikes(size=4))))
    result = second(b(hidden), c(hidden))
    hxsnn.run(experiment, 20)
    assert result.holds("spikes")


def test_a15_mock_ignores_the_runtime_and_returns_nothing(experiment):
    synapse, neurons = chain(experiment)
    for runtime in (3, 1000, None, 1.5, "any"):
        handle = neurons(synapse(handle_of(spikes())))
        assert hxsnn.run(experiment, runtime) is None
        assert handle.spikes.shape == (20, 2, 4)


@pytest.mark.parametrize("runtime", [None, 1.5, "20", 20.0, True, torch.tensor(20)])
def test_a15_without_mock_the_runtime_is_an_int(runtime):
    network = Network(emulator())
    network(spikes())
    with pytest.raises(ValueError, match="Requested runtime invalid"):
        hxsnn.run(network.experiment, runtime)


def test_a15_run_empties_the_graph_and_keeps_the_numbers(experiment):
    synapse, neurons = chain(experiment)
    handle = neurons(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    assert not experiment.modules.graph.nodes and experiment.modules.nodes == {synapse: 0, neurons: 1}
    assert set(experiment.modules.prev_graph.nodes) == {0, 1, "s_0_0", "t_1"}
    before = handle.spikes
    assert hxsnn.run(experiment, 20) is None  # nothing was called
    assert handle.spikes is before


def test_a15_a_second_run_of_a_backend_without_calls_does_nothing():
    network = Network(emulator())
    network.run(spikes())
    trial = network.experiment.trial
    assert hxsnn.run(network.experiment, 20) is None and network.experiment.trial == trial


def test_a15_batch_size_is_that_of_the_first_external_input(experiment):
    synapse, _ = chain(experiment)
    assert experiment.batch_size is None
    synapse(handle_of(spikes(batch=7)))
    assert experiment.batch_size == 7


def test_a15_a_run_on_a_backend_returns_its_result():
    network = Network(emulator())
    network(spikes())
    result = hxsnn.run(network.experiment, 20)
    assert result is network.experiment.result and result.target == "emulator ideal"
    assert network.experiment.runtime_in_s == pytest.approx(20e-6)


def test_a15_chip_configs_are_the_integers_that_ran():
    network = Network(emulator())
    assert network.experiment.last_run_chip_configs is None
    network.run(spikes())
    held = network.experiment.last_run_chip_configs
    assert sorted(tuple(t.shape) for t in held.values()) == [(3, 12), (12, 5)]


def test_a15_hardware_functions_are_accepted():
    assert hxsnn.init_hardware() is None and hxsnn.init_hardware("board", ann=False) is None
    assert hxsnn.release_hardware() is None


def test_a15_get_hw_results_runs_without_the_model():
    network = Network(emulator())
    handles = network(spikes())
    result = network.experiment.get_hw_results(20)
    assert result.spikes and not handles[0].holds("spikes")
    hxsnn.run(network.experiment, 20)  # the calls are still there
    assert handles[0].holds("spikes")


def test_a15_repr(experiment):
    chain(experiment)
    assert repr(experiment) == "Experiment(mock=True, dt=1e-06, modules=2)"


def test_a15_modules_of_two_experiments_do_not_mix(experiment):
    other = hxsnn.Experiment(mock=True)
    first, second = chain(experiment), chain(other)
    a, b = first[1](first[0](handle_of(spikes()))), second[1](second[0](handle_of(spikes())))
    hxsnn.run(experiment, 20)
    assert a.holds("spikes") and not b.holds("spikes")
    hxsnn.run(other, 20)
    assert b.holds("spikes")
