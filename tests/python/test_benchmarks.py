"""The benchmarks at tiny sizes: what is checked before timing really rejects a wrong entry, and tables add up."""

import argparse
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from gradspike import _timing

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import bench_spiking  # noqa: E402
import hxtorch_loop  # noqa: E402
import layer  # noqa: E402
import loop  # noqa: E402
import measure  # noqa: E402
import network  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402
import tables  # noqa: E402

SIZES = layer.Sizes(12, 3, 20, 7)


@pytest.fixture
def options() -> argparse.Namespace:
    return argparse.Namespace(threads=1, quick=True, device="cpu", samples=3, budget=0.05)


@pytest.fixture
def no_peers(monkeypatch):
    monkeypatch.setattr(peers, "MAKERS", {})


@pytest.fixture
def tiny():
    return layer.make_layer(SIZES, 0.3)


class TestChecks:
    def test_one_differing_bit_is_counted(self):
        spikes = torch.zeros(4, 5)
        wrong = spikes.clone()
        wrong[1, 2] = -0.0
        assert measure.mismatches(spikes, spikes) == 0
        assert measure.mismatches(wrong, spikes) == 1

    def test_shapes_and_dtypes_must_agree(self):
        with pytest.raises(RuntimeError, match="expected"):
            measure.mismatches(torch.zeros(4), torch.zeros(4, 1))
        with pytest.raises(RuntimeError, match="expected"):
            measure.mismatches(torch.zeros(4, dtype=torch.float64), torch.zeros(4))

    def test_a_differing_spike_rejects(self):
        with pytest.raises(RuntimeError, match="someone: 1 of 4 entries differ"):
            measure.require_equal("someone", torch.ones(4), torch.tensor([1.0, 1.0, 0.0, 1.0]))

    @pytest.mark.parametrize("value", [1.001, float("nan")])
    def test_a_wrong_gradient_rejects(self, value):
        with pytest.raises(RuntimeError, match="gradient error"):
            measure.require_close("someone", torch.tensor([value]), torch.tensor([1.0]))

    def test_a_rate_off_by_more_than_a_tenth_rejects(self):
        assert measure.require_rate("someone", 0.0549, 0.05) == 0.0549
        with pytest.raises(RuntimeError, match="spike rate"):
            measure.require_rate("someone", 0.0551, 0.05)


class TestLayer:
    def test_operators_and_loops_pass(self, tiny, no_peers):
        runs, checks = layer.entries(tiny, [layer.LOOP, layer.HXTORCH], None, [])
        assert {layer.SEPARATE, layer.LOOP, layer.HXTORCH} <= set(runs)
        assert checks[layer.SEPARATE]["spikes that differ"] == 0
        assert 0 < checks["spike rate"] < 0.5

    def test_an_entry_with_one_wrong_spike_is_rejected(self, tiny, no_peers, monkeypatch):
        def wrong(own):
            spikes = layer.plain_loop(own)
            flipped = torch.zeros_like(spikes)
            flipped[-1, -1, -1] = 1.0 - 2.0 * spikes[-1, -1, -1].detach()
            return spikes + flipped

        monkeypatch.setitem(layer.LOOPS, layer.HXTORCH, wrong)
        with pytest.raises(RuntimeError, match="1 of 252 entries differ"):
            layer.entries(tiny, [layer.HXTORCH], None, [])

    def test_an_entry_with_a_wrong_gradient_is_rejected(self, tiny, no_peers, monkeypatch):
        def wrong(own):
            spikes = layer.plain_loop(own)
            return spikes + 0.01 * (spikes - spikes.detach())

        monkeypatch.setitem(layer.LOOPS, layer.HXTORCH, wrong)
        with pytest.raises(RuntimeError, match="gradient error 0.0"):
            layer.entries(tiny, [layer.HXTORCH], None, [])

    def test_a_library_that_does_not_loop_over_time_is_skipped_with_the_reason(self, tiny, monkeypatch):
        def one_step(x, threshold):
            return (x > threshold).to(x.dtype)

        monkeypatch.setattr(
            peers, "available", lambda skipped, libraries: {"Fake": peers.Peer("Fake 1", one_step, one_step)}
        )
        skipped = []
        runs, _ = layer.entries(tiny, [], None, skipped)
        assert "Fake 1" not in runs
        assert any(reason.startswith("Fake 1: Fake 1:") for reason in skipped)

    def test_a_library_that_loops_takes_part(self, tiny, monkeypatch):
        fake = peers.Peer("Fake 1", peers.reference, lambda x: x)
        monkeypatch.setattr(peers, "available", lambda skipped, libraries: {"Fake": fake})
        runs, checks = layer.entries(tiny, [], None, [])
        assert "Fake 1" in runs and checks["Fake 1"]["spikes that differ"] == 0

    def test_times_cover_all_entries(self, tiny, no_peers, options):
        runs, _ = layer.entries(tiny, [layer.LOOP], None, [])
        times = layer.timed(SIZES, 0.3, runs, tiny, options)
        for kind in ("forward", "forward and backward"):
            assert set(times[kind]) == set(runs)
            for clocks in times[kind].values():
                assert 0 < clocks["cpu_ms"]["minimum"] <= clocks["cpu_ms"]["median"]


def test_a_missing_library_is_skipped_with_the_reason(monkeypatch, capsys):
    def missing():
        raise ImportError("no module of that name")

    monkeypatch.setattr(peers, "MAKERS", {"SpikingJelly": missing})
    skipped = []
    assert peers.available(skipped) == {}
    assert skipped == ["SpikingJelly: ImportError: no module of that name"]
    assert "skipped SpikingJelly" in capsys.readouterr().out


def test_loops_agree_bit_for_bit():
    x = torch.randn(30, 2, 9, generator=torch.Generator().manual_seed(0)) * 3
    expected = loop.lif(x, 8e-6, 6e-6, 9e-6, 1e-6)
    assert expected.sum() > 0
    assert torch.equal(hxtorch_loop.lif(x, 8e-6, 6e-6, 9e-6, 1e-6)[0], expected)


def test_recurrent_loop_without_recurrence_is_the_plain_loop(tiny):
    none = torch.zeros(SIZES.neurons, SIZES.neurons)
    spikes = loop.recurrent_lif(tiny.spikes, tiny.weight, none, layer.SCALE, *[layer.TAU] * 3, layer.DT)
    assert torch.equal(spikes, layer.plain_loop(tiny))


def test_networks_are_checked_and_trained(no_peers):
    generator = torch.Generator().manual_seed(0)
    weights = [(torch.rand(*shape, generator=generator) * 0.9).requires_grad_() for shape in ((6, 5), (3, 6))]
    spikes = (torch.rand(12, 4, 5, generator=generator) < 0.4).float()
    own = network.Network(*weights, (64.0, 64.0), 6e-6, 1e-5, 10.0, spikes, torch.tensor([0, 1, 2, 0]))
    runs, checks = network.entries(own, [layer.LOOP], None, [])
    assert checks[layer.SEPARATE]["scores that differ"] == 0
    before = own.hidden.detach().clone()
    for scores in runs.values():
        network.make_step(own, scores, peer=False)()
    assert torch.equal(own.hidden, before), "steps train copies"


def test_slow_entries_get_fewer_samples(options):
    options.samples, options.budget = 9, 0.03
    times = measure.interleaved({"slow": lambda: sum(range(5_000_000)), "fast": lambda: None}, options)
    assert len(times["fast"]["cpu_ms"]["samples"]) > len(times["slow"]["cpu_ms"]["samples"]) >= _timing.FEWEST_SAMPLES


def test_rows_say_whether_targets_are_met():
    assert measure.row("case", "base", 2.0, at_least=1.5)["met"] is True
    assert measure.row("case", "base", 1.4, at_least=1.5)["met"] is False
    assert measure.row("case", "base", 0.4, at_most=0.35)["met"] is False
    assert "met" not in measure.row("case", "base", 0.4)
    times = {"a": {"cpu_ms": {"minimum": 6.0}}, "b": {"cpu_ms": {"minimum": 2.0}}}
    assert measure.ratio_row("case", times, "a", "b", "cpu_ms")["measured"] == 3.0


def test_results_become_tables(options, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    for threads, value in ((1, 7.0), (2, 4.0)):
        options.threads = threads
        rows = [measure.row("layer", "a loop", value, "x", 6.0, 5.0), measure.row("layer", "own time", 1.5, "ms")]
        measure.write("layer", options, {}, rows, {"samples": [1.0, 2.0]}, ["Norse: absent"])
    assert json.loads((tmp_path / "layer_1_thread.json").read_text())["details"]["samples"] == [1.0, 2.0]
    text = tables.write_all()
    assert "| layer | a loop | x | 6 | 7 (met) | 4 (MISSED) | >= 5 |" in text
    assert "1 of 2 targets are met" in text and "- Norse: absent" in text
    assert "own time" not in text and "own time" in (tmp_path / "layer.md").read_text()
    assert "target >= 5, MISSED" in capsys.readouterr().out


@pytest.mark.parametrize("name", run.NAMES)
def test_every_benchmark_finds_what_it_imports(name):
    assert callable(importlib.import_module(f"bench_{name}").main)


def test_every_benchmark_is_run():
    files = {path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")}
    assert files == set(run.NAMES)
    assert {*run.ONE_THREAD, *run.GPU} <= files
    commands = run.commands(list(run.NAMES), [1, 2], quick=False, gpu=True)
    assert sum("cuda" in command for command in commands) == len(run.GPU)


@pytest.mark.slow
# Dynamo reads .grad of every input and instantiates the function whose gradient it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_the_compiled_loop_gives_the_same_bits(tiny, no_peers):
    _, checks = layer.entries(tiny, [layer.COMPILED], None, [])
    assert checks[layer.COMPILED]["spikes that differ"] == 0


class TestSpiking:
    @pytest.fixture
    def data(self):
        return bench_spiking.example.load_data(20, 1)

    @pytest.mark.parametrize("eventprop", [False, True])
    def test_layer_operators_and_loops_pass(self, eventprop, data):
        checks = bench_spiking.check(bench_spiking.make_models(eventprop), data)
        for name in (bench_spiking.LAYER, bench_spiking.PLAIN, bench_spiking.COMPILED_TEXT):
            assert checks[name]["spikes that differ"] == 0
        assert 0.005 < checks["hidden spikes per neuron and step"] < 0.5

    def test_a_loop_without_refractory_time_is_rejected(self, data, monkeypatch):
        monkeypatch.setattr(bench_spiking, "REFRACTORY_TIME", 5e-6)  # of operators and loops, not of the layer
        with pytest.raises(RuntimeError, match="gradspike.spiking: .* differ from the reference loop"):
            bench_spiking.check(bench_spiking.make_models(False), data)

    def test_steps_leave_the_weights_nearly_alone(self, data):
        models = bench_spiking.make_models(False)
        before = models[bench_spiking.LAYER].hidden_synapse.weight.detach().clone()
        for model in models.values():
            bench_spiking.make_step(model, data)()
        after = models[bench_spiking.LAYER].hidden_synapse.weight.detach()
        assert 0 < (after - before).abs().max() < 1e-5

    def test_added_time_and_connections_become_rows(self, options):
        details, checks = {}, {}
        rows = bench_spiking.overheads(options, details) + bench_spiking.connections(options, checks, details)
        assert [row["unit"] for row in rows] == ["us", "us", "ms", "ms", "x"]
        assert checks["connections compared"] == 256 * 512
