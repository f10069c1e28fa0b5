"""The report: fields and schema, time recovered from coefficients, the check run, text, commands and exit codes."""

import io
import json
import pickle
import re

import pytest
import torch

import gradspike
from commands import call
from gradspike import chip, nn
from gradspike.chip import _terminal
from json_schema import errors

YINYANG = "python/gradspike/examples/data/yinyang.pt"
SPIKES_CSV = "python/gradspike/examples/data/yinyang_in.csv"
STEPS, BATCH = 30, 8
V1 = {
    "approximations", "chips", "exit_code", "format", "misfits", "network", "provenance", "resources",
    "runs_per_sample", "target", "verdict", "version", "weights",
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_the_source_tree(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)


def network(rounding="half_even", gain=1.0, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        nn.Synapse(5, 20, name="hidden", scale=24, rounding=rounding),
        nn.LIF(20, name="hidden", tau_mem=8e-6, tau_syn=torch.linspace(4e-6, 6e-6, 20), refractory_time=3e-6),
        nn.Synapse(20, 3, name="readout", scale=32, rounding=rounding),
        nn.LI(3, name="readout"),
    )
    torch.nn.init.normal_(model[0].weight, 0.8 * gain, 0.5)
    return model


def spikes(rate=0.15):
    torch.manual_seed(3)
    return (torch.rand(STEPS, BATCH, 5) < rate).float()


def too_large():
    """A recurrent layer cannot be cut into execution instances."""
    return torch.nn.Sequential(nn.RecurrentLIF(300, 400, name="hidden"))


def require_schema(report):
    assert errors(report.data, chip.Report.schema(), chip.Report.schema()) == []
    assert json.loads(report.to_json()) == report.data


def test_reports_follow_the_schema(tmp_path):
    gradspike.save(network(), tmp_path / "net.pt", network=tmp_path / "net.json")
    reports = [
        chip.check(network()),
        chip.check(too_large()),
        chip.check(network("none"), target="emulator analog preset=calibrated seed=4"),
        gradspike.open_network(YINYANG).check(),
        gradspike.open_network(tmp_path / "net.json").check(),
        chip.deploy(network(), preset="noiseless")(spikes()).report,
        chip.map(network()).report,
        chip.report(network(), spikes(), torch.zeros(BATCH, dtype=torch.int64), seeds=2),
        chip.report(too_large(), torch.zeros(4, 2, 300)),
    ]
    for report in reports:
        require_schema(report)
    assert errors({**reports[0].data, "chips": 0, "more": 1}, chip.Report.schema(), chip.Report.schema()) == [
        "$.chips: 0 is too small",
        "$: 'more' is not known",
    ]


def test_fields_of_earlier_versions_stay():
    data = chip.check(network()).data
    assert V1 | {"projections", "time", "conventions", "check_run"} | {"calibration", "since"} == set(data)
    assert data["version"] == 3 and (data["check_run"], data["since"]) == (None, None)
    assert list(data["projections"]) == list(data["time"]["populations"]) == ["hidden", "readout"]


def calibration_of(model, **options):
    report = chip.check(model, **options)
    require_schema(report)
    entries = {(e["population"], e["parameter"]): e for e in report.data["calibration"]["parameters"]}
    return report, entries


def test_parameters_within_the_calibratable_range():
    report, entries = calibration_of(network())
    assert set(entries) == {
        *(("hidden", name) for name in ("tau_mem", "tau_syn", "refractory_time", "leak", "reset", "threshold")),
        *(("readout", name) for name in ("tau_mem", "tau_syn", "leak")),
    }
    assert {entry["state"] for entry in entries.values()} == {"reached"} and report.misfits == []
    entry = entries["hidden", "tau_syn"]
    assert (entry["minimum"], entry["maximum"], entry["unit"]) == (0.3e-6, 30e-6, "s")
    assert entry["wanted"] == pytest.approx([4e-6, 6e-6], rel=1e-5) and entry["outside"] == 0
    assert entries["hidden", "threshold"]["wanted"] == [125.0, 125.0]  # 80 + 45 * 1
    assert "calix" in report.data["calibration"]["source"]


def test_what_no_calibration_sets_is_a_loss_on_the_emulator_and_a_misfit_of_a_chip():
    model = network()
    model[1] = nn.LIF(20, name="hidden", tau_mem=torch.tensor([8e-6] * 17 + [80e-6] * 3))
    report, entries = calibration_of(model)
    assert (entries["hidden", "tau_mem"]["outside"], entries["hidden", "tau_mem"]["neurons"]) == (3, 20)
    (misfit,) = report.misfits
    assert (misfit["layer"], misfit["need"], misfit["limit"]) == ("hidden", 3, 0) and not misfit["blocks_mapping"]
    assert misfit["quantity"] == "neurons whose tau_mem no calibration sets"
    assert misfit["remedy"] == "tau_mem is 8 us..80 us and can be set to 500 ns..60 us: train with values in this range"
    assert report.verdict == "fits with losses"
    assert chip.deploy(model)(spikes()).spikes["hidden"].shape == (STEPS, BATCH, 20)
    assert report.to_html().count("unreachable") == 1


@pytest.mark.parametrize(
    ("settings", "parameter", "state", "words"),
    [
        ({"tau_mem": 10e-3, "tau_syn": 5e-3, "dt": 1e-3}, "tau_mem", "unreachable", "train with dt and time constants"),
        ({"refractory_time": 40e-6}, "refractory_time", "unreachable", "is 40 us and can be set to 40 ns..32 us"),
        ({"refractory_time": 0.0}, "refractory_time", "nearest", "the chip takes its shortest"),
        ({"refractory_time": 20e-9, "dt": 20e-9}, "refractory_time", "unreachable", "is 20 ns"),
        ({"threshold": 4.0}, "threshold", "other units", "threshold is 260 LSB and can be set to 50..220 LSB"),
        ({"leak": -1.0}, "leak", "other units", "leak is 35 LSB"),
    ],
)
def test_parameters_out_of_range(settings, parameter, state, words):
    model = torch.nn.Sequential(nn.Synapse(5, 4, name="in"), nn.LIF(4, name="hidden", **settings))
    report, entries = calibration_of(model)
    entry = entries["hidden", parameter]
    assert (entry["state"], entry["outside"]) == (state, 4) and words in entry["remark"]
    named = [m["layer"] for m in report.misfits if parameter in m["quantity"]]
    assert named == (["hidden"] if state == "unreachable" else [])
    warned = [line for line in report.text.splitlines() if "warning: hidden: " in line]
    assert len(warned) == (state == "other units")
    assert state in report.text and state in report.to_html()


def test_a_current_that_does_not_decay_has_no_time_constant():
    model = torch.nn.Sequential(nn.Synapse(5, 4, name="in"), nn.LIF(4, name="hidden", tau_syn=1e3))
    report, entries = calibration_of(model)
    assert entries["hidden", "tau_syn"]["wanted"] == [None, None] and "tau_syn is infinite and can" in report.text
    assert entries["hidden", "tau_syn"]["state"] == "unreachable"


def test_layers_scale_histogram_and_hash():
    model = network()
    handle = chip.read(model)
    data = handle.check().data["projections"]
    for name, synapse in (("hidden", model[0]), ("readout", model[2])):
        layer, integers = data[name], handle.integers()[name]
        assert layer["scale"] == synapse.scale and (layer["min_weight"], layer["max_weight"]) == (-63, 63)
        counts = {layer["histogram"]["first"] + k: n for k, n in enumerate(layer["histogram"]["counts"]) if n}
        values, occurrences = integers.unique(return_counts=True)
        assert counts == dict(zip(values.tolist(), occurrences.tolist()))
        assert layer["hash"] == f"{synapse.statistics().hash:016x}"
    assert data["hidden"]["sources"] == ["input0"] and data["hidden"]["target"] == "hidden"
    assert data["readout"]["sources"] == ["hidden"]


def test_time_constants_are_those_of_the_modules():
    time = chip.check(network()).data["time"]
    hidden, readout = time["populations"]["hidden"], time["populations"]["readout"]
    assert time["dt"] == 1e-6 and time["unit"] == "s" and time["steps"] is None
    assert hidden["tau_mem"] == pytest.approx([8e-6, 8e-6], rel=1e-5)
    assert hidden["tau_syn"] == pytest.approx([4e-6, 6e-6], rel=1e-5)
    assert hidden["refractory_time"] == pytest.approx([3e-6, 3e-6])
    assert hidden["threshold"] == [1.0, 1.0] and "threshold" not in readout
    assert readout["tau_mem"] == pytest.approx([1e-5, 1e-5], rel=1e-5)


def test_provenance_names_versions_and_hashes_and_no_paths():
    deployed = chip.deploy(network(), preset="calibrated", seed=7)
    provenance = deployed.report.data["provenance"]
    assert provenance["gradspike"] == gradspike.__version__ and provenance["torch"] == torch.__version__
    assert (provenance["preset"], provenance["seed"]) == ("calibrated", "7")
    for name in ("network hash", "mapping hash", "weights of hidden", "weights of readout"):
        assert re.fullmatch("[0-9a-f]{16}", provenance[name]), name
    assert not any("/" in value for value in provenance.values())
    other = chip.check(network(gain=0.5)).data["provenance"]
    assert other["mapping hash"] == provenance["mapping hash"]
    assert other["weights of hidden"] != provenance["weights of hidden"]
    assert "mapping hash" not in chip.check(too_large()).data["provenance"]


def test_weights_that_are_nan_leave_no_histogram():
    model = network()
    handle = chip.read(model)
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    try:
        report = handle.check()
    except RuntimeError as error:
        assert "hidden" in str(error)
    else:
        assert report.data["projections"]["hidden"]["histogram"] is None
        require_schema(report)
        report.to_html()


def test_check_run_side_by_side():
    labels = torch.arange(BATCH) % 3
    run = chip.report(network(), spikes(), labels, seeds=3, seed=5).check_run
    float_run, integer, ideal, analog = run["variants"]
    assert [v["name"] for v in run["variants"]] == ["float", "integer", "ideal", "calibrated"]
    assert (run["samples"], run["steps"], run["skipped"]) == (BATCH, STEPS, {})
    assert analog["seeds"] == [5, 6, 7] and len(analog["accuracies"]) == 3
    assert analog["accuracy"]["spread"] == pytest.approx(torch.tensor(analog["accuracies"]).double().std().item())
    assert integer["accuracy"] == ideal["accuracy"] and integer["accuracy"]["spread"] is None
    for variant, rounding in ((float_run, "none"), (integer, "half_even")):
        model = network(rounding)
        fired = model[1](model[0](spikes()))
        assert variant["layers"]["hidden"]["rate"]["mean"] == pytest.approx(fired.mean().item())
        assert variant["layers"]["hidden"]["silent_neurons"] == (fired.sum((0, 1)) == 0).sum()
        decided = model(spikes()).amax(0).argmax(1)
        assert variant["accuracy"]["mean"] == pytest.approx((decided == labels).float().mean().item())


def test_first_differing_step_of_each_pair():
    run = chip.report(network(), spikes(), seeds=1).check_run
    pairs = {(pair["first"], pair["second"]): pair["layers"] for pair in run["pairs"]}
    assert len(pairs) == 6
    assert pairs["integer", "ideal"]["hidden"]["differing"] == pairs["integer", "ideal"]["readout"]["differing"] == 0
    assert pairs["integer", "ideal"]["hidden"]["first_differing_step"] is None
    a, b = (model[1](model[0](spikes())) for model in (network("none"), network()))
    unequal = (a != b).flatten(1).any(1).nonzero()
    found = pairs["float", "integer"]["hidden"]
    assert len(unequal) > 0, "the inputs of this test must tell float from integer weights"
    assert found["first_differing_step"] == int(unequal[0]) and found["differing"] == int((a != b).sum())
    assert found["rate_change"] == pytest.approx((b.sum() / a.sum() - 1).item(), abs=1e-6)
    stacked = torch.stack([a.sum(0).flatten(), b.sum(0).flatten()])
    assert found["count_correlation"] == pytest.approx(torch.corrcoef(stacked)[0, 1].item(), abs=1e-5)


def test_the_model_stays_as_it_is():
    model, inputs = network(), spikes()
    before = model(inputs)
    chip.clear()
    handle = chip.read(model)
    chip.report(handle, inputs, seeds=1)
    chip.report(model, inputs, seeds=1)
    assert torch.equal(model(inputs), before)
    assert not any("float" in key for key in map(str, chip.registered()))
    scripted = torch.jit.script(model.eval())
    chip.report(scripted, inputs, seeds=1)
    assert torch.equal(scripted(inputs), before)


def test_silent_and_saturated_layers():
    quiet = chip.report(network(gain=0.01), spikes(0.02), seeds=1)
    assert quiet.check_run["variants"][1]["layers"]["hidden"]["state"] == "silent"
    assert any("layer 'hidden' is silent on integer" in text for text in quiet.check_run["warnings"])
    assert "silent" in quiet.text
    loud = chip.report(network(), spikes(), seeds=1, saturated_above=1e-3).check_run
    assert loud["variants"][1]["layers"]["hidden"]["state"] == "saturated"
    assert loud["variants"][1]["layers"]["readout"]["state"] == "no spikes"


def test_what_cannot_run_is_named(tmp_path):
    gradspike.save(network(), network=tmp_path / "net.json")
    run = chip.report(gradspike.open_network(tmp_path / "net.json"), spikes(), torch.zeros(BATCH).long()).check_run
    assert list(run["skipped"]) == ["float", "integer"] and "code of the model" in run["skipped"]["float"]
    assert "network file holds no model" in run["skipped"]["integer"]
    assert run["variants"][0]["accuracy"] is not None
    report = chip.report(too_large(), torch.zeros(4, 2, 300))
    assert set(report.check_run["skipped"]) == {"ideal", "calibrated"} and report.exit_code == 2
    assert [v["name"] for v in report.check_run["variants"]] == ["float", "integer"]
    assert "calibrated did not run" in report.text


def test_ideal_preset_runs_once_and_decoders_decide():
    labels = torch.ones(BATCH, dtype=torch.int64)
    run = chip.report(network(), spikes(), labels, preset="ideal", decoder=lambda out: -out.amax(0)).check_run
    assert [v["name"] for v in run["variants"]] == ["float", "integer", "ideal"]
    decided = (-network()(spikes()).amax(0)).argmax(1)
    assert run["variants"][1]["accuracy"]["mean"] == pytest.approx((decided == 1).float().mean().item())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seeds": 0}, ValueError, "seeds must be at least 1, got 0"),
        ({"seeds": 1.0}, TypeError, "seeds must be of type int, got float"),
        ({"labels": torch.zeros(3).long()}, ValueError, r"labels must be integers of shape \[batch\] = \[8\]"),
        ({"labels": torch.zeros(BATCH)}, ValueError, "labels must be integers"),
        ({"labels": torch.zeros(BATCH).long(), "decoder": lambda out: out}, ValueError, "decoder must give scores"),
        ({"inputs": None}, ValueError, "inputs must be a tensor"),
        ({"inputs": torch.zeros(4, 5)}, ValueError, r"input 0 must have shape \[time, batch, neuron\]"),
        ({"inputs": torch.zeros(4, 0, 5)}, ValueError, "input 0 must have at least one step and one sample"),
        ({"inputs": torch.full((4, 2, 5), 0.5)}, RuntimeError, "whole number|integer|0.5"),
        ({"preset": "perfect"}, RuntimeError, 'no preset "perfect"'),
        ({"constants": {"noise": 1.0}}, RuntimeError, 'no constant "noise"'),
    ],
)
def test_wrong_arguments_of_a_check_run(arguments, error, text):
    given = {"inputs": spikes(), "seeds": 1, **arguments}
    with pytest.raises(error, match=text):
        chip.report(network(), given.pop("inputs"), **given)


class Stream(io.StringIO):
    def __init__(self, terminal, encoding="utf-8"):
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    encoding = property(lambda self: self._encoding)

    def isatty(self):
        return self._terminal


def test_colours_only_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    report = chip.report(network(), spikes(), seeds=2)
    coloured = _terminal.render_for(report.data, Stream(True))
    assert "\x1b[" in coloured and re.sub(r"\x1b\[[0-9;]*m", "", coloured) == report.text
    assert _terminal.render_for(report.data, Stream(False)) == report.text
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            assert "\x1b" not in _terminal.render_for(report.data, Stream(True))
    plain = _terminal.render_for(report.data, Stream(False, "latin-1"))
    assert plain.isascii() and "#" in plain and "us" in plain


def test_the_text_starts_with_the_verdict_and_is_aligned(capsys):
    report = chip.check(too_large())
    assert report.text.startswith('network "network" does not fit: target emulator ideal, 1 chip, 1 run per sample\n')
    print(report, end="")
    assert capsys.readouterr().out == report.text
    lines = chip.check(network()).text.split("\n\n")
    resources = next(part for part in lines if part.startswith("resources")).splitlines()[1:]
    assert len({line.index("/") for line in resources}) == 1 and len({len(line) for line in resources}) == 1


def test_a_terminal_obeys_no_name():
    model = torch.nn.Sequential(nn.Synapse(5, 3, name="a\x1b[2Jb\x07"), nn.LIF(3, name="c\u202ed"))
    text = chip.check(model).text
    assert "a?[2Jb?" in text and "c?d" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_reports_can_be_pickled():
    result = chip.deploy(network())(spikes())
    again = pickle.loads(pickle.dumps(result.report))
    assert again.data == result.report.data and again.to_html() == result.report.to_html()
    assert pickle.loads(pickle.dumps(chip.map(network()))) == chip.map(network())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    exact = torch.nn.Sequential(nn.Synapse(5, 8, name="in", scale=16.0), nn.LIF(8, name="hidden"))
    with torch.no_grad():
        exact[0].weight.copy_(torch.arange(1, 41).reshape(8, 5) / 16)
    gradspike.save(exact, folder / "fits.pt", network=folder / "fits.json")
    gradspike.save(too_large(), folder / "large.pt")
    wide = torch.nn.Sequential(nn.Synapse(300, 600, name="in"), nn.LIF(600, name="hidden"))
    gradspike.save(wide, folder / "wide.pt")
    (folder / "spikes.csv").write_text("step,batch,neuron\n0,0,1\n1,2,3\n4,1,0\n")
    (folder / "labels.csv").write_text("batch,label\n0,1\n2,0\n1,7\n")
    return folder


def test_exit_codes(saved, capsys):
    spikes = ["--spikes", saved / "spikes.csv"]
    for verb in (["check"], ["map"]):
        assert call(capsys, *verb, saved / "fits.pt")[0] == 0
        assert call(capsys, *verb, saved / "fits.json")[0] == 0
        assert call(capsys, *verb, YINYANG)[0] == 1
        code, text, _ = call(capsys, *verb, saved / "large.pt")
        assert code == 2 and "does not fit" in text.splitlines()[0] and "misfits" in text
        code, text, error = call(capsys, *verb, saved / "none.pt")
        assert (code, text) == (3, "") and len(error.splitlines()) == 1
    assert call(capsys, "check", saved / "wide.pt")[0] == 2
    assert call(capsys, "check", saved / "wide.pt", "--chips", "9")[0] in (0, 1)
    assert call(capsys, "check", saved / "wide.pt", "--chips", "0")[0] == 3
    assert call(capsys, "deploy", saved / "fits.pt", *spikes, "--preset", "ideal")[0] == 0
    assert call(capsys, "deploy", YINYANG, "--spikes", SPIKES_CSV, "--seeds", "1")[0] == 1
    assert call(capsys, "deploy", saved / "large.pt", *spikes)[0] == 2
    assert call(capsys, "deploy", saved / "fits.pt")[0] == 3


def test_commands_write_json_mapping_and_page(saved, capsys, tmp_path):
    code, text, _ = call(
        capsys, "map", YINYANG, "--json", "--output", tmp_path / "m.json", "--html", tmp_path / "m.html"
    )
    assert code == 1 and errors(json.loads(text), chip.Report.schema(), chip.Report.schema()) == []
    mapping = gradspike.open_network(YINYANG).map()
    assert json.loads((tmp_path / "m.json").read_text()) == mapping.data
    assert (tmp_path / "m.html").read_text(encoding="utf-8") == mapping.report.to_html()
    code, text, _ = call(
        capsys, "deploy", saved / "fits.json", "--spikes", saved / "spikes.csv", "--labels", saved / "labels.csv",
        "--seeds", "2", "--seed", "3", "--constant", "cadc_noise=0.5", "--json", "--html", tmp_path / "d.html",
    )  # fmt: skip
    data = json.loads(text)
    assert code == data["exit_code"] == 0 and errors(data, chip.Report.schema(), chip.Report.schema()) == []
    variant = data["check_run"]["variants"][-1]
    assert variant["target"] == "emulator analog preset=calibrated seed=3 cadc_noise=0.5" and variant["seeds"] == [3, 4]
    assert "Check run" in (tmp_path / "d.html").read_text(encoding="utf-8")


def test_run_takes_presets_and_writes_the_report(saved, capsys, tmp_path):
    arguments = ["run", saved / "fits.pt", "--spikes", saved / "spikes.csv"]
    options = ["--preset", "calibrated", "--seed", "2", "--constant", "cadc_noise=0.5", "--report"]
    for name in ("r.html", "r.json", "r.txt"):
        code, text, error = call(capsys, *arguments, *options, tmp_path / name)
        assert code == 0 and text.startswith("step,batch,neuron") and "preset=calibrated seed=2" in error
    assert json.loads((tmp_path / "r.json").read_text())["provenance"]["seed"] == "2"
    assert (tmp_path / "r.txt").read_text(encoding="utf-8").startswith('network "fits"')
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call(capsys, *arguments, "--target", "cpu", "--report", tmp_path / "r.json")[0] == 0


def test_bad_arguments_take_one_line(saved, capsys, tmp_path):
    deploy = ["deploy", saved / "fits.pt", "--spikes", saved / "spikes.csv"]
    labels = tmp_path / "labels.csv"
    cases = [
        ([*deploy, "--constant", "cadc_noise"], "NAME=VALUE"),
        ([*deploy, "--constant", "cadc_noise=x"], "NAME=VALUE"),
        ([*deploy, "--constant", "noise=1"], "noise"),
        ([*deploy, "--preset", "perfect"], "perfect"),
        ([*deploy, "--seed", "1.5"], "--seed"),
        ([*deploy, "--seeds", "0"], "--seeds"),
        ([*deploy, "--target", "chip7"], "chip7"),
        ([*deploy, "--labels", tmp_path / "none.csv"], "none.csv"),
        (["check", saved / "fits.pt", "--target", "chip7"], "chip7"),
        (["check", saved / "fits.pt", "--html", tmp_path / "no" / "report.html"], "report.html"),
    ]
    for text, word in (
        ("label\n0\n", "header must be batch,label"),
        ("batch,label\n0,1,2\n", "line 2: must have 2 fields, got 3"),
        ("batch,label\n0,x\n", "'x' must be a whole number"),
        ("batch,label\n3,1\n", "batch must be below 3, got 3"),
        ("batch,label\n0,1\n0,1\n", "line 3: batch 0 has a label already"),
        ("batch,label\n0,1\n2,1\n", "batch entry 1 of 3 must have a label"),
    ):
        labels.write_text(text)
        code, _, error = call(capsys, *deploy, "--labels", labels)
        assert code == 3 and len(error.splitlines()) == 1 and word in error, error
    for arguments, word in cases:
        code, _, error = call(capsys, *arguments)
        assert code == 3 and len(error.splitlines()) == 1 and word in error, (arguments, error)


@pytest.mark.parametrize("name", ["check", "map", "deploy", "run", "inspect"])
def test_help_has_an_example(capsys, name):
    code, text, _ = call(capsys, name, "--help")
    assert code == 0 and f"example: gradspike {name} net.pt" in text
