"""Spikes from the host as a population."""

from typing import Any, Optional

from gradspike.spiking import _readout
from gradspike.spiking.functional import input_neuron
from gradspike.spiking.handle import LIFObservables
from gradspike.spiking.modules.types import InputPopulation


class InputNeuron(InputPopulation):
    """Spikes that the host sends: the identity. A projection that reads a handle of the user has one by itself.

    Args:
        size: Number of inputs.
        experiment: The experiment.
        chip_coordinate: Stored as it is.
        enable_spike_loopback: Whether the spikes are taken as the backend received them.
        execution_instance: Stored as it is.
        name: Name on the chip and in files.
    """

    output_type = LIFObservables

    def __init__(
        self,
        size: int,
        experiment: Any,
        chip_coordinate: Any = None,
        enable_spike_loopback: bool = False,
        *,
        execution_instance: Any = None,
        name: Optional[str] = None,
    ) -> None:
        super().__init__(size, experiment, chip_coordinate, execution_instance, name)
        self.enable_spike_loopback = enable_spike_loopback

    def forward_func(self, input: Any, hw_data: Any = None) -> Any:
        """The handle of the same spikes."""
        measured = _readout.measured(hw_data, input.spikes.shape[0])
        return LIFObservables(spikes=input_neuron(input.spikes, measured.spikes))

    def extra_repr(self) -> str:
        return f"size={self.size}"
