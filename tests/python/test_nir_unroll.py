"""Convolutions and poolings written out as matrices."""

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

import gradspike
from gradspike.nir import NIRImportError, from_nir
from gradspike.nn import SparseSynapse
from nir_graphs import DT, cubali, cubalif, graph, simulate, spikes, weight


def shaped(node, *shape):
    """Neurons whose parameters have the shape of an image."""
    fields = {name: value.reshape(shape) for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    return type(node)(**fields)


def kernel(*shape):
    return np.random.default_rng(5).normal(0.3, 1.0, shape)


def image_network(padding=1, stride=2, bias=0.0):
    conv = nir.Conv2d((8, 6), kernel(4, 2, 3, 3), stride, padding, 1, 1, np.full(4, bias))
    nodes = {
        "in": nir.Input(np.array([2, 8, 6])),
        "conv": conv,
        "lif": shaped(cubalif(4 * 4 * 3), 4, 4, 3),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([0, 0])),
        "flat": nir.Flatten(None, 0),
        "fc": nir.Linear(weight(3, 4 * 2 * 2, 1)),
        "li": cubali(3),
        "out": nir.Output(np.array([3])),
    }
    edges = [
        ("in", "conv"),
        ("conv", "lif"),
        ("lif", "pool"),
        ("pool", "flat"),
        ("flat", "fc"),
        ("fc", "li"),
        ("li", "out"),
    ]
    return graph(nodes, edges)


def test_a_convolutional_network():
    made = image_network()
    module, report = from_nir(made, dt=DT, time_unit="s", conv="unroll", dtype=torch.float64)
    x = spikes(30, 2, 96)
    steps = x.reshape(60, 2, 8, 6)
    arriving = functional.conv2d(steps, torch.from_numpy(made.nodes["conv"].weight), stride=2, padding=1)
    node = cubalif(48)
    _, fired = simulate(node, arriving.reshape(30, 2, 48), "held", "s")
    pooled = 4 * functional.avg_pool2d(fired.reshape(60, 4, 4, 3), 2, (2, 1))
    membrane, _ = simulate(
        made.nodes["li"], pooled.reshape(30, 2, 16) @ torch.from_numpy(weight(3, 16, 1)).T, "held", "s"
    )
    torch.testing.assert_close(module(x), membrane, rtol=1e-9, atol=1e-9)
    assert fired.mean() > 0.02 and report.exact
    assert {n.name: n.status for n in report.nodes if n.type in ("Conv2d", "SumPool2d", "Linear")} == {
        "conv": "exact",
        "pool": "folded",
        "fc": "folded",
    }


@pytest.mark.parametrize(
    "padding, stride, dilation, groups", [(0, 1, 1, 1), (2, (2, 1), 1, 2), ("same", 1, 2, 1), ("valid", 1, 1, 1)]
)
def test_options_of_conv2d(padding, stride, dilation, groups):
    conv = nir.Conv2d((7, 5), kernel(4, 4 // groups, 3, 3), stride, padding, dilation, groups, np.zeros(4))
    x = torch.rand(3, 2, 4 * 35, dtype=torch.float64)
    expected = functional.conv2d(
        x.reshape(6, 4, 7, 5), torch.from_numpy(conv.weight), None, stride, padding, dilation, groups
    )
    made = nir.NIRGraph(
        {"in": nir.Input(np.array([4, 7, 5])), "c": conv, "out": nir.Output(None)},
        [("in", "c"), ("c", "out")],
        type_check=False,
    )
    module, _ = from_nir(made, dt=DT, time_unit="s", conv="unroll", dtype=torch.float64)
    torch.testing.assert_close(module(x), expected.reshape(3, 2, -1))


def test_conv1d_average_pooling_and_shapes_from_neighbours():
    nodes = {
        "in": nir.Input(np.array([2, 9])),
        "c": nir.Conv1d(None, kernel(3, 2, 4), 2, 1, 1, 1, np.zeros(3)),
        "out": nir.Output(None),
    }
    module, _ = from_nir(
        nir.NIRGraph(nodes, [("in", "c"), ("c", "out")], type_check=False),
        dt=DT,
        time_unit="s",
        conv="unroll",
        dtype=torch.float64,
    )
    x = torch.rand(3, 2, 18, dtype=torch.float64)
    expected = functional.conv1d(x.reshape(6, 2, 9), torch.from_numpy(nodes["c"].weight), stride=2, padding=1)
    torch.testing.assert_close(module(x), expected.reshape(3, 2, -1))
    nodes = {
        "in": nir.Input(np.array([2, 4, 6])),
        "s": nir.Scale(np.array(2.0)),
        "p": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1])),
        "out": nir.Output(None),
    }
    module, _ = from_nir(
        nir.NIRGraph(nodes, [("in", "s"), ("s", "p"), ("p", "out")], type_check=False),
        dt=DT,
        time_unit="s",
        conv="unroll",
        dtype=torch.float64,
    )
    x = torch.rand(3, 2, 48, dtype=torch.float64)
    torch.testing.assert_close(module(x), functional.avg_pool2d(2 * x.reshape(6, 2, 4, 6), 2, 2, 1).reshape(3, 2, -1))


def test_only_the_connections_of_the_kernel_exist():
    made = image_network()
    module, _ = from_nir(made, dt=DT, time_unit="s", conv="unroll", rounding="half_even")
    module(spikes(30, 2, 96).float()).sum().backward()
    assert not module.conv.weight.grad[~module.conv.mask].any() and 0.05 < module.conv.mask.float().mean() < 0.2
    large = nir.NIRGraph.from_list(
        nir.Conv2d((16, 16), kernel(1, 1, 2, 2), 1, 0, 1, 1, np.zeros(1)), shaped(cubalif(225), 1, 15, 15)
    )
    sparse, _ = from_nir(large, dt=DT, time_unit="s", conv="unroll", rounding="half_even")
    assert isinstance(sparse.conv2d, SparseSynapse) and sparse.conv2d.weight.numel() == 4 * 225
    x = spikes(30, 2, 256).float()
    assert torch.equal(gradspike.chip.read(sparse, x).run_model(x).outputs, sparse(x))


def test_a_bias_of_a_convolution_is_refused_as_any_other():
    with pytest.raises(NIRImportError, match="bias is not zero"):
        from_nir(image_network(bias=0.5), dt=DT, time_unit="s", conv="unroll")
    module, _ = from_nir(image_network(bias=0.5), dt=DT, time_unit="s", conv="unroll", bias="leak")
    plain, _ = from_nir(image_network(), dt=DT, time_unit="s", conv="unroll")
    assert (module.lif.leak > plain.lif.leak).all()


@pytest.mark.parametrize(
    "change, text",
    [
        ({"weight": np.ones((4, 2, 9, 9))}, "cannot be written out"),
        ({"stride": np.array([1, 1, 1])}, "stride must be 2 whole numbers"),
        ({"groups": 3}, "cannot be written out"),
        ({"input_shape": (0, 6)}, "cannot be written out"),
    ],
)
def test_what_cannot_be_written_out(change, text):
    made = image_network()
    for field, value in change.items():
        setattr(made.nodes["conv"], field, value)
    with pytest.raises(NIRImportError, match=text):
        from_nir(made, dt=DT, time_unit="s", conv="unroll")


def test_pooling_of_unknown_shape_and_files(tmp_path):
    nodes = {
        "in": nir.Input(np.array([16])),
        "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "out": nir.Output(None),
    }
    with pytest.raises(NIRImportError, match=r"must be channels and 2 dimensions, got shape \[16\]"):
        from_nir(
            nir.NIRGraph(nodes, [("in", "p"), ("p", "out")], type_check=False), dt=DT, time_unit="s", conv="unroll"
        )
    nir.write(tmp_path / "net.nir", image_network())
    x = spikes(30, 2, 96).float()
    modules = [
        from_nir(source, dt=DT, time_unit="s", conv="unroll").module
        for source in (tmp_path / "net.nir", image_network())
    ]
    assert torch.equal(modules[0](x), modules[1](x))
    assert "chip: fits one" in gradspike.nir.inspect(tmp_path / "net.nir", dt=DT, time_unit="s")
