"""Networks of experiments as NIR graphs."""

from typing import Any, Dict

import torch
from torch import Tensor

from gradspike import nir
from gradspike.spiking.experiment import Experiment
from gradspike.spiking.files import to_module


class SNN(torch.nn.Module):
    """Base of networks that `to_nir` exports: they hold their experiment as `exp`.

    Args:
        dt: Time step [s].
        mock: Whether to simulate.
        device: Device of the network, for subclasses.
    """

    def __init__(self, dt: float = 1e-6, mock: bool = True, device: Any = None) -> None:
        super().__init__()
        self.exp = Experiment(mock=mock, dt=dt)
        self.device = torch.device("cpu") if device is None else device


def to_nir(snn: Any, input_sample: Any = None, *, time_unit: str = "ms", spike: str = "jump", **options: Any) -> Any:
    """The graph of a network, with its modules' names; see `gradspike.nir.to_nir`.

    Args:
        snn: A network with an experiment `exp`, or an experiment.
        input_sample: What the network is called with; None: it was called before.
        time_unit: What times are counted in; hxtorch's are ms.
        spike: How the graph is to be read; in hxtorch a spike adds the bare weight.
        **options: Further ones of `gradspike.nir.to_nir`.

    Returns:
        nir.NIRGraph. `from_nir(to_nir(snn, sample))` gives the spikes of the network.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> class Network(SNN):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.synapse = hxsnn.Synapse(5, 3, self.exp, name="weights")
        ...         self.neurons = hxsnn.LIF(3, self.exp, name="lif", refractory_time=0.0)
        ...
        ...     def forward(self, spikes):
        ...         return self.neurons(self.synapse(hxsnn.LIFObservables(spikes=spikes)))
        >>> sorted(to_nir(Network(), torch.zeros(9, 1, 5), metadata=False).nodes)
        ['input0', 'lif', 'output', 'weights']
    """
    experiment = getattr(snn, "exp", snn)
    if input_sample is not None:
        snn(input_sample)
    return nir.to_nir(to_module(experiment), time_unit=time_unit, spike=spike, **options)


def to_nir_data(tensors: Dict[str, Tensor], model: Any, *, events: bool = False) -> Any:
    """Spikes `[time, batch, neuron]` as NIR data on the time grid of a model, see `gradspike.nir.to_nir_data`."""
    return nir.to_nir_data(tensors, dt=model.exp.dt, events=events)
