"""Populations of neurons."""

from typing import Any, Optional

from gradspike.spiking.modules.types.base import HXTorchBaseModule


class Population(HXTorchBaseModule):
    """Base of the populations.

    Args:
        size: Number of neurons.
        experiment: The experiment.
        chip_coordinate: Where the population lies on the chip; stored as it is.
        execution_instance: Execution instance that the population belongs to.
        name: Name on the chip and in files.
    """

    def __init__(
        self,
        size: int,
        experiment: Any,
        chip_coordinate: Any = None,
        execution_instance: Any = None,
        name: Optional[str] = None,
    ) -> None:
        super().__init__(experiment, name)
        self.size = size
        self.chip_coordinate = chip_coordinate
        self.execution_instance = execution_instance


class InputPopulation(Population):
    """Base of the populations whose spikes come from the host."""
