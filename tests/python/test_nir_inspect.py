"""`gradspike inspect file.nir`, and the node map for nirtorch."""

import json

import nir
import numpy as np
import pytest
import torch

import gradspike
from commands import call
from gradspike.nir import NIRImportError, from_nir, hx_node_map, inspect, to_nir
from nir_graphs import DT, chain, cubali, cubalif, integrate_and_fire, li, lif, spikes, weight


@pytest.fixture
def saved(tmp_path):
    nir.write(
        tmp_path / "ms.nir",
        chain(nir.Linear(weight(120, 5)), cubalif(120, unit="ms"), nir.Linear(weight(3, 120)), cubali(3, unit="ms")),
    )
    nir.write(tmp_path / "bad.nir", chain(nir.Affine(weight(3, 5), np.ones(3)), lif(3)))
    nir.write(tmp_path / "large.nir", chain(nir.Linear(weight(600, 5)), cubalif(600)))
    (tmp_path / "text.nir").write_text("hello")
    return tmp_path


def test_nodes_units_and_the_chip(capsys, saved):
    code, out, _ = call(capsys, "inspect", saved / "ms.nir")
    assert code == 0 and out.startswith("NIR graph of 6 nodes and 5 edges\n")
    assert "CubaLIF  120      tau_syn 4.0" in out and "5 x 120" not in out and "120 x 5" in out
    assert (
        "time units: ms (0.00402 to 0.02 s, biological); us (4.02e-06 to 2e-05 s, as on the chip); steps" in out
        and "the file does not say" in out
    )
    assert "in ms (time_unit and dt assumed)" in out and out.endswith("  chip: fits one\n")


def test_refusals_and_notes(capsys, saved):
    code, out, _ = call(capsys, "inspect", saved / "bad.nir", "--dt", "1e-3", "--time-unit", "s")
    assert code == 0 and "refused as it stands:" in out and "bias='leak'" in out and "instant_synapse" in out
    assert "read with dt = 0.001 s in s\n" in out


def test_json(capsys, saved):
    code, out, _ = call(capsys, "inspect", saved / "bad.nir", "--json", "--preset", "norse")
    about = json.loads(out)
    assert code == 0 and (about["format"], about["version"], about["dt"], about["assumed"]) == (
        "gradspike.nir",
        1,
        1e-3,
        [],
    )
    assert {n["name"] for n in about["nodes"]} == {"affine", "input", "lif", "output"}
    assert [p["node"] for p in about["refused"]] == ["affine", "lif"] and about["fits"] is True


def test_what_does_not_fit(capsys, saved):
    _, out, _ = call(capsys, "inspect", saved / "large.nir", "--preset", "norse")
    assert "chip: does not fit one: gradspike check tells why" in out


def test_files_of_gradspike_say_their_units(tmp_path):
    model = torch.nn.Sequential(gradspike.nn.Synapse(5, 4), gradspike.nn.LIF(4))
    nir.write(tmp_path / "net.nir", to_nir(model, time_unit="us"))
    assert "read with dt = 1e-06 s in us\n" in inspect(tmp_path / "net.nir")


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("text.nir",), "text.nir"),
        (("text.nir", "--dt", "1"), "--dt is for graphs of NIR"),
        (("none.nir",), "there is no file"),
        (("ms.nir", "--dt", "0"), "must be a number of seconds above 0"),
        (("ms.nir", "--time-unit", "h"), "time_unit must be one of s, ms, us, steps, got 'h'"),
        (("ms.nir", "--preset", "x"), "preset must be one of"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(capsys, saved, arguments, text):
    code, out, err = call(capsys, "inspect", saved / arguments[0], *arguments[1:])
    assert code == 3 and not out and text in err and err.count("\n") == 1


# ---- nirtorch -------------------------------------------------------------------------------------------------------


def stepped(node_map, nodes, x):
    """What nirtorch does with a chain: one call per step and node, states handed on where `forward` takes one."""
    modules = [node_map[type(node)](node) for node in nodes]
    states = [None] * len(modules)
    results = []
    for row in x:
        for k, module in enumerate(modules):
            if "state" in module.forward.__code__.co_varnames:
                row, states[k] = module(row, states[k])
            else:
                row = module(row)
        results.append(row)
    return torch.stack(results)


@pytest.mark.parametrize("make", [cubalif, cubali, lif, li, integrate_and_fire])
def test_the_node_map_steps_as_the_import_runs(make):
    nodes = (nir.Linear(weight(3, 4)), make(3))
    options = {"dt": DT, "time_unit": "s", "lif": "instant_synapse"}
    x = spikes(40, 2, 4).float()
    module, _ = from_nir(chain(*nodes), **options)
    assert torch.equal(stepped(hx_node_map(**options), nodes, x), module(x))


def test_other_nodes_of_the_node_map():
    node_map = hx_node_map(dt=DT, time_unit="s", bias="add")
    x = torch.rand(2, 3)
    assert torch.equal(node_map[nir.Input](nir.Input(np.array([3])))(x), x)
    assert torch.equal(node_map[nir.Output](nir.Output(np.array([3])))(x), x)
    affine = nir.Affine(weight(2, 3), np.array([0.5, -0.5]))
    torch.testing.assert_close(
        node_map[nir.Affine](affine)(x), x @ torch.from_numpy(affine.weight).float().T + torch.tensor([0.5, -0.5])
    )
    torch.testing.assert_close(
        node_map[nir.Scale](nir.Scale(np.array([1.0, 2.0, 3.0])))(x), x * torch.tensor([1.0, 2.0, 3.0])
    )
    assert torch.equal(node_map[nir.Threshold](nir.Threshold(np.full(3, 0.5)))(x), (x > 0.5).float())


def test_the_node_map_refuses():
    node_map = hx_node_map(dt=DT, time_unit="s")
    with pytest.raises(NIRImportError, match="instant_synapse"):
        node_map[nir.LIF](lif(3))
    with pytest.raises(NIRImportError, match="gain r \\* w_in is not above 0"):
        node_map[nir.CubaLIF](cubalif(3, r=np.array([1.0, -1.0, 1.0])))
    assert nir.Conv2d not in node_map
