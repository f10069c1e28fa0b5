"""Recipes of docs/recipes.md: Lightning, DataLoader workers, writers of curves."""

import copy
import pickle

import pytest
import torch

import gradspike
from gradspike import nn, tracking
from gradspike.datasets import YinYangDataset
from gradspike.examples.yinyang_training import YinYangNetwork, loss_of
from gradspike.transforms import CoordinatesToSpikes, LatencyEncoder, PoissonEncoder

ENCODER = CoordinatesToSpikes(38, 2e-6, 26e-6, 1e-6, 2e-6)


class Encoded:
    """Transform of a data set: spikes `[time, neuron]` of a point."""

    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, point):
        return self.encoder(torch.from_numpy(point).unsqueeze(0)).squeeze(1)


def collate(samples):
    spikes, classes = zip(*samples)
    return torch.stack(spikes, 1), torch.tensor(classes)


def loader(encoder, workers=0, start=None, size=24, **options):
    dataset = YinYangDataset(size=size, transform=Encoded(encoder))
    return torch.utils.data.DataLoader(
        dataset, 8, num_workers=workers, multiprocessing_context=start, collate_fn=collate, **options
    )


# ---- DataLoader ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_what_the_main_process_gives(start):
    network = YinYangNetwork()
    with torch.no_grad():
        network(torch.zeros(38, 1, 5))  # the operators have run before the fork
    batches = list(loader(ENCODER, 2, start))
    assert len(batches) == 3
    for (spikes, classes), (expected, labels) in zip(batches, loader(ENCODER)):
        assert torch.equal(spikes, expected) and torch.equal(classes, labels)
        assert network(spikes).shape == (8, 3)


class ThroughTheOperators(torch.nn.Module):
    """An encoder that runs layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layers = torch.nn.Sequential(ENCODER, nn.Synapse(5, 6), nn.LIF(6, membrane_capacitance=2e-6))

    def forward(self, coordinates):
        with torch.no_grad():
            return self.layers(coordinates)


def test_operators_run_in_forked_workers():
    encoder = ThroughTheOperators()
    expected = list(loader(encoder, size=8))
    (spikes, _), *_ = loader(encoder, 2, "fork", size=8)
    assert torch.equal(spikes, expected[0][0]) and spikes.count_nonzero() > 0


def test_random_encoders_in_workers():
    """The default generator differs between workers; one that an encoder holds is copied into each."""
    for generator, equal in ((None, False), (torch.Generator().manual_seed(3), True)):
        encoder = PoissonEncoder(200, generator=generator)
        batches = [spikes for spikes, _ in loader(AllTheSame(encoder), 2, "fork", size=16)]
        assert torch.equal(batches[0], batches[1]) is equal


class AllTheSame:
    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, coordinates):
        return self.encoder(torch.full_like(coordinates, 0.5))


@pytest.mark.parametrize("encoder", [ENCODER, LatencyEncoder(10, 1e-6, 9e-6), PoissonEncoder(10)])
def test_encoders_and_data_sets_can_be_pickled(encoder):
    dataset = pickle.loads(pickle.dumps(YinYangDataset(size=5, transform=Encoded(encoder))))
    assert len(dataset) == 5 and dataset[4][1] == YinYangDataset(size=5)[4][1]


# ---- Lightning -------------------------------------------------------------------------------------------------------


class Training:
    """What the recipe's module adds to its base class."""

    def __init__(self):
        super().__init__()
        self.network = YinYangNetwork()

    def training_step(self, batch, index):
        spikes, classes = batch
        loss = loss_of(self.network(spikes), classes)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=5e-3)


class Plain(Training, torch.nn.Module):
    """A stand-in for a LightningModule, with the loop of a trainer."""

    def log(self, name, value):
        self.__dict__.setdefault("logged", {}).setdefault(name, []).append(float(value.detach()))

    def fit(self, batches, epochs):
        optimizer = self.configure_optimizers()
        for _ in range(epochs):
            for index, batch in enumerate(batches):
                optimizer.zero_grad()
                self.training_step(batch, index).backward()
                optimizer.step()


def test_training_step_of_the_recipe(tmp_path):
    torch.manual_seed(1)
    module = Plain()
    module.fit(list(loader(ENCODER, size=64)), epochs=6)
    assert module.logged["loss"][-1] < 0.8 * module.logged["loss"][0]
    network = gradspike.save(module.network, tmp_path / "net.pt")
    assert [p["name"] for p in network.description["populations"]] == ["hidden", "readout"]
    torch.save(module.state_dict(), tmp_path / "module.ckpt")
    other = Plain()
    other.load_state_dict(torch.load(tmp_path / "module.ckpt", weights_only=True))
    assert torch.equal(other.network.hidden_synapse.weight, module.network.hidden_synapse.weight)


def test_lightning(tmp_path):
    try:
        import lightning
    except ImportError:
        lightning = pytest.importorskip("pytorch_lightning")

    class Module(Training, lightning.LightningModule):
        pass

    torch.manual_seed(1)
    module, plain = Module(), Plain()
    plain.load_state_dict(copy.deepcopy(module.state_dict()))
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, loader(ENCODER))
    plain.fit(list(loader(ENCODER)), epochs=2)
    for a, e in zip(module.parameters(), plain.parameters()):
        assert torch.equal(a, e)
    gradspike.save(module.network, tmp_path / "net.pt")


# ---- writers ---------------------------------------------------------------------------------------------------------


class Scalars:
    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, value, step):
        assert isinstance(value, (int, float))
        self.scalars[tag, step] = value


class Everything(Scalars):
    def __init__(self):
        super().__init__()
        self.histograms = {}

    def add_histogram(self, tag, values, step):
        self.histograms[tag, step] = values


def test_spikes_of_layers():
    network = torch.nn.Sequential(nn.Synapse(2, 4, scale=1.0), nn.LIF(4, name="hidden", membrane_capacitance=1e-7))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 0.0], [-9.0, 0.0]]))
    recorder = nn.Recorder(network)
    spikes = torch.zeros(6, 2, 2)
    spikes[0, 0, 0] = 1.0
    output = recorder(spikes)
    writer = Everything()
    tracking.write_spikes(writer, recorder, step=5)
    assert writer.scalars["firing rate/hidden", 5] == pytest.approx(output.mean().item())
    assert writer.scalars["silent/hidden", 5] == 0.75
    assert torch.equal(writer.histograms["spikes/hidden", 5], output.sum(0).mean(0))
    few = Scalars()
    tracking.write_spikes(few, recorder, step=5)
    assert few.scalars == writer.scalars


def test_weights_of_every_kind_of_projection():
    torch.manual_seed(1)
    network = torch.nn.ModuleDict(
        {
            "dense": nn.Synapse(5, 7, name="first"),
            "unrounded": nn.Synapse(5, 7, rounding="none"),
            "fused": nn.SynapseLIF(5, 7),
            "sparse": nn.SparseSynapse(torch.eye(5)),
            "recurrent": nn.RecurrentLIF(5, 7),
        }
    )
    writer = Everything()
    tracking.write_weights(writer, network, step=1)
    names = ["first", "fused", "recurrent_input", "recurrent_recurrent", "sparse", "unrounded"]
    assert sorted({tag.split("/")[1] for tag, _ in writer.scalars}) == names
    assert writer.scalars["clipped/first", 1] == network["dense"].statistics().clipped_fraction
    assert writer.scalars["rounded to zero/sparse", 1] == network["sparse"].statistics().to_zero_fraction
    assert all(tensor.dtype == torch.int8 for tensor in writer.histograms.values())
    wrapped = Everything()
    tracking.write_weights(wrapped, torch.compile(network, backend="aot_eager"), step=1)
    assert wrapped.scalars == writer.scalars


def test_report():
    writer = Scalars()
    network = torch.nn.Sequential(nn.Synapse(5, 600, name="wide"), nn.LIF(600))
    tracking.write_report(writer, gradspike.chip.check(network), step=2)
    assert writer.scalars["chip/misfits", 2] >= 1
    assert writer.scalars["chip/neuron circuits", 2] > 1.0
    assert 0.0 <= writer.scalars["chip/clipped/wide", 2] < 0.05


def test_refusals():
    recorder = nn.Recorder(torch.nn.Sequential(nn.Synapse(2, 4), nn.LIF(4)))
    with pytest.raises(ValueError, match="recorder must have run the model"):
        tracking.write_spikes(Scalars(), recorder, 0)
    for function in (tracking.write_spikes, tracking.write_weights, tracking.write_report):
        with pytest.raises(TypeError, match=rf"{function.__name__}: writer must have add_scalar.*, got list"):
            function([], recorder, 0)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        tracking.write_weights(writer, YinYangNetwork(), step=0)
    assert list(tmp_path.iterdir())
