"""torch.save and torch.load of every module, and checkpoints that older versions wrote.

Each released version has a file data/state_dict_MAJOR_MINOR.pt: for every module of tests/python/layers.py its state,
an input and the output. To add one: python tests/python/test_checkpoints.py FILE
"""

import copy
import inspect
import io
import sys
from pathlib import Path

import pytest
import torch

import gradspike
from gradspike import nn
from layers import LAYERS, make, spikes

DATA = Path(__file__).parent / "data"
CHECKPOINTS = sorted(DATA.glob("state_dict_*.pt"))


def stored(path):
    return torch.load(path, weights_only=True)


def through_a_file(value, **options):
    content = io.BytesIO()
    torch.save(value, content)
    content.seek(0)
    return torch.load(content, **options)


def with_other_values(state):
    """Values that no module starts with."""
    return {
        name: value if value.dtype in (torch.bool, torch.int64) else torch.zeros_like(value)
        for name, value in state.items()
    }


def test_every_module_is_in_the_table():
    classes = {n for n in nn.__all__ if inspect.isclass(getattr(nn, n)) and issubclass(getattr(nn, n), torch.nn.Module)}
    assert classes == {word.strip() for name in LAYERS for word in name.split(" with ")[0].split(",")}


@pytest.mark.parametrize("name", LAYERS)
class TestRoundTrip:
    def test_whole_module(self, name):
        layer = make(name)
        loaded = through_a_file(layer, weights_only=False)
        assert type(loaded) is type(layer) and repr(loaded) == repr(layer)
        assert torch.equal(loaded(spikes()), layer(spikes()))

    def test_state(self, name):
        layer, other = make(name), make(name)
        other.load_state_dict(with_other_values(other.state_dict()))
        missing = other.load_state_dict(through_a_file(layer.state_dict(), weights_only=True))
        assert not missing.missing_keys and not missing.unexpected_keys
        assert torch.equal(other(spikes()), layer(spikes()))

    def test_state_is_the_same_after_a_run(self, name):
        layer = make(name)
        before = copy.deepcopy(layer.state_dict())
        layer(spikes())
        assert layer.state_dict().keys() == before.keys()
        assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())

    def test_on_the_meta_device_then_loaded(self, name):
        """What loaders of large checkpoints do: no memory before the file is read."""
        layer = make(name)
        if name == "PrepackedSynapse":
            pytest.skip("is made from weights, not constructed")
        other = make(name).to("meta")
        other.load_state_dict(through_a_file(layer.state_dict(), weights_only=True, mmap=False), assign=True)
        assert torch.equal(other(spikes()), layer(spikes()))


def test_training_goes_on_from_a_checkpoint():
    """Model and optimizer from a file continue with the bits of the run that was not stopped."""

    def step(model, optimizer):
        optimizer.zero_grad()
        model(spikes()).square().sum().backward()
        optimizer.step()

    torch.manual_seed(1)
    model = torch.nn.Sequential(nn.Synapse(5, 7), nn.LIF(7, tau_mem=torch.nn.Parameter(torch.tensor(1e-5))), nn.LI(7))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-7)
    step(model, optimizer)
    saved = through_a_file({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, weights_only=True)
    other = torch.nn.Sequential(nn.Synapse(5, 7), nn.LIF(7, tau_mem=torch.nn.Parameter(torch.tensor(2e-5))), nn.LI(7))
    continued = torch.optim.Adam(other.parameters(), lr=1e-7)
    other.load_state_dict(saved["model"])
    continued.load_state_dict(saved["optimizer"])
    step(model, optimizer)
    step(other, continued)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_wrong_shapes_are_refused_by_pytorch():
    with pytest.raises(RuntimeError, match=r"size mismatch for weight"):
        nn.Synapse(5, 8).load_state_dict(make("Synapse").state_dict())


class TestOlderVersions:
    def test_there_is_one_of_this_series(self):
        major, minor = gradspike.__version__.split(".")[:2]
        assert f"state_dict_{major}_{minor}.pt" in [path.name for path in CHECKPOINTS]

    @pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
    def test_files_are_small(self, path):
        assert path.stat().st_size < 100_000

    @pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
    def test_every_layer_gives_what_it_gave(self, path):
        layers = stored(path)["layers"]
        assert layers.keys() <= LAYERS.keys()
        for name, entry in layers.items():
            layer = make(name)
            layer.load_state_dict(with_other_values(layer.state_dict()))
            assert list(layer.state_dict()) == list(entry["state"]), name
            layer.load_state_dict(entry["state"])
            assert torch.equal(layer(entry["spikes"].float()), entry["output"]), name
            assert entry["output"].count_nonzero() > 0, name


def write(path):
    entries = {}
    for name in LAYERS:
        layer = make(name)
        with torch.no_grad():
            entries[name] = {
                "state": dict(layer.state_dict()),
                "spikes": spikes().to(torch.uint8),
                "output": layer(spikes()),
            }
    torch.save({"gradspike": gradspike.__version__, "torch": str(torch.__version__), "layers": entries}, path)


if __name__ == "__main__":
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]} exists: a checkpoint of a version that was released is never written again")
    write(sys.argv[1])
