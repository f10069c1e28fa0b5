"""Every bad argument is refused with one sentence that names operator, argument, requirement and value."""

import re

import pytest
import torch

from gradspike import functional as F
from gradspike import nn, transforms

W = torch.ones(3, 4)
X = torch.zeros(5, 2, 3)
K = torch.ones(1, dtype=torch.int64)
V, L = torch.ones(3), torch.tensor([[0, 0, 1], [0, 2, 1]])
R, RW = torch.zeros(5, 2, 4), torch.ones(3, 3)  # spikes and recurrent weight of the three neurons of W
NAN, INF = float("nan"), float("inf")


def packed_product(spikes=None, **other):
    packed = F.prepack(torch.ones(3, 4))._asdict()
    return F.prepacked_graded_spikes(torch.zeros(2, 4) if spikes is None else spikes, **{**packed, **other})


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
    "pack dtype": (lambda: F.pack_spikes(X.int()), ("pack_spikes", "spikes", "(?i)int")),
    "pack dim": (lambda: F.pack_spikes(torch.zeros(())), ("pack_spikes", "spikes", "0")),
    "unpack dtype": (lambda: F.unpack_spikes(X, 3), ("unpack_spikes", "packed", "(?i)float")),
    "unpack bytes": (lambda: F.unpack_spikes(X.byte(), 9), ("unpack_spikes", "packed", "2", "9", "3")),
    "unpack neurons": (lambda: F.unpack_spikes(X.byte(), -1), ("unpack_spikes", "neurons", "-1")),
    "unpack result": (
        lambda: F.unpack_spikes(X.byte(), 24, dtype=torch.int64),
        ("unpack_spikes", "dtype", "(?i)long|int64"),
    ),
    "to events dtype": (lambda: F.spikes_to_events(X.int(), 3), ("spikes_to_events", "spikes", "(?i)int")),
    "to events dim": (lambda: F.spikes_to_events(X[0], 3), ("spikes_to_events", "spikes", "2")),
    "to events capacity": (lambda: F.spikes_to_events(X, -1), ("spikes_to_events", "capacity", "-1")),
    "events dtype": (lambda: F.events_to_spikes(L.t().bool(), K, 1, 1, 1), ("events_to_spikes", "events", "(?i)bool")),
    "events columns": (lambda: F.events_to_spikes(L.t(), K, 1, 1, 1), ("events_to_spikes", "events", "2")),
    "events dim": (lambda: F.events_to_spikes(K, K, 1, 1, 1), ("events_to_spikes", "events", "1")),
    "events count dtype": (lambda: F.events_to_spikes(L, K.int(), 1, 1, 1), ("events_to_spikes", "count", "(?i)int")),
    "events count": (lambda: F.events_to_spikes(L, L[0], 1, 1, 1), ("events_to_spikes", "count", "3")),
    "events time": (lambda: F.events_to_spikes(L, K, -1, 1, 1), ("events_to_spikes", "time", "-1")),
    "events batch": (lambda: F.events_to_spikes(L, K, 1, -2, 1), ("events_to_spikes", "batch", "-2")),
    "events neuron": (lambda: F.events_to_spikes(L, K, 1, 1, -3), ("events_to_spikes", "neuron", "-3")),
    "events dt": (lambda: F.events_to_spikes(L, K, 1, 1, 1, dt=0.0), ("events_to_spikes", "dt", "0")),
    "events result": (
        lambda: F.events_to_spikes(L, K, 1, 1, 1, dtype=torch.float64),
        ("events_to_spikes", "dtype", "(?i)double|float64"),
    ),
    "with statistics shape": (
        lambda: F.hardware_weights_with_statistics(W[0]),
        ("hardware_weights_with_statistics", "weight", "1"),
    ),
    "with statistics rounding": (
        lambda: F.hardware_weights_with_statistics(W, rounding="none"),
        ("hardware_weights_with_statistics", "rounding", "none"),
    ),
    "prepack shape": (lambda: F.prepack(W[0]), ("prepack", "weight", "1")),
    "prepack rounding": (lambda: F.prepack(W, rounding="none"), ("prepack", "rounding", "none")),
    "prepack bound": (lambda: F.prepack(W, 1.0, -0.5), ("prepack", "min_weight", "-0.5")),
    "prepacked spikes": (lambda: packed_product(spikes=X), ("prepacked_graded_spikes", "rows", "3", "4")),
    "prepacked spikes dtype": (
        lambda: packed_product(spikes=torch.zeros(2, 4, dtype=torch.int32)),
        ("prepacked_graded_spikes", "spikes", "(?i)int"),
    ),
    "prepacked rows": (lambda: packed_product(rows=W), ("prepacked_graded_spikes", "rows", "(?i)float")),
    "prepacked groups": (
        lambda: packed_product(groups=torch.zeros(2, 64, 4, dtype=torch.int8)),
        ("prepacked_graded_spikes", "groups", "1", "2"),
    ),
    "prepacked matrix": (
        lambda: packed_product(matrix=torch.zeros(64, dtype=torch.int8)),
        ("prepacked_graded_spikes", "matrix", "2", "1"),
    ),
    "prepacked nan": (
        lambda: packed_product(nan_posts=torch.zeros(3)),
        ("prepacked_graded_spikes", "nan_posts", "(?i)float"),
    ),
    "prepacked out_features": (
        lambda: packed_product(out_features=-1),
        ("prepacked_graded_spikes", "out_features", "-1"),
    ),
    "prepacked units": (lambda: packed_product(units="V"), ("prepacked_graded_spikes", "units", "V")),
    "prepacked bounds": (
        lambda: packed_product(max_weight=128.0),
        ("prepacked_graded_spikes", "rows", "(?i)short|int16"),
    ),
    "prepacked gradient": (
        lambda: packed_product(spikes=torch.zeros(2, 4, requires_grad=True)),
        ("prepacked_graded_spikes", "gradient"),
    ),
    "sparse values": (lambda: F.sparse_graded_spikes(X, W, L, 2), ("sparse_graded_spikes", "values", "2")),
    "sparse list dtype": (
        lambda: F.sparse_graded_spikes(X, V, L.int(), 2),
        ("sparse_graded_spikes", "connections", "(?i)int"),
    ),
    "sparse list rows": (
        lambda: F.sparse_graded_spikes(X, V, L.t(), 2),
        ("sparse_graded_spikes", "connections", "2 rows", "3"),
    ),
    "sparse list dim": (lambda: F.sparse_graded_spikes(X, V, L[0], 2), ("sparse_graded_spikes", "connections", "1")),
    "sparse list columns": (
        lambda: F.sparse_graded_spikes(X, V[1:], L, 2),
        ("sparse_graded_spikes", "connections", "2", "3"),
    ),
    "sparse features": (lambda: F.sparse_graded_spikes(X, V, L, -1), ("sparse_graded_spikes", "out_features", "-1")),
    "sparse spikes": (lambda: F.sparse_graded_spikes(X.int(), V, L, 2), ("sparse_graded_spikes", "spikes", "(?i)int")),
    "sparse scale": (lambda: F.sparse_graded_spikes(X, V, L, 2, NAN), ("sparse_graded_spikes", "scale", "nan")),
    "sparse bound": (
        lambda: F.sparse_graded_spikes(X, V, L, 2, 1.0, 1.0),
        ("sparse_graded_spikes", "min_weight", "1"),
    ),
    "sparse units": (lambda: F.sparse_graded_spikes(X, V, L, 2, units="V"), ("sparse_graded_spikes", "units", "V")),
    "sparse order nan": (
        lambda: F.sparse_graded_spikes(X, V, L.flip(1), 2),
        ("sparse_graded_spikes", "connections", "sorted"),
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
    "aelif dim": (lambda: F.aelif(X[0]), ("aelif", "input", "2|\\[2, 3\\]")),
    "aelif slope size": (lambda: F.aelif(X, exponential_slope=torch.ones(2)), ("aelif", "exponential_slope", "2")),
    "aelif strength dtype": (
        lambda: F.aelif(X, subthreshold_adaptation_strength=torch.zeros(3, dtype=torch.int64)),
        ("aelif", "subthreshold_adaptation_strength", "(?i)long|int"),
    ),
    "aelif tau slope": (lambda: F.aelif(X, exponential_slope=0.0), ("aelif", "exponential_slope", "0")),
    "aelif tau_adap": (lambda: F.aelif(X, tau_adap=-1e-6), ("aelif", "tau_adap", "-1e-06")),
    "aelif tau onset nan": (
        lambda: F.aelif(X, exponential_threshold=NAN),
        ("aelif", "exponential_threshold", "nan"),
    ),
    "aelif increment nan": (
        lambda: F.aelif(X, spike_triggered_adaptation_increment=NAN),
        ("aelif", "spike_triggered_adaptation_increment", "nan"),
    ),
    "aelif increment text": (
        lambda: F.aelif(X, spike_triggered_adaptation_increment="x"),
        ("aelif", "spike_triggered_adaptation_increment", "str"),
    ),
    "aelif dt": (lambda: F.aelif(X, dt=0.0), ("aelif", "dt", "0")),
    "aelif surrogate": (lambda: F.aelif(X, surrogate="step"), ("aelif", "surrogate", "step")),
    "aelif outputs": (lambda: F.aelif(X, outputs="voltage"), ("aelif", "outputs", "voltage")),
    "aelif state": (
        lambda: F.aelif(X, initial_state=torch.zeros(3, 2, 3)),
        ("aelif", "initial_state", "\\[3, 2, 3\\]"),
    ),
    "aelif measured": (lambda: F.aelif(X[1:], measured_adaptation=X), ("aelif", "measured_adaptation", "4", "5")),
    "aelif measured spikes": (
        lambda: F.aelif(X, fire=False, measured_spikes=X),
        ("aelif", "fire", "measured_spikes", "False"),
    ),
    "aelif measured adaptation": (
        lambda: F.aelif(X, subthreshold_adaptation=False, spike_triggered_adaptation=False, measured_adaptation=X),
        ("aelif", "subthreshold_adaptation", "measured_adaptation", "False"),
    ),
    "eventprop synapse features": (
        lambda: F.eventprop_graded_spikes(torch.zeros(2, 5), W),
        ("eventprop_graded_spikes", "spikes", "4", "5"),
    ),
    "eventprop synapse rounding": (
        lambda: F.eventprop_graded_spikes(torch.zeros(2, 4), W, rounding="x"),
        ("eventprop_graded_spikes", "rounding", "x"),
    ),
    "eventprop synapse scale": (
        lambda: F.eventprop_graded_spikes(torch.zeros(2, 4), W, NAN),
        ("eventprop_graded_spikes", "scale", "nan"),
    ),
    "eventprop synapse bound": (
        lambda: F.eventprop_graded_spikes(torch.zeros(2, 4), W, 1.0, 0.0, 0.5),
        ("eventprop_graded_spikes", "max_weight", "0.5"),
    ),
    "eventprop dim": (lambda: F.eventprop_lif(X[0], X[0]), ("eventprop_lif", "input", "2")),
    "eventprop dtype": (lambda: F.eventprop_lif(X.int(), X), ("eventprop_lif", "input", "(?i)int")),
    "eventprop adjoint shape": (lambda: F.eventprop_lif(X, X[1:]), ("eventprop_lif", "adjoint", "\\[4, 2, 3\\]")),
    "eventprop adjoint dtype": (lambda: F.eventprop_lif(X, X.int()), ("eventprop_lif", "adjoint", "(?i)int")),
    "eventprop adjoint device": (lambda: F.eventprop_lif(X, X.to("meta")), ("eventprop_lif", "adjoint", "meta")),
    "eventprop leak size": (lambda: F.eventprop_lif(X, X, torch.zeros(4)), ("eventprop_lif", "leak", "4")),
    "eventprop leak text": (lambda: F.eventprop_lif(X, X, "resting"), ("eventprop_lif", "leak", "str")),
    "eventprop tau_mem nan": (lambda: F.eventprop_lif(X, X, tau_mem=NAN), ("eventprop_lif", "tau_mem", "nan")),
    "eventprop tau_syn nan": (lambda: F.eventprop_lif(X, X, tau_syn=NAN), ("eventprop_lif", "tau_syn", "nan")),
    "eventprop dt": (lambda: F.eventprop_lif(X, X, dt=0.0), ("eventprop_lif", "dt", "0")),
    "eventprop outputs": (lambda: F.eventprop_lif(X, X, outputs="voltage"), ("eventprop_lif", "outputs", "voltage")),
    "eventprop measured": (
        lambda: F.eventprop_lif(X[1:], X[1:], measured_spikes=X),
        ("eventprop_lif", "measured_spikes", "4", "5"),
    ),
    "exact adjoint shape": (
        lambda: F.exact_eventprop_lif(X, X[:, :1]),
        ("exact_eventprop_lif", "adjoint", "\\[5, 1, 3\\]"),
    ),
    "exact state": (
        lambda: F.exact_eventprop_lif(X, X, initial_state=torch.zeros(2, 2, 3)),
        ("exact_eventprop_lif", "initial_state", "\\[2, 2, 3\\]"),
    ),
    "exact capacitance nan": (
        lambda: F.exact_eventprop_lif(X, X, membrane_capacitance=NAN),
        ("exact_eventprop_lif", "membrane_capacitance", "nan"),
    ),
    "exact refractory nan": (
        lambda: F.exact_eventprop_lif(X, X, refractory_time=NAN),
        ("exact_eventprop_lif", "refractory_time", "nan"),
    ),
    "exact threshold size": (
        lambda: F.exact_eventprop_lif(X, X, threshold=torch.ones(2)),
        ("exact_eventprop_lif", "threshold", "2"),
    ),
    "exact outputs": (
        lambda: F.exact_eventprop_lif(X, X, outputs="adjoint"),
        ("exact_eventprop_lif", "outputs", "adjoint"),
    ),
    "exact measured": (
        lambda: F.exact_eventprop_lif(X, X, measured_membrane=X[..., :2]),
        ("exact_eventprop_lif", "measured_membrane", "\\[5, 2, 2\\]"),
    ),
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
    "synapse prepacked": (lambda: nn.Synapse(3, 2, rounding="none").prepacked(), ("prepacked", "rounding", "none")),
    "synapse name": (lambda: nn.Synapse(3, 2, name=7), ("Synapse", "name", "int")),
    "sparse module": (lambda: nn.SparseSynapse(torch.ones(3)), ("SparseSynapse", "connections", "1")),
    "sparse module list": (lambda: nn.SparseSynapse([[1]]), ("SparseSynapse", "connections", "list")),
    "sparse module scale": (lambda: nn.SparseSynapse(W, scale=0.0), ("SparseSynapse", "scale", "0.0")),
    "sparse module receptor": (lambda: nn.SparseSynapse(W, receptor="x"), ("SparseSynapse", "receptor", "x")),
    "sparse module bounds": (lambda: nn.SparseSynapse(W, min_weight=5), ("SparseSynapse", "min_weight", "5")),
    "sparse module index": (lambda: nn.SparseSynapse.from_index(L.t(), 3, 2), ("SparseSynapse", "index", "\\[3, 2\\]")),
    "sparse module outside": (lambda: nn.SparseSynapse.from_index(L, 2, 2), ("SparseSynapse", "index", "outside")),
    "sparse module twice": (
        lambda: nn.SparseSynapse.from_index(L[:, [0, 0]], 3, 2),
        ("SparseSynapse", "index", "repetition"),
    ),
    "lif size": (lambda: nn.LIF(-1), ("LIF", "size", "-1")),
    "lif leak": (lambda: nn.LIF(3, leak="x"), ("LIF", "leak", "str")),
    "lif leak shape": (lambda: nn.LIF(3, leak=torch.zeros(2)), ("LIF", "leak", "\\[2\\]")),
    "lif dt": (lambda: nn.LIF(3, dt=0.0), ("LIF", "dt", "0.0")),
    "lif surrogate": (lambda: nn.LIF(3, surrogate="x"), ("LIF", "surrogate", "x")),
    "eventprop size": (lambda: nn.EventPropLIF(0), ("EventPropLIF", "size", "0")),
    "eventprop leak": (lambda: nn.EventPropLIF(3, leak="x"), ("EventPropLIF", "leak", "str")),
    "exact dt": (lambda: nn.ExactEventPropLIF(3, dt=0.0), ("ExactEventPropLIF", "dt", "0.0")),
    "exact threshold": (
        lambda: nn.ExactEventPropLIF(3, threshold=torch.ones(2)),
        ("ExactEventPropLIF", "threshold", "\\[2\\]"),
    ),
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
    "aelif size": (lambda: nn.AELIF(0), ("AELIF", "size", "0")),
    "aelif tau_adap shape": (lambda: nn.AELIF(3, tau_adap=torch.ones(2)), ("AELIF", "tau_adap", "\\[2\\]")),
    "aelif slope none": (lambda: nn.AELIF(3, exponential_slope=None), ("AELIF", "exponential_slope", "NoneType")),
    "aelif module surrogate": (lambda: nn.AELIF(3, surrogate="x"), ("AELIF", "surrogate", "x")),
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
    r"nan$|lif tau|lif capacitance|lif refractory negative|li tau|statistics|device|(leak|increment) (text|none)"
)


@pytest.mark.parametrize("name", [name for name in OPERATORS if not NEEDS_NUMBERS.search(name)])
def test_fake_tensors_meet_the_same_sentence(name):
    """The checks are those of the plan, so a compiler meets them too."""
    call, _ = OPERATORS[name]
    expected = sentence_of(call)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        assert sentence_of(call) == expected
