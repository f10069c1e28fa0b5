"""Dense projections with the second channel of EventProp."""

from typing import Any

import torch

from gradspike import functional
from gradspike.spiking.handle import SynapseHandle
from gradspike.spiking.modules.synapse import Synapse


class EventPropSynapse(Synapse):
    """`Synapse` for an `EventPropLIF`: `graded_spikes [2, time, batch, out_features]`.

    Slice 0 holds the graded spikes, slice 1 zeros, through which the neurons send their second gradient. With G0 and G1
    the gradients to the slices, `dL/dspikes = G1 @ weight` and `dL/dweight` is the sum over time and batch of
    `G0[t, b, post] * spikes[t, b, pre]`. See `gradspike.functional.eventprop_graded_spikes`.
    """

    def forward_func(self, input: Any) -> Any:
        """The handle of both channels of a handle of spikes."""
        weight, scale, low, high, rounding = self.arithmetic()
        channels = functional.eventprop_graded_spikes(self._spikes_of(input), weight, scale, low, high, rounding)
        return SynapseHandle(graded_spikes=torch.stack(channels))
