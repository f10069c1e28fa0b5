"""Every bad argument is refused with one sentence that names operator, argument, requirement and value."""

import re

import pytest
import torch

from gradspike import functional as F
from gradspike import nn, transforms

W = torch.ones(3, 4)
X = torch.zeros(5, 2, 3)
R, RW = torch.zeros(5, 2, 4), torch.ones(3, 3)  # spikes and recurrent weight of the three neurons of W
NAN, INF = float("nan"), float("inf")

# (call, words that the sentence must hold, the operator first)
OPERATORS = {
    "saturating scale 0": (lambda: F.linear_saturating(W, 0.0), ("linear_saturating", "scale", "0")),
    "saturating scale negative": (lambda: F.linear_saturating(W, -2.5), ("linear_saturating", "scale", "-2.5")),
    "saturating scale nan": (lambda: F.linear_saturating(W, NAN), ("linear_saturating", "scale", "nan")),
    "saturating scale inf": (lambda: F.linear_saturating(W, INF), ("linear_saturating", "scale", "inf")),
    "saturating scale underflows": (lambda: F.linear_saturating(W, 1e-60), ("linear_saturating", "scale", "1e-60")),
    "saturating scale overflows": (lambda: F.linear_saturating(W, 1e60), ("linear_saturating", "scale", "1e\\+60")),
    "saturating bounds": (lambda: F.linear_saturating(W, 1.0, 2.0, 1.0), ("linear_saturating", "min_weight", "2", "1")),
    "saturating bound nan": (lambda: F.linear_saturating(W, 1.0, NAN), ("linear_saturating", "min_weight", "nan")),
    "saturating gradient": (lambda: F.linear_saturating(W, gradient="ste"), ("linear_saturating", "gradient", "ste")),
    "saturating dtype": (lambda: F.linear_saturating(W.int()), ("linear_saturating", "weight", "(?i)int")),
    "integers rounding": (lambda: F.hardware_weights(W, rounding="up"), ("hardware_weights", "rounding", "up")),
    "integers rounding none": (
        lambda: F.hardware_weights(W, rounding="none"),
        ("hardware_weights", "rounding", "none"),
    ),
    "integers fraction": (lambda: F.hardware_weights(W, 1.0, -62.5), ("hardware_weights", "min_weight", "-62.5")),
    "integers above 0": (lambda: F.hardware_weights(W, 1.0, 1.0), ("hardware_weights", "min_weight", "1")),
    "integers below 0": (lambda: F.hardware_weights(W, 1.0, -63.0, -1.0), ("hardware_weights", "max_weight", "-1")),
    "integers too large": (
        lambda: F.hardware_weights(W, 1.0, 0.0, 32768.0),
        ("hardware_weights", "max_weight", "32768"),
    ),
    "integers infinite": (lambda: F.hardware_weights(W, 1.0, -INF), ("hardware_weights", "min_weight", "-inf")),
    "integers dtype": (lambda: F.hardware_weights(W.bool()), ("hardware_weights", "weight", "(?i)bool")),
    "statistics shape": (lambda: F.weight_statistics(W[0]), ("weight_statistics", "weight", "1")),
    "statistics rounding": (lambda: F.weight_statistics(W, rounding="none"), ("weight_statistics", "rounding", "none")),
    "statistics scale": (lambda: F.weight_statistics(W, -1.0), ("weight_statistics", "scale", "-1")),
    "connections shape": (lambda: F.connections(W[None]), ("connections", "weight", "3")),
    "connections nan": (lambda: F.connections(W * NAN), ("connections", "weight", "NaN")),
    "connections rounding": (lambda: F.connections(W, rounding="none"), ("connections", "rounding", "none")),
    "synapse features": (lambda: F.graded_spikes(torch.zeros(2, 5), W), ("graded_spikes", "spikes", "4", "5")),
    "synapse spikes 0-dim": (lambda: F.graded_spikes(torch.zeros(()), W), ("graded_spikes", "spikes", "0")),
    "synapse weight shape": (lambda: F.graded_spikes(X, W[0]), ("graded_spikes", "weight", "1")),
    "synapse spikes dtype": (lambda: F.graded_spikes(X.int(), W), ("graded_spikes", "spikes", "(?i)int")),
    "synapse weight dtype": (
        lambda: F.graded_spikes(torch.zeros(2, 4), W.long()),
        ("graded_spikes", "weight", "(?i)long"),
    ),
    "synapse rounding": (
        lambda: F.graded_spikes(torch.zeros(2, 4), W, rounding="x"),
        ("graded_spikes", "rounding", "x"),
    ),
    "synapse gradient": (
        lambda: F.graded_spikes(torch.zeros(2, 4), W, gradient="x"),
        ("graded_spikes", "gradient", "x"),
    ),
    "synapse units": (lambda: F.graded_spikes(torch.zeros(2, 4), W, units="mV"), ("graded_spikes", "units", "mV")),
    "synapse bound": (
        lambda: F.graded_spikes(torch.zeros(2, 4), W, 1.0, -0.5),
        ("graded_spikes", "min_weight", "-0.5"),
    ),
    "synapse scale": (lambda: F.graded_spikes(torch.zeros(2, 4), W, NAN), ("graded_spikes", "scale", "nan")),
    "synapse device": (
        lambda: F.graded_spikes(torch.zeros(2, 4, device="meta"), W),
        ("graded_spikes", "device", "meta"),
    ),
    "lif dim": (lambda: F.lif(X[0]), ("lif", "input", "2|\\[2, 3\\]")),
    "lif dtype": (lambda: F.lif(X.int()), ("lif", "input", "(?i)int")),
    "lif leak size": (lambda: F.lif(X, torch.zeros(4)), ("lif", "leak", "4")),
    "lif leak dim": (lambda: F.lif(X, torch.zeros(1, 3)), ("lif", "leak", "2|\\[1, 3\\]")),
    "lif leak dtype": (lambda: F.lif(X, torch.zeros(3, dtype=torch.int64)), ("lif", "leak", "(?i)long|int")),
    "lif threshold size": (lambda: F.lif(X, threshold=torch.ones(2)), ("lif", "threshold", "2")),
    "lif refractory size": (lambda: F.lif(X, refractory_time=torch.ones(2)), ("lif", "refractory_time", "2")),
    "lif tau_mem 0": (lambda: F.lif(X, tau_mem=0.0), ("lif", "tau_mem", "0")),
    "lif tau_mem nan": (lambda: F.lif(X, tau_mem=NAN), ("lif", "tau_mem", "nan")),
    "lif tau_syn negative": (lambda: F.lif(X, tau_syn=-1e-6), ("lif", "tau_syn", "-1e-06")),
    "lif capacitance 0": (lambda: F.lif(X, membrane_capacitance=0.0), ("lif", "membrane_capacitance", "0")),
    "lif refractory negative": (lambda: F.lif(X, refractory_time=-1e-6), ("lif", "refractory_time", "-1e-06")),
    "lif leak text": (lambda: F.lif(X, "resting"), ("lif", "leak", "str")),
    "lif leak none": (lambda: F.lif(X, None), ("lif", "leak", "NoneType")),
    "lif dt 0": (lambda: F.lif(X, dt=0.0), ("lif", "dt", "0")),
    "lif dt nan": (lambda: F.lif(X, dt=NAN), ("lif", "dt", "nan")),
    "lif surrogate": (lambda: F.lif(X, surrogate="step"), ("lif", "surrogate", "step")),
    "lif alpha": (lambda: F.lif(X, alpha=-1.0), ("lif", "alpha", "-1")),
    "lif outputs": (lambda: F.lif(X, outputs="spikes+voltage"), ("lif", "outputs", "spikes\\+voltage")),
    "lif outputs comma": (lambda: F.lif(X, outputs="spikes,membrane"), ("lif", "outputs", "spikes,membrane")),
    "lif state rows": (lambda: F.lif(X, initial_state=torch.zeros(2, 2, 3)), ("lif", "initial_state", "\\[2, 2, 3\\]")),
    "lif state batch": (
        lambda: F.lif(X, initial_state=torch.zeros(3, 1, 3)),
        ("lif", "initial_state", "\\[3, 1, 3\\]"),
    ),
    "lif measured spikes": (lambda: F.lif(X[1:], measured_spikes=X), ("lif", "measured_spikes", "4", "5")),
    "lif measured 2-dim": (lambda: F.lif(X, measured_spikes=X[0]), ("lif", "measured_spikes", "2")),
    "lif measured membrane": (
        lambda: F.lif(X, measured_membrane=X[:, :1]),
        ("lif", "measured_membrane", "\\[5, 1, 3\\]"),
    ),
    "lif device": (lambda: F.lif(X, torch.zeros(3, device="meta")), ("lif", "leak", "meta")),
    "recurrent spikes dim": (lambda: F.recurrent_lif(R[0], W, RW), ("recurrent_lif", "spikes", "2")),
    "recurrent spikes dtype": (lambda: F.recurrent_lif(R.int(), W, RW), ("recurrent_lif", "spikes", "(?i)int")),
    "recurrent features": (lambda: F.recurrent_lif(X, W, RW), ("recurrent_lif", "spikes", "4", "3")),
    "recurrent input weight": (lambda: F.recurrent_lif(R, W[0], RW), ("recurrent_lif", "input_weight", "1")),
    "recurrent weight dim": (lambda: F.recurrent_lif(R, W, RW[0]), ("recurrent_lif", "recurrent_weight", "1")),
    "recurrent weight shape": (lambda: F.recurrent_lif(R, W, W), ("recurrent_lif", "recurrent_weight", "\\[3, 4\\]")),
    "recurrent weight dtype": (
        lambda: F.recurrent_lif(R, W, RW.long()),
        ("recurrent_lif", "recurrent_weight", "(?i)long"),
    ),
    "recurrent weight device": (
        lambda: F.recurrent_lif(R, W, torch.ones(3, 3, device="meta")),
        ("recurrent_lif", "recurrent_weight", "meta"),
    ),
    "recurrent mask dtype": (
        lambda: F.recurrent_lif(R, W, RW, recurrent_mask=RW),
        ("recurrent_lif", "recurrent_mask", "(?i)float"),
    ),
    "recurrent mask shape": (
        lambda: F.recurrent_lif(R, W, RW, recurrent_mask=W.bool()),
        ("recurrent_lif", "recurrent_mask", "\\[3, 4\\]"),
    ),
    "recurrent input scale": (
        lambda: F.recurrent_lif(R, W, RW, input_scale=0.0),
        ("recurrent_lif", "input_scale", "0"),
    ),
    "recurrent scale": (
        lambda: F.recurrent_lif(R, W, RW, recurrent_scale=-2.0),
        ("recurrent_lif", "recurrent_scale", "-2"),
    ),
    "recurrent input bound": (
        lambda: F.recurrent_lif(R, W, RW, input_min_weight=-0.5),
        ("recurrent_lif", "input_min_weight", "-0.5"),
    ),
    "recurrent bound": (
        lambda: F.recurrent_lif(R, W, RW, recurrent_max_weight=32768.0),
        ("recurrent_lif", "recurrent_max_weight", "32768"),
    ),
    "recurrent rounding": (lambda: F.recurrent_lif(R, W, RW, rounding="up"), ("recurrent_lif", "rounding", "up")),
    "recurrent gradient": (lambda: F.recurrent_lif(R, W, RW, gradient="x"), ("recurrent_lif", "gradient", "x")),
    "recurrent units": (lambda: F.recurrent_lif(R, W, RW, units="mV"), ("recurrent_lif", "units", "mV")),
    "recurrent leak size": (lambda: F.recurrent_lif(R, W, RW, torch.zeros(4)), ("recurrent_lif", "leak", "4")),
    "recurrent lif tau": (lambda: F.recurrent_lif(R, W, RW, tau_mem=0.0), ("recurrent_lif", "tau_mem", "0")),
    "recurrent dt": (lambda: F.recurrent_lif(R, W, RW, dt=0.0), ("recurrent_lif", "dt", "0")),
    "recurrent surrogate": (lambda: F.recurrent_lif(R, W, RW, surrogate="x"), ("recurrent_lif", "surrogate", "x")),
    "recurrent outputs": (lambda: F.recurrent_lif(R, W, RW, outputs="v"), ("recurrent_lif", "outputs", "v")),
    "recurrent state": (
        lambda: F.recurrent_lif(R, W, RW, initial_state=torch.zeros(3, 2, 3)),
        ("recurrent_lif", "initial_state", "\\[3, 2, 3\\]"),
    ),
    "recurrent measured spikes": (
        lambda: F.recurrent_lif(R[1:], W, RW, measured_spikes=X),
        ("recurrent_lif", "measured_spikes", "4", "5"),
    ),
    "recurrent measured membrane": (
        lambda: F.recurrent_lif(R, W, RW, measured_membrane=R),
        ("recurrent_lif", "measured_membrane", "\\[5, 2, 4\\]"),
    ),
    "recurrent recompute": (
        lambda: F.recurrent_lif(R, W, RW, recompute_every=-1),
        ("recurrent_lif", "recompute_every", "-1"),
    ),
    "li dim": (lambda: F.li(X[0, 0]), ("li", "input", "1|\\[3\\]")),
    "li leak size": (lambda: F.li(X, torch.zeros(2)), ("li", "leak", "2")),
    "li tau_syn": (lambda: F.li(X, tau_syn=0.0), ("li", "tau_syn", "0")),
    "li dt": (lambda: F.li(X, dt=-1e-6), ("li", "dt", "-1e-06")),
    "li outputs": (lambda: F.li(X, outputs="spikes"), ("li", "outputs", "spikes")),
    "li state": (lambda: F.li(X, initial_state=torch.zeros(3, 2, 3)), ("li", "initial_state", "\\[3, 2, 3\\]")),
    "li measured": (lambda: F.li(X, measured_membrane=X[..., :2]), ("li", "measured_membrane", "\\[5, 2, 2\\]")),
    "li leak text": (lambda: F.li(X, [0.0]), ("li", "leak", "list")),
}

MODULES = {
    "synapse in_features": (lambda: nn.Synapse(0, 3), ("Synapse", "in_features", "0")),
    "synapse out_features": (lambda: nn.Synapse(3, 2.5), ("Synapse", "out_features", "2.5")),
    "synapse scale": (lambda: nn.Synapse(3, 2, scale=0.0), ("Synapse", "scale", "0.0")),
    "synapse receptor": (lambda: nn.Synapse(3, 2, receptor="both"), ("Synapse", "receptor", "both")),
    "synapse bounds": (lambda: nn.Synapse(3, 2, min_weight=5), ("Synapse", "min_weight", "5")),
    "synapse rounding": (lambda: nn.Synapse(3, 2, rounding="up"), ("Synapse", "rounding", "up")),
    "synapse gradient": (lambda: nn.Synapse(3, 2, gradient="x"), ("Synapse", "gradient", "x")),
    "synapse units": (lambda: nn.Synapse(3, 2, units="mV"), ("Synapse", "units", "mV")),
    "synapse mask shape": (
        lambda: nn.Synapse(3, 2, mask=torch.ones(3, 2, dtype=torch.bool)),
        ("Synapse", "mask", "\\[3, 2\\]"),
    ),
    "synapse mask dtype": (lambda: nn.Synapse(3, 2, mask=torch.ones(2, 3)), ("Synapse", "mask", "float32")),
    "synapse name": (lambda: nn.Synapse(3, 2, name=7), ("Synapse", "name", "int")),
    "lif size": (lambda: nn.LIF(-1), ("LIF", "size", "-1")),
    "lif leak": (lambda: nn.LIF(3, leak="x"), ("LIF", "leak", "str")),
    "lif leak shape": (lambda: nn.LIF(3, leak=torch.zeros(2)), ("LIF", "leak", "\\[2\\]")),
    "lif dt": (lambda: nn.LIF(3, dt=0.0), ("LIF", "dt", "0.0")),
    "lif surrogate": (lambda: nn.LIF(3, surrogate="x"), ("LIF", "surrogate", "x")),
    "module recurrent size": (lambda: nn.RecurrentLIF(3, 0), ("RecurrentLIF", "size", "0")),
    "module recurrent in_features": (lambda: nn.RecurrentLIF(2.5, 3), ("RecurrentLIF", "in_features", "2.5")),
    "module recurrent scale": (
        lambda: nn.RecurrentLIF(3, 2, recurrent_scale=0.0),
        ("RecurrentLIF", "recurrent_scale", "0.0"),
    ),
    "module recurrent bounds": (
        lambda: nn.RecurrentLIF(3, 2, input_max_weight=-1),
        ("RecurrentLIF", "input_max_weight", "-1"),
    ),
    "module recurrent mask": (
        lambda: nn.RecurrentLIF(3, 2, mask=torch.ones(3, 2, dtype=torch.bool)),
        ("RecurrentLIF", "mask", "\\[3, 2\\]"),
    ),
    "module recurrent rounding": (lambda: nn.RecurrentLIF(3, 2, rounding="up"), ("RecurrentLIF", "rounding", "up")),
    "module recurrent recompute": (
        lambda: nn.RecurrentLIF(3, 2, recompute_every=-1),
        ("RecurrentLIF", "recompute_every", "-1"),
    ),
    "li size": (lambda: nn.LI(True), ("LI", "size", "True")),
    "li tau": (lambda: nn.LI(3, tau_mem=None), ("LI", "tau_mem", "NoneType")),
    "recorder": (lambda: nn.Recorder(nn.LI(3)), ("Recorder", "model", "LI")),
    "coordinates": (
        lambda: transforms.CoordinatesToSpikes(10, 0.0, 9e-6)(torch.tensor([[1.2]])),
        ("CoordinatesToSpikes", "coordinates", "11"),
    ),
    "coordinates below": (
        lambda: transforms.CoordinatesToSpikes(10, 0.0, 9e-6)(torch.tensor([[-0.3]])),
        ("CoordinatesToSpikes", "coordinates", "-3"),
    ),
    "coordinates bias": (
        lambda: transforms.CoordinatesToSpikes(10, 0.0, 9e-6, t_bias=10e-6),
        ("CoordinatesToSpikes", "t_bias", "10"),
    ),
    "sequence length": (lambda: transforms.PoissonEncoder(0), ("PoissonEncoder", "seq_length", "0")),
    "rate": (lambda: transforms.PoissonEncoder(5, 2e6), ("PoissonEncoder", "max_rate", "2000000")),
    "latency dt": (lambda: transforms.LatencyEncoder(5, 0.0, 4e-6, dt=NAN), ("LatencyEncoder", "dt", "nan")),
    "delta threshold": (lambda: transforms.DeltaEncoder(0.0), ("DeltaEncoder", "threshold", "0.0")),
}


def sentence_of(call):
    with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
        call()
    # The C++ stack, where PyTorch shows one, starts in the second line.
    return str(caught.value).split("\nException raised from")[0].strip()


@pytest.mark.parametrize("name", [*OPERATORS, *MODULES])
def test_sentence(name):
    call, words = (OPERATORS | MODULES)[name]
    sentence = sentence_of(call)
    assert "\n" not in sentence
    assert sentence.startswith(f"{words[0]}: "), sentence
    assert re.search(r"\bmust\b", sentence), sentence
    assert len(sentence) < 200 and not sentence.endswith(".")
    for word in words[1:]:
        assert re.search(word, sentence), f"{word!r} is missing in: {sentence}"


def test_enough_cases():
    assert len(OPERATORS) >= 40


# These are about the numbers in a tensor (a neuron parameter is one), which a fake tensor does not have, or about
# devices.
NEEDS_NUMBERS = re.compile(
    r"nan$|lif tau|lif capacitance|lif refractory negative|li tau|statistics|device|leak (text|none)"
)


@pytest.mark.parametrize("name", [name for name in OPERATORS if not NEEDS_NUMBERS.search(name)])
def test_fake_tensors_meet_the_same_sentence(name):
    """The checks are those of the plan, so a compiler meets them too."""
    call, _ = OPERATORS[name]
    expected = sentence_of(call)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        assert sentence_of(call) == expected
