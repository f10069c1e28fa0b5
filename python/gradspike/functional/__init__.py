"""One function per operator: thin wrappers that name, document and give defaults.

Axes are time-major, `[time, batch, neuron]`; weights are `[post, pre]` = `[out_features, in_features]`; times are in
seconds, voltages and currents in model units, integer weights in LSB. Every function works under `torch.jit.script`
(pass numbers as floats there), `torch.compile(fullgraph=True)` and `torch.export`. No operator waits for the device
except where its Note says so, and each gives the same bits in every run, for any number of threads.
"""

from gradspike.functional._lif import LIFOutput, LIOutput, li, lif
from gradspike.functional._recurrent import RecurrentLIFOutput, recurrent_lif
from gradspike.functional._synapses import graded_spikes
from gradspike.functional._weights import (
    ScaleSuggestion,
    WeightStatistics,
    connections,
    hardware_weights,
    linear_saturating,
    suggest_scale,
    weight_statistics,
)

__all__ = [
    "LIFOutput",
    "LIOutput",
    "RecurrentLIFOutput",
    "ScaleSuggestion",
    "WeightStatistics",
    "connections",
    "graded_spikes",
    "hardware_weights",
    "li",
    "lif",
    "linear_saturating",
    "recurrent_lif",
    "suggest_scale",
    "weight_statistics",
]
