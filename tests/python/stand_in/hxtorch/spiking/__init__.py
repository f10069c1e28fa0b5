"""What a server uses of hxtorch.spiking."""

from hxtorch.spiking._experiment import Experiment, run
from hxtorch.spiking._handle import LIFObservables, LIObservables, SynapseHandle
from hxtorch.spiking._modules import LI, LIF, HXParameter, MixedHXModelParameter, Synapse
from hxtorch.spiking._wrapper import HXModuleWrapper

__all__ = [
    "LI",
    "LIF",
    "Experiment",
    "HXModuleWrapper",
    "HXParameter",
    "LIFObservables",
    "LIObservables",
    "MixedHXModelParameter",
    "Synapse",
    "SynapseHandle",
    "run",
]
