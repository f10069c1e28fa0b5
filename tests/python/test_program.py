"""Programs of torch.export: the same bits and the same description as the module and its TorchScript archive."""

import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

import gradspike
from archives import edited
from gradspike import chip, nn


def model(dropout=False):
    torch.manual_seed(3)
    layers = [
        nn.Synapse(5, 12, name="hidden", scale=20.0),
        nn.LIF(12, name="hidden", tau_mem=6e-6, refractory_time=2e-6),
        nn.Synapse(12, 3, name="out", scale=32.0),
        nn.LI(3, name="out"),
    ]
    if dropout:
        layers.insert(2, torch.nn.Dropout(0.5))
    return torch.nn.Sequential(*layers)


def spikes(steps=20, batch=3, seed=0):
    return (torch.rand(steps, batch, 5, generator=torch.Generator().manual_seed(seed)) < 0.2).float()


def plainly_loaded(path, extra_files=None):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        return torch.export.load(str(path), extra_files=extra_files)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pt2"


def test_one_description_from_module_torchscript_and_program(path, tmp_path):
    network = model()
    x = spikes()
    from_program = gradspike.export(network, path, example=x)
    from_script = gradspike.save(network, tmp_path / "net.pt", example=x)
    program = plainly_loaded(path)
    handles = [from_program, from_script, chip.read(network, x, "net"), chip.read(program, network="net")]
    assert len({handle._handle.description() for handle in handles}) == 1
    assert all(handle.records() == handles[0].records() for handle in handles)


@pytest.mark.parametrize("steps, batch", [(20, 3), (1, 1), (7, 2), (50, 11)])
def test_a_loaded_program_has_the_bits_of_the_model_for_any_size(path, steps, batch):
    network = model()
    gradspike.export(network, path, example=spikes())
    x = spikes(steps, batch, seed=1)
    assert torch.equal(gradspike.load(path)(x), network(x))
    assert torch.equal(gradspike.open_network(path).deploy()(x).outputs, network(x))


def test_a_loaded_program_trains_and_its_integers_follow(path):
    gradspike.export(model(), path, example=spikes())
    loaded = gradspike.load(path)
    optimizer = torch.optim.SGD(loaded.parameters(), 0.1)
    loaded(spikes()).square().sum().backward()
    before = [p.detach().clone() for p in loaded.parameters()]
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, loaded.parameters()))
    assert torch.equal(chip.deploy(loaded, example=spikes(), network="trained")(spikes()).outputs, loaded(spikes()))


def test_plain_pytorch_opens_the_file(path):
    gradspike.export(model(), path, example=spikes())
    extra = {"gradspike/network.json": ""}
    program = plainly_loaded(path, extra)
    assert json.loads(extra["gradspike/network.json"])["format"] == "gradspike.network"
    assert torch.equal(program.module()(spikes()), model()(spikes()))


def test_a_file_of_plain_pytorch_is_read_again(path):
    torch.export.save(torch.export.export(model().eval(), (spikes(),)), str(path))
    assert gradspike.open_network(path).name == "net"


def test_a_function_is_exported(path):
    weight = torch.nn.Parameter(torch.randn(4, 5))

    def function(x):
        current = torch.ops.gradspike.graded_spikes(x, weight, 16.0, projection="in")
        return gradspike.functional.lif(current, population="neurons").spikes

    gradspike.export(function, path, example=spikes())
    assert torch.equal(gradspike.load(path)(spikes()), function(spikes()))


def test_dropout_is_left_out_and_the_model_keeps_its_mode(path):
    network = model(dropout=True)
    gradspike.export(network, path, example=spikes())
    assert network.training
    assert torch.equal(gradspike.load(path)(spikes()), network.eval()(spikes()))


def test_wishes_and_card_are_in_the_file(path):
    card = {"steps": 20, "class_names": ["a", "b", "c"]}
    gradspike.export(model(), path, example=spikes(), name="yy", card=card, projections={"out": {"receptor": "signed"}})
    description = gradspike.open_network(path).description
    assert description["name"] == "yy" and description["model_card"]["class_names"] == ["a", "b", "c"]


def test_saving_again_keeps_name_and_card(path, tmp_path):
    gradspike.export(model(), path, example=spikes(), name="yy", card={"encoder": "latency"})
    network = gradspike.save(gradspike.load(path), tmp_path / "other.pt", example=spikes())
    assert network.name == "yy" and network.description["model_card"]["encoder"] == "latency"


def test_the_file_names_no_path_of_this_machine(path):
    gradspike.export(model(), path, example=spikes())
    with zipfile.ZipFile(path) as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(gradspike.__file__).parent).encode() not in text and b"stack_trace" not in text


def test_integers_that_differ_are_a_warning(path):
    gradspike.export(model(), path, example=spikes())

    def another_weight(name, content):
        return bytes(len(content)) if name.endswith("/weight_0") else content

    edited(path, path, another_weight)
    with pytest.warns(UserWarning, match="integers"):
        gradspike.load(path)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda name, content: None if name.endswith(".json") and "/models/" in name else content, "no program"),
        (lambda name, content: b"{" if name.endswith("/model.json") else content, "damaged"),
        (lambda name, content: b"%" if name.endswith("hidden.bin.base64") else content, "damaged"),
        (lambda name, content: b"{}" if name.endswith("gradspike/network.json") else content, "damaged"),
    ],
)
def test_a_damaged_file_is_refused_by_a_sentence(path, change, sentence):
    gradspike.export(model(), path, example=spikes())
    edited(path, path, change)
    with pytest.raises(ValueError, match=sentence) as caught:
        gradspike.load(path)
    assert "\n" not in str(caught.value)


def test_bad_arguments(path):
    with pytest.raises(ValueError, match="example"):
        gradspike.export(model(), path)
    with pytest.raises(TypeError, match="scripted"):
        gradspike.export(torch.jit.script(model()), path, example=spikes())
    hooked = model()
    hooked[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hook"):
        gradspike.export(hooked, path, example=spikes())
    assert not path.exists()


class Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = model()

    def forward(self, x):
        return self.layers(x) if float(x.sum()) > 1 else x


class BranchingBehind(Branching):
    def forward(self, x):
        y = self.layers(x)
        return y if float(y.sum()) > 1 else -y


def test_what_cannot_be_read_is_said_by_its_place(path):
    with pytest.raises(RuntimeError, match=r"^gradspike::graded_spikes in .*test_program.py:\d+ is inside a loop"):
        gradspike.export(Branching(), path, example=spikes())
    assert not path.exists()


def test_what_export_cannot_follow_is_said(path):
    """A network whose host code behind it decides by values, which `save` takes."""
    gradspike.chip.read(BranchingBehind())
    before = gradspike.chip.registered()
    with pytest.raises(RuntimeError, match="torch.export cannot follow the model"):
        gradspike.export(BranchingBehind(), path, example=spikes())
    assert not path.exists() and gradspike.chip.registered() == before


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def hostile(path, kind, target):
    def change(name, content):
        if kind == "sample inputs" and name.endswith("/sample_inputs/model.pt"):
            return pickle.dumps(Payload(target))
        if kind == "weight" and name.endswith("weights_config.json"):
            config = json.loads(content)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            return json.dumps(config).encode()
        if kind == "weight" and name.endswith("/weight_0"):
            return pickle.dumps(Payload(target))
        if kind == "expression" and name.endswith("/model.json"):
            command = f"__import__('pathlib').Path({str(target)!r}).touch()"
            return re.sub(rb'"expr_str": "[^"]*"', json.dumps({"expr_str": command})[1:-1].encode(), content)
        if kind == "operator" and name.endswith("/model.json"):
            program = json.loads(content)
            nodes = program["graph_module"]["graph"]["nodes"]
            nodes[0].update(
                target="torch.ops.aten.from_file.default",
                inputs=[
                    {"name": "filename", "arg": {"as_string": str(target)}, "kind": 1},
                    {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
                    {"name": "size", "arg": {"as_int": 100}, "kind": 1},
                ],
            )
            return json.dumps(program).encode()
        return content

    edited(path, path, change)


@pytest.mark.parametrize("kind", ["sample inputs", "weight", "expression", "operator"])
@pytest.mark.parametrize("opened", [gradspike.load, gradspike.open_network, gradspike.inspect])
def test_nothing_in_a_file_is_executed(path, tmp_path, kind, opened):
    gradspike.export(model(), path, example=spikes())
    target = tmp_path / "executed"
    hostile(path, kind, target)
    try:
        opened(path)
    except ValueError as error:
        assert "\n" not in str(error)
    assert not target.exists()


@pytest.mark.parametrize("shape", [(20, 1), (1, 3), (1, 1)])
def test_an_example_of_one_step_or_entry_leaves_sizes_free(path, shape):
    network = model()
    gradspike.export(network, path, example=spikes(*shape))
    assert torch.equal(gradspike.load(path)(spikes(9, 4)), network(spikes(9, 4)))


class WithHostCode(torch.nn.Module):
    def __init__(self, after):
        super().__init__()
        self.layers = model()
        self.after = after

    def forward(self, x):
        return self.after(self.layers(x))


HOST_CODE = {
    "sizes": lambda y: y.reshape(y.shape[0] * y.shape[1], 3) / y.shape[0],
    "index": lambda y: y[:, [0, 2]],
    "list": lambda y: y.split(2, -1)[1] + y.unbind(-1)[0].unsqueeze(-1),
    "infinity": lambda y: y.clamp(min=-float("inf"), max=float("inf")),
    "decoder": lambda y: y.amax(0) * 10.0,
}


@pytest.mark.parametrize("name", HOST_CODE)
def test_host_code_behind_the_network(path, name):
    network = WithHostCode(HOST_CODE[name])
    gradspike.export(network, path, example=spikes())
    assert torch.equal(gradspike.load(path)(spikes()), network(spikes()))


def test_a_loaded_program_changes_its_mode(path):
    gradspike.export(model(), path, example=spikes())
    loaded = gradspike.load(path, map_location=torch.device("cpu"))
    assert loaded.train().training and not loaded.eval().training
