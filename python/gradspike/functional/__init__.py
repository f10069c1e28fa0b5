"""One function per operator: thin wrappers that name, document and give defaults.

Axes are time-major, `[time, batch, neuron]`; weights are `[post, pre]` = `[out_features, in_features]`; times are in
seconds, voltages and currents in model units, integer weights in LSB. Every function works under `torch.jit.script`
(pass numbers as floats there), `torch.compile(fullgraph=True)` and `torch.export`. No operator waits for the device
except where its Note says so, and each gives the same bits in every run, for any number of threads.
"""

from gradspike.functional._aelif import AELIFOutput, aelif
from gradspike.functional._eventprop import (
    EventPropLIFOutput,
    eventprop_graded_spikes,
    eventprop_lif,
    exact_eventprop_lif,
)
from gradspike.functional._events import EventsToSpikesOutput, SpikesToEventsOutput, events_to_spikes, spikes_to_events
from gradspike.functional._lif import LIFOutput, LIOutput, li, lif
from gradspike.functional._packed import PackSpikesOutput, pack_spikes, unpack_spikes
from gradspike.functional._prepacked import PackedWeights, prepack, prepacked_graded_spikes
from gradspike.functional._recurrent import RecurrentLIFOutput, recurrent_lif
from gradspike.functional._sparse import sparse_graded_spikes
from gradspike.functional._synapse_lif import synapse_lif
from gradspike.functional._synapses import graded_spikes
from gradspike.functional._weights import (
    ScaleSuggestion,
    WeightStatistics,
    connections,
    hardware_weights,
    hardware_weights_with_statistics,
    linear_saturating,
    suggest_scale,
    weight_statistics,
)

__all__ = [
    "AELIFOutput",
    "EventPropLIFOutput",
    "EventsToSpikesOutput",
    "LIFOutput",
    "LIOutput",
    "PackSpikesOutput",
    "PackedWeights",
    "RecurrentLIFOutput",
    "ScaleSuggestion",
    "SpikesToEventsOutput",
    "WeightStatistics",
    "aelif",
    "connections",
    "eventprop_graded_spikes",
    "eventprop_lif",
    "events_to_spikes",
    "exact_eventprop_lif",
    "graded_spikes",
    "hardware_weights",
    "hardware_weights_with_statistics",
    "li",
    "lif",
    "linear_saturating",
    "pack_spikes",
    "prepack",
    "prepacked_graded_spikes",
    "recurrent_lif",
    "sparse_graded_spikes",
    "spikes_to_events",
    "suggest_scale",
    "synapse_lif",
    "unpack_spikes",
    "weight_statistics",
]
