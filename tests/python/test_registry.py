"""The registry: keys, replacement, stale handles, several networks, threads, fork and other processes."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

import gradspike
from gradspike import chip
from gradspike.nn import LI, LIF, Synapse

SPIKES = (torch.rand(15, 4, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()


def network_model(hidden: int = 8) -> nn.Sequential:
    return nn.Sequential(
        Synapse(5, hidden, name="in", scale=16.0),
        LIF(hidden, name="hidden", threshold=0.3),
        Synapse(hidden, 3, name="out", scale=16.0),
        LI(3, name="readout"),
    )


@pytest.fixture(autouse=True)
def empty_registry():
    chip.clear()
    yield
    chip.clear()


def keys():
    registered = chip.registered()
    return sorted(p["key"] for p in registered["projections"]), sorted(p["key"] for p in registered["populations"])


def test_nothing_is_registered_when_modules_are_made():
    model = network_model()
    model(SPIKES)
    copy.deepcopy(model)
    assert keys() == ([], [])


def test_keys_are_network_and_name():
    chip.read(network_model(), network="yinyang")
    assert keys() == (["yinyang/in", "yinyang/out"], ["yinyang/hidden", "yinyang/readout"])


def test_several_networks_stand_side_by_side():
    first = chip.read(network_model(), network="a")
    second = chip.read(network_model(), network="b")
    assert not first.is_stale and not second.is_stale
    chip.clear("a")
    assert first.is_stale and not second.is_stale
    assert keys()[0] == ["b/in", "b/out"]


def test_projection_and_population_handles():
    network = chip.read(network_model(), network="a")
    projection, population = chip.projection("a/in"), chip.population("a/hidden")
    assert (projection.in_features(), projection.out_features()) == (5, 8)
    assert projection.sources() == ["input0"] and projection.target() == "hidden"
    assert population.size() == 8
    assert not projection.is_mapped()
    network.map()
    assert not projection.is_mapped()  # an entry that was looked up does not change
    assert chip.projection("a/in").is_mapped() and chip.population("a/hidden").is_mapped()


def test_reading_again_replaces_and_old_handles_stay():
    model = network_model()
    old = chip.read(model, network="a")
    entry = chip.projection("a/in")
    new = chip.read(network_model(6), network="a")
    assert old.is_stale and entry.is_stale() and not new.is_stale
    assert entry.out_features() == 8  # still what it was
    assert chip.projection("a/in").out_features() == 6
    assert old.description["populations"][0]["size"] == 8
    assert torch.equal(old.run_model(SPIKES).outputs, model(SPIKES))


def test_a_stale_network_neither_deploys_nor_runs():
    old = chip.read(network_model(), network="a")
    deployed = old.deploy()
    chip.read(network_model(), network="a")
    for call in (lambda: deployed(SPIKES), old.deploy):
        with pytest.raises(RuntimeError, match="'a' was read again or cleared"):
            call()


def test_reading_again_drops_what_the_new_network_lacks():
    chip.read(network_model(), network="a")
    chip.read(network_model()[:2], network="a")
    assert keys() == (["a/in"], ["a/hidden"])


def test_missing_keys_name_the_nearest():
    chip.read(network_model(), network="yinyang")
    with pytest.raises(RuntimeError, match=r'no projection "yinyang/inn".*"yinyang/in"'):
        chip.projection("yinyang/inn")
    with pytest.raises(RuntimeError, match=r'no population "yinjang/hidden".*"yinyang/hidden"'):
        chip.population("yinjang/hidden")
    chip.clear()
    with pytest.raises(RuntimeError, match="there are none"):
        chip.projection("yinyang/in")


def test_missing_population_of_a_run_names_the_nearest():
    deployed = chip.deploy(network_model())
    with pytest.raises(RuntimeError, match=r'"hiden".*"hidden"'):
        deployed(SPIKES, membrane=["hiden"])


def test_deploying_notes_what_the_backend_holds():
    model = network_model()
    deployed = chip.deploy(model, network="a")
    written = {p["key"]: p["written"] for p in chip.registered()["projections"]}
    assert all(list(backends) == ["emulator"] for backends in written.values())
    with torch.no_grad():
        model[0].weight.neg_()
    deployed.network.deploy()
    again = {p["key"]: p["written"] for p in chip.registered()["projections"]}
    assert again["a/in"] != written["a/in"] and again["a/out"] == written["a/out"]


def test_membrane_of_one_population_by_its_name():
    deployed = chip.deploy(nn.Sequential(Synapse(5, 8, name="in", scale=16.0), LIF(8, name="hp")))
    assert list(deployed(SPIKES, membrane="hp").membrane) == ["hp"]


def test_deploying_again_leaves_the_earlier_program():
    model = network_model()
    first = chip.deploy(model)
    before = first(SPIKES).outputs
    with torch.no_grad():
        model[0].weight.neg_()
    second = first.network.deploy()
    assert first.changed and not second.changed
    assert torch.equal(first(SPIKES).outputs, before)
    assert torch.equal(second(SPIKES).outputs, model(SPIKES)) and not torch.equal(second(SPIKES).outputs, before)


def test_a_failed_deploy_leaves_the_running_program():
    model = network_model()
    deployed = chip.deploy(model)
    before = deployed(SPIKES).outputs
    with torch.no_grad():
        model[0].weight.neg_()
    with pytest.raises(RuntimeError, match="preset"):
        deployed.network.deploy(preset="nonsense")
    assert deployed.changed  # the emulator still holds the old weights
    assert torch.equal(deployed(SPIKES).outputs, before)


def test_models_pickle_and_copy_after_reading():
    model = network_model()
    network = chip.read(model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_dict().keys() == model.state_dict().keys()
        assert torch.equal(twin(SPIKES), model(SPIKES))
    assert set(model.state_dict()) == {"0.weight", "2.weight"}
    assert network.name == "network"


def test_threads_read_deploy_and_run_their_own_networks():
    models = [network_model(4 + k) for k in range(6)]
    expected = [model(SPIKES).detach() for model in models]
    failures = []

    def work(k: int) -> None:
        try:
            for _ in range(4):
                deployed = chip.deploy(models[k], network=f"thread{k}")
                assert torch.equal(deployed(SPIKES).outputs, expected[k])
                assert torch.equal(deployed.network.run_model(SPIKES).outputs, expected[k])
        except BaseException as error:
            failures.append((k, repr(error)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert failures == []
    assert len(keys()[0]) == 12


def test_threads_share_one_network():
    """Runs, evaluations and checks of one handle at once: evaluating copies its graph."""
    model = network_model()
    deployed = chip.deploy(model)
    expected = model(SPIKES).detach()
    calls = [
        lambda: torch.equal(deployed(SPIKES).outputs, expected),
        lambda: torch.equal(deployed.network.run_model(SPIKES).outputs, expected),
        lambda: not deployed.changed,
        lambda: len(deployed.network.weights()) == 2,
        lambda: deployed.network.check().fits,
    ]
    failures = []

    def work(k: int) -> None:
        try:
            for _ in range(15):
                assert calls[k]()
        except BaseException as error:
            failures.append((k, repr(error)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert failures == []


def test_threads_that_read_one_name_leave_one_network():
    stop = threading.Event()
    failures = []

    def look() -> None:
        while not stop.is_set():
            entry = chip.registered()
            if len(entry["projections"]) not in (0, 2) or len(entry["populations"]) not in (0, 2):
                failures.append(entry)

    watcher = threading.Thread(target=look)
    watcher.start()
    model = network_model()
    readers = [threading.Thread(target=lambda: [chip.read(model, network="one") for _ in range(5)]) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=60)
    stop.set()
    watcher.join(timeout=10)
    assert failures == []
    assert keys()[0] == ["one/in", "one/out"]


def test_a_forked_child_reads_the_registry_and_runs():
    model = network_model()
    deployed = chip.deploy(model, network="a")
    expected = deployed(SPIKES)
    registered = chip.registered()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        torch.set_num_threads(1)  # as PyTorch asks of forked workers: its threads do not live on in the child
        try:
            same = chip.registered() == registered
            same = same and torch.equal(deployed(SPIKES).outputs, expected.outputs)
            chip.read(network_model(), network="b")
            same = same and len(chip.registered()["projections"]) == 4
            os.write(write, b"same" if same else b"other")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert answer == b"same"
    assert chip.registered() == registered  # what the child read is its own


def test_another_process_loads_the_archive_and_gives_the_same_spikes(tmp_path):
    model = network_model()
    gradspike.save(model, tmp_path / "net.pt")
    torch.save(SPIKES, tmp_path / "spikes.pt")
    program = f"""
import torch, gradspike
folder = {str(tmp_path)!r}
model = gradspike.load(folder + "/net.pt")
assert [p["key"] for p in gradspike.chip.registered()["projections"]] == ["net/in", "net/out"]
result = gradspike.chip.deploy(model)(torch.load(folder + "/spikes.pt"))
torch.save((result.outputs, result.spikes["hidden"]), folder + "/result.pt")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    outputs, spikes = torch.load(tmp_path / "result.pt")
    here = chip.deploy(model)(SPIKES)
    assert torch.equal(outputs, model(SPIKES))
    assert torch.equal(spikes, here.spikes["hidden"]) and spikes.sum() > 0


def test_partitioned_networks_are_mapped_with_their_instances():
    model = torch.nn.Sequential(
        gradspike.nn.Synapse(300, 600, name="wide", scale=16.0), gradspike.nn.LIF(600, name="wide")
    )
    network = chip.read(model, network="partitioned")
    assert not chip.projection("partitioned/wide").is_mapped()
    assert chip.projection("partitioned/wide").instances() == []
    count = len(network.map().instances)
    projection, population = chip.projection("partitioned/wide"), chip.population("partitioned/wide")
    assert projection.is_mapped() and population.is_mapped()
    assert projection.instances() == population.instances() == list(range(count))
    of_neurons = population.instance_of_neurons()
    assert len(of_neurons) == 600 and sorted(set(of_neurons)) == list(range(count))
    (entry,) = [p for p in chip.registered()["projections"] if p["key"] == "partitioned/wide"]
    assert entry["mapped"] and entry["instances"] == list(range(count)) and entry["synapses"] == 2 * 300 * 600
