"""Archives: saved, loaded, trained on, saved again; from compiled, wrapped and traced models and functions."""

import copy
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import gradspike
from gradspike import chip
from gradspike import functional as F
from gradspike.nn import LI, LIF, RecurrentLIF, SparseSynapse, Synapse

SPIKES = (torch.rand(15, 4, 5, generator=torch.Generator().manual_seed(5)) < 0.4).float()


def network_model() -> nn.Sequential:
    return nn.Sequential(
        Synapse(5, 8, name="in", scale=16.0, receptor="excitatory"),
        LIF(8, name="hidden", threshold=0.3),
        nn.Dropout(0.5),
        Synapse(8, 3, scale=16.0),
        LI(3),
    )


def layered_model() -> nn.Sequential:
    """Layers whose weights stand in the operators in other forms than one matrix."""
    torch.manual_seed(2)
    mask = torch.rand(8, 8) < 0.6
    return nn.Sequential(
        RecurrentLIF(5, 8, name="loop", threshold=0.2, mask=mask),
        SparseSynapse(torch.rand(8, 6) < 0.5, name="sparse", scale=16.0),
        LIF(6, name="hidden", threshold=0.2),
        Synapse(6, 3, name="packed", scale=16.0).prepacked(),
        LI(3, name="out"),
    )


def entries(path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def test_saved_and_loaded_model_is_the_same(tmp_path):
    model = network_model().eval()
    network = gradspike.save(model, tmp_path / "net.pt")
    assert network.name == "net"
    loaded = gradspike.load(tmp_path / "net.pt")
    assert torch.equal(loaded(SPIKES), model(SPIKES))
    result = chip.deploy(loaded)(SPIKES)
    assert torch.equal(result.outputs, model(SPIKES)) and result.spikes["hidden"].sum() > 0
    assert {p["key"] for p in chip.registered()["projections"]} >= {"net/in", "net/3"}


def test_what_stands_in_the_file(tmp_path):
    model = network_model()
    network = gradspike.save(model, tmp_path / "net.pt", card={"class_names": ["a", "b", "c"]}, example=SPIKES)
    stored = entries(tmp_path / "net.pt")
    description = json.loads(stored["extra/gradspike/network.json"])
    assert description == network.description
    assert description["model_card"]["steps"] == 15  # of the example
    assert json.loads(stored["extra/gradspike/mapping.json"]) == network.map().data
    record = stored["extra/gradspike/integers/in.bin"]
    assert record == network.records()["in"]
    q = F.hardware_weights(model[0].weight.detach(), 16.0, 0.0, 63.0)
    assert list(record[32:]) == q.flatten().tolist()  # after the header, one byte each


def test_saving_twice_gives_the_same_bytes(tmp_path):
    model = network_model()
    for name in ("a", "b"):
        gradspike.save(model, tmp_path / f"{name}.pt", name="net")
    first, second = entries(tmp_path / "a.pt"), entries(tmp_path / "b.pt")
    first.pop(".data/serialization_id", None), second.pop(".data/serialization_id", None)
    assert first.keys() == second.keys()
    for name in first:
        if not name.endswith(".debug_pkl"):  # source lines; their order is PyTorch's
            assert first[name] == second[name], name


def test_saving_leaves_the_model(tmp_path):
    model = network_model().train()
    before = copy.deepcopy(model.state_dict())
    gradspike.save(model, tmp_path / "net.pt")
    assert model.training and model[3].projection == ""
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_loaded_model_trains_and_is_saved_again(tmp_path):
    gradspike.save(network_model(), tmp_path / "net.pt")
    model = gradspike.load(tmp_path / "net.pt")
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = [p.detach().clone() for p in model.parameters()]
    deployed = chip.deploy(model)
    for _ in range(3):
        optimizer.zero_grad()
        (model(SPIKES) - 1.0).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
        optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(model.parameters(), before))
    assert deployed.changed
    gradspike.save(model, tmp_path / "trained.pt")
    again = gradspike.load(tmp_path / "trained.pt")
    assert torch.equal(again(SPIKES), model.eval()(SPIKES))
    assert all(p.requires_grad and p.is_leaf for p in again.parameters())


def test_name_wishes_and_card_stay_with_a_loaded_model(tmp_path):
    wishes = {"in": {"plasticity_rule": "stdp", "plasticity_period": 1e-3, "chip_coordinate": "[0, 1]"}}
    first = gradspike.save(network_model(), tmp_path / "net.pt", card={"decoder": "max"}, projections=wishes)
    gradspike.save(gradspike.load(tmp_path / "net.pt"), tmp_path / "again.pt")
    assert json.loads(entries(tmp_path / "again.pt")["extra/gradspike/network.json"]) == first.description
    assert chip.read(gradspike.load(tmp_path / "again.pt")).description == first.description


def test_empty_wishes_and_card_clear_the_stored_ones(tmp_path):
    wishes = {"in": {"execution_instance": "left"}}
    model = network_model()
    gradspike.save(model, tmp_path / "net.pt", projections=wishes, card={"encoder": "times"})
    loaded = gradspike.load(tmp_path / "net.pt")
    kept = gradspike.save(loaded, tmp_path / "other.pt")
    assert kept.name == "net" and kept.description["model_card"]["encoder"] == "times"
    cleared = gradspike.save(loaded, tmp_path / "other.pt", projections={}, card={})
    assert cleared.description["model_card"]["encoder"] == ""
    assert all(not p["execution_instance"] for p in cleared.description["projections"])


def test_compiled_wrapped_and_scripted_models(tmp_path):
    model = network_model().eval()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        for name, wrapper in (("compiled", torch.compile(model)), ("ddp", wrapped), ("both", torch.compile(wrapped))):
            gradspike.save(wrapper, tmp_path / f"{name}.pt", name="net")
            assert torch.equal(gradspike.load(tmp_path / f"{name}.pt")(SPIKES), model(SPIKES))
    finally:
        torch.distributed.destroy_process_group()
    model[3].projection, model[4].population = "out", "readout"  # a scripted model is read as it is, names included
    scripted = torch.jit.script(model)
    gradspike.save(scripted, tmp_path / "scripted.pt")
    assert torch.equal(gradspike.load(tmp_path / "scripted.pt")(SPIKES), model(SPIKES))


def test_wrapping_a_loaded_model_keeps_its_name(tmp_path):
    gradspike.save(network_model(), tmp_path / "net.pt")
    wrapped = torch.compile(gradspike.load(tmp_path / "net.pt"))
    assert chip.read(wrapped).name == "net"
    assert gradspike.save(wrapped, tmp_path / "other.pt").name == "net"


def test_function_and_traced_model(tmp_path):
    weight = nn.Parameter(torch.rand(4, 5))

    def net(spikes):
        return F.lif(F.graded_spikes(spikes, weight, 24.0, projection="hidden"), threshold=0.3).spikes

    gradspike.save(net, tmp_path / "function.pt", example=SPIKES)
    loaded = gradspike.load(tmp_path / "function.pt")
    assert torch.equal(loaded(SPIKES), net(SPIKES)) and net(SPIKES).sum() > 0
    assert [p.shape for p in loaded.parameters()] == [weight.shape]  # it can be trained on


def test_two_inputs_whose_sizes_do_not_follow_from_the_weights(tmp_path):
    """What was learnt from the example is in the file: loading needs none."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(8, 6, scale=16.0), LIF(6)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.lif(self.a(torch.cat([x, y], 2)))

    gradspike.save(Model(), tmp_path / "net.pt", example=(SPIKES, SPIKES[..., :3]))
    network = chip.read(gradspike.load(tmp_path / "net.pt"))
    assert [entry["size"] for entry in network.description["inputs"]] == [5, 3]


def test_network_beyond_one_chip_is_saved_with_its_partition(tmp_path):
    torch.manual_seed(4)
    model = nn.Sequential(Synapse(300, 600, scale=16.0), LIF(600))
    network = gradspike.save(model, tmp_path / "large.pt")
    stored = json.loads(entries(tmp_path / "large.pt")["extra/gradspike/mapping.json"])
    assert stored["format"] == "gradspike.partition" and stored == network.map().data
    loaded = gradspike.load(tmp_path / "large.pt")
    assert not chip.check(loaded).fits
    assert len(chip.map(loaded).instances) == 5
    spikes = (torch.rand(8, 2, 300) < 0.1).float()
    assert torch.equal(chip.deploy(loaded)(spikes).outputs, model(spikes))


def test_partition_of_an_archive_is_checked(tmp_path):
    gradspike.save(nn.Sequential(Synapse(300, 600, scale=16.0), LIF(600)), tmp_path / "large.pt")
    kept = entries(tmp_path / "large.pt")

    def rewritten(name, change):
        stored = json.loads(kept["extra/gradspike/mapping.json"])
        change(stored)
        path = tmp_path / name
        with zipfile.ZipFile(tmp_path / "large.pt") as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                if entry.filename.endswith("gradspike/mapping.json"):
                    content = json.dumps(stored, sort_keys=True, separators=(",", ":")).encode()
                target.writestr(zipfile.ZipInfo(entry.filename), content)
        return path

    with pytest.raises(ValueError, match="does not reach"):
        gradspike.load(rewritten("cut.pt", lambda d: d["instances"][1]["mapping"]["synapses"].pop()))
    with pytest.raises(ValueError, match="no instance holds neuron"):
        gradspike.load(rewritten("short.pt", lambda d: d["instances"].pop()))


def test_archive_without_a_partition_stays_readable(tmp_path):
    """As it was written before archives held partitions."""
    gradspike.save(nn.Sequential(Synapse(300, 600, scale=16.0), LIF(600)), tmp_path / "large.pt")
    path = tmp_path / "old.pt"
    with zipfile.ZipFile(tmp_path / "large.pt") as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith("gradspike/mapping.json"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    assert len(chip.map(gradspike.load(path)).instances) == 5


def test_network_file(tmp_path):
    model = network_model().eval()
    gradspike.save(model, network=tmp_path / "net.json")
    network = chip.load_network(tmp_path / "net.json")
    result = network.deploy()(SPIKES)
    expected = chip.deploy(model)(SPIKES)
    assert result.outputs is None
    assert torch.equal(result.spikes["hidden"], expected.spikes["hidden"])
    assert torch.equal(result.membrane["4"], model(SPIKES))
    assert network.integers().keys() == {"in", "3"}
    for call in (network.weights, lambda: network.run_model(SPIKES)):
        with pytest.raises(RuntimeError, match="network file holds"):
            call()


def test_loaded_integers_that_differ_are_a_warning(tmp_path):
    """The parameters count: a tool that changes them and leaves the records must not go unnoticed."""
    gradspike.save(network_model(), tmp_path / "net.pt")
    model = network_model()
    stored = entries(tmp_path / "net.pt")
    extra = {name[6:]: value for name, value in stored.items() if name.startswith("extra/")}
    changed = torch.jit.load(str(tmp_path / "net.pt"))
    with torch.no_grad():
        next(iter(changed.parameters())).mul_(0.5)
    torch.jit.save(changed, str(tmp_path / "changed.pt"), _extra_files=extra)
    with pytest.warns(UserWarning, match="projection 'in'.*the parameters count"):
        loaded = gradspike.load(tmp_path / "changed.pt")
    assert torch.equal(loaded(SPIKES), changed(SPIKES))
    assert model is not loaded


def test_file_of_plain_jit_save_is_read_again(tmp_path):
    model = network_model().eval()
    model[3].projection, model[4].population = "out", "readout"
    torch.jit.save(torch.jit.script(model), str(tmp_path / "plain.pt"))
    loaded = gradspike.load(tmp_path / "plain.pt")
    assert chip.read(loaded).name == "plain"
    assert torch.equal(chip.deploy(loaded)(SPIKES).outputs, model(SPIKES))
    assert chip.read(gradspike.load(tmp_path / "plain.pt", name="other")).name == "other"


def test_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="NaN"):
        broken = network_model()
        with torch.no_grad():
            broken[0].weight[1, 2] = float("nan")
        gradspike.save(broken, path)
    assert path.read_bytes() == b"old"
    gradspike.save(network_model(), path)
    gradspike.load(path)
    assert os.listdir(tmp_path) == ["net.pt"]  # no temporary file is left


def test_directory_is_made_and_mode_is_kept(tmp_path):
    path = tmp_path / "new" / "deep" / "net.pt"
    gradspike.save(network_model(), path)
    path.chmod(0o600)
    gradspike.save(network_model(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_archive_with_unusual_names(tmp_path):
    names = ["a b", "..", "ä", "x.y", "q'\"", "%s{}"]
    layers = []
    for name in names:
        layers += [Synapse(5, 5, name=name, scale=16.0), LIF(5, name=name, threshold=0.2)]
    model = nn.Sequential(*layers)
    gradspike.save(model, tmp_path / "net with blank.pt")
    loaded = gradspike.load(tmp_path / "net with blank.pt")
    network = chip.read(loaded)
    assert network.integers().keys() == set(names)
    assert torch.equal(chip.deploy(loaded)(SPIKES).outputs, model(SPIKES))


def test_inspect_and_open_network(tmp_path):
    gradspike.save(network_model(), tmp_path / "net.pt", network=tmp_path / "net.json")
    for name in ("net.pt", "net.json"):
        assert gradspike.open_network(tmp_path / name).name == "net"
        assert "projection  in: 5 -> hidden (8), excitatory 0..63" in gradspike.inspect(tmp_path / name)


@torch.no_grad()  # prepacked layers have no gradient
def test_layers_of_every_form_are_saved_and_loaded(tmp_path):
    model = layered_model().eval()
    network = gradspike.save(model, tmp_path / "net.pt", network=tmp_path / "net.json")
    loaded = gradspike.load(tmp_path / "net.pt")
    again = chip.read(loaded)
    assert again.description == network.description and again.records() == network.records()
    expected = model(SPIKES)
    results = [chip.deploy(loaded)(SPIKES), chip.load_network(tmp_path / "net.json").deploy()(SPIKES)]
    assert torch.equal(loaded(SPIKES), expected) and torch.equal(results[0].outputs, expected)
    for result in results:
        assert torch.equal(result.membrane["out"], expected)
        assert torch.equal(result.spikes["loop"], model[0](SPIKES))
        assert torch.equal(result.spikes["hidden"], model[:3](SPIKES)) and result.spikes["hidden"].sum() > 0
    for parameter in loaded.parameters():
        parameter.mul_(0.5)
    assert torch.equal(chip.deploy(loaded)(SPIKES).outputs, loaded(SPIKES))


def test_inspect_tells_what_is_recurrent_and_what_exists(tmp_path):
    model = layered_model()
    gradspike.save(model, tmp_path / "net.pt")
    text = gradspike.inspect(tmp_path / "net.pt")
    existing = int(model[0].mask.sum())
    assert "projection  loop_recurrent: 8 -> loop (8) 1 step later, signed -63..63, " in text
    assert f" of {existing} weights are 0" in text and f" of {model[1].weight.numel()} weights are 0" in text


def test_integers_of_other_connections_are_a_damaged_file(tmp_path):
    """The mask belongs to the description: a file whose connections were changed describes another network."""
    gradspike.save(layered_model(), tmp_path / "net.pt")
    stored = entries(tmp_path / "net.pt")
    extra = {name[6:]: value for name, value in stored.items() if name.startswith("extra/")}
    changed = torch.jit.load(str(tmp_path / "net.pt"))
    dict(changed.named_buffers())["0.mask"].logical_not_()
    torch.jit.save(changed, str(tmp_path / "changed.pt"), _extra_files=extra)
    with pytest.raises(ValueError, match="is damaged: .* does not describe the model of network 'net'"):
        gradspike.load(tmp_path / "changed.pt")


def test_a_copy_in_memory_loads(tmp_path):
    """The file holds nothing that depends on where it lies."""
    gradspike.save(network_model(), tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    assert str(tmp_path).encode() not in content
    model = torch.jit.load(io.BytesIO(content))
    (tmp_path / "b.pt").write_bytes(content)
    assert torch.equal(gradspike.load(tmp_path / "b.pt")(SPIKES), model(SPIKES))


def test_an_archive_holds_no_path_of_the_machine_that_saved_it(tmp_path):
    path = tmp_path / "net.pt"
    gradspike.save(torch.nn.Sequential(gradspike.nn.Synapse(5, 12), gradspike.nn.LIF(12)), path)
    content = path.read_bytes()
    assert str(Path(gradspike.__file__).parent).encode() not in content
    assert b".debug_pkl" not in content
    assert gradspike.load(path)(torch.zeros(3, 1, 5)).shape == (3, 1, 12)
