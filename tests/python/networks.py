"""The small network that the tests of files, targets and refusals share."""

from torch import nn

from gradspike.nn import LI, LIF, Synapse


def network_model() -> nn.Sequential:
    return nn.Sequential(
        Synapse(5, 8, name="in", scale=16.0),
        LIF(8, name="hidden", threshold=0.3),
        Synapse(8, 3, name="out", scale=16.0),
        LI(3, name="readout"),
    )
