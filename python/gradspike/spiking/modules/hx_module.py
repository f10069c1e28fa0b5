"""A function of the user as a module."""

from typing import Any, Optional

from gradspike.spiking.modules.types import HXFunctionalModule


class HXModule(HXFunctionalModule):
    """Base of the user's own modules, which the host computes: subclass it and implement `forward_func`.

    Args:
        experiment: The experiment.
        chip_coordinate: Stored as it is.
        name: Name in messages.
    """

    def __init__(self, experiment: Any, chip_coordinate: Any = None, name: Optional[str] = None) -> None:
        super().__init__(experiment, name)
        self.chip_coordinate = chip_coordinate
        self.execution_instance = chip_coordinate
