"""Reading projections whose operator keeps no matrix: lists of connections and packed integers."""

import pytest
import torch
from torch import Tensor

from gradspike import chip, nn
from gradspike import functional as F
from reading import SPIKES, one_sentence, require_bits


def sparse(**options) -> nn.SparseSynapse:
    chosen = torch.rand(5, 8, generator=torch.Generator().manual_seed(4)) < 0.4
    chosen[4] = False  # the last input has no connection
    return nn.SparseSynapse(chosen, **{"scale": 16.0, **options})


def test_a_sparse_projection_is_one_with_a_mask():
    synapse = sparse(name="in")
    mask = synapse.to_dense().detach() != 0
    model = torch.nn.Sequential(synapse, nn.LIF(8, name="hidden", threshold=0.2))
    dense = torch.nn.Sequential(nn.Synapse(5, 8, name="in", scale=16.0, mask=mask), model[1])
    dense[0].weight.data = synapse.to_dense().detach()
    network = chip.read(model)
    description, integers, mapping = network.description, network.integers()["in"], network.map()
    other = chip.read(dense)
    assert description == other.description
    assert torch.equal(integers, other.integers()["in"])
    assert torch.equal(other.weights()["in"], synapse.to_dense())
    assert mapping == other.map()


SPARSE_OPTIONS = {
    "plain": {},
    "lsb": {"units": "lsb"},
    "excitatory": {"receptor": "excitatory"},
    "stacked": {"min_weight": -126, "max_weight": 126, "scale": 64.0},
    "half away": {"rounding": "half_away"},
    "transform": {"transform": torch.nn.Softplus()},
    "half precision": {"dtype": torch.float16},
}


@pytest.mark.parametrize("name", sorted(SPARSE_OPTIONS))
def test_a_sparse_projection_has_the_bits_of_the_operator(name):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        sparse(**SPARSE_OPTIONS[name]), nn.LIF(8, threshold=0.1), sparse_back(), nn.LIF(5, threshold=0.1)
    )
    require_bits(model, SPIKES)


def sparse_back() -> nn.SparseSynapse:
    return nn.SparseSynapse(torch.ones(8, 5).tril(), scale=16.0)


def test_the_size_of_a_sparse_input_comes_from_the_module_or_the_example():
    model = torch.nn.Sequential(sparse(name="in"), nn.LIF(8))
    assert chip.read(model).description["inputs"] == [{"name": "input0", "size": 5}]
    values, connections = model[0].weight, model[0].connections

    def net(spikes):
        return F.lif(
            F.sparse_graded_spikes(spikes, values, connections, 8, 16.0, projection="in"), threshold=0.2
        ).spikes

    assert chip.read(net, SPIKES).description["inputs"] == [{"name": "input0", "size": 5}]
    wider = torch.cat([SPIKES, SPIKES], 2)
    assert chip.read(net, wider).description["inputs"] == [{"name": "input0", "size": 10}]
    require_bits(net, wider)
    values = values.detach()
    with pytest.raises(ValueError, match="example"):
        chip.read(torch.jit.trace(net, SPIKES, check_trace=False))


def test_report_of_a_sparse_projection_counts_existing_connections():
    model = torch.nn.Sequential(sparse(name="in"), nn.LIF(8))
    entry = chip.check(model).data["weights"]["in"]
    statistics = model[0].statistics()
    assert entry["count"] == model[0].weight.numel()
    assert entry["rounded_to_zero"] == statistics.to_zero
    empty = torch.nn.Sequential(nn.SparseSynapse(torch.zeros(5, 8)), nn.LIF(8))
    assert chip.check(empty).data["weights"]["0"]["count"] == 0


def test_a_sparse_weight_that_is_nan_is_named_by_its_neurons():
    model = torch.nn.Sequential(sparse(name="in"), nn.LIF(8))
    post, pre = model[0].connections[:, 3].tolist()
    with torch.no_grad():
        model[0].weight[3] = float("nan")
    with pytest.raises(RuntimeError, match=rf"projection 'in': weight\[{post}, {pre}\] is NaN"):
        chip.deploy(model)


def test_a_change_of_the_connections_after_reading_is_refused():
    synapse = nn.SparseSynapse(torch.eye(5), name="in", scale=16.0)
    with torch.no_grad():
        synapse.weight.fill_(1.0)
    network = chip.read(torch.nn.Sequential(synapse, nn.LIF(5)))
    synapse.connections[1] = synapse.connections[1].flip(0)
    with pytest.raises(RuntimeError, match='projection "in".*a connection that the mask removes'):
        network.deploy()


def index_outside(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values, self.index + 4, 8, projection="in"))


def index_unsorted(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values, self.index.flip(1), 8, projection="in"))


def index_of_the_input(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values, self.index + x.size(0), 8, projection="in"))


def float64_values(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values.double(), self.index, 8, projection="in"))


def huge(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values, self.index, 2147483647, projection="in"))


def unnamed(self, x: Tensor) -> Tensor:
    return self.lif(F.sparse_graded_spikes(x, self.values, self.index, 8))


def two_lists_of_one_name(self, x: Tensor) -> Tensor:
    first = F.sparse_graded_spikes(x, self.values, self.index, 8, projection="in")
    return self.lif(first + F.sparse_graded_spikes(x, self.values, self.other, 8, projection="in"))


REFUSED_SPARSE = [
    (index_outside, ("connections", "[out_features, in_features] = [8, 5]")),
    (index_unsorted, ("connections", "sorted")),
    (index_of_the_input, ("'in'", "depends on the input")),
    (float64_values, ("'in'", "float64")),
    (huge, ("out_features", "67108864", "2147483647")),
    (unnamed, ("no name", "projection=")),
    (two_lists_of_one_name, ("'in'", "different weights")),
]


@pytest.mark.parametrize(("forward", "words"), REFUSED_SPARSE, ids=[forward.__name__ for forward, _ in REFUSED_SPARSE])
def test_refused_sparse_projections(forward, words):
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = nn.LIF(8)
            self.values = torch.nn.Parameter(torch.ones(3))
            self.register_buffer("index", torch.tensor([[0, 1, 2], [0, 1, 2]]))
            self.register_buffer("other", torch.tensor([[0, 1, 2], [0, 1, 3]]))

    Model.forward = forward
    with pytest.raises(RuntimeError) as caught:
        chip.read(Model(), None if forward is index_of_the_input else SPIKES, network="refused")
    text = one_sentence(caught.value)
    for word in words:
        assert word in text, text


# ---- prepacked_graded_spikes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (-315, 315)])
@pytest.mark.parametrize("scale", [16.0, 21.7, 0.3])
def test_packed_weights_are_the_integers_of_the_synapse(bounds, scale):
    synapse = nn.Synapse(5, 8, name="in", scale=scale, min_weight=bounds[0], max_weight=bounds[1])
    with torch.no_grad():
        synapse.weight.normal_(0.0, 40.0 / scale)
    neurons = nn.LIF(8, name="hidden", threshold=0.5)
    packed = torch.nn.Sequential(synapse.prepacked(), neurons)
    network, other = chip.read(packed), chip.read(torch.nn.Sequential(synapse, neurons))
    assert network.description == other.description
    assert torch.equal(network.integers()["in"], other.integers()["in"])
    require_bits(packed, SPIKES)


def test_nothing_is_lost_of_packed_weights():
    synapse = nn.Synapse(5, 8, scale=3.0)
    with torch.no_grad():
        synapse.weight.mul_(100.0)  # most of them clip
    entry = chip.check(torch.nn.Sequential(synapse.prepacked(), nn.LIF(8))).data["weights"]["0"]
    assert (entry["clipped"], entry["rounded_to_zero"], entry["rms_rounding_error"]) == (0, 0, 0.0)


def test_packed_weights_that_are_nan_are_refused():
    synapse = nn.Synapse(5, 8, scale=16.0)
    with torch.no_grad():
        synapse.weight[6, 2] = float("nan")
    with pytest.raises(RuntimeError, match=r"projection '0': weight\[6, 0\] is NaN"):
        chip.deploy(torch.nn.Sequential(synapse.prepacked(), nn.LIF(8)))
