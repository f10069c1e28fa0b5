"""Plasticity rules in the way of hxtorch: a kernel and when it runs."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Timer:
    """When a rule runs.

    Attributes:
        start: Time of the first execution [us].
        period: Time between two executions [us].
        num_periods: Number of executions.
    """

    start: float
    period: float
    num_periods: int


@dataclass
class PlasticityRule:
    """A program that the chip runs on the synapses of a projection; see `gradspike.nn.PlasticityRule`.

    Attributes:
        kernel: The program, in the language of the backend.
        timer: When it runs: anything with `start`, `period` [us] and `num_periods`.
    """

    kernel: str
    timer: Any

    def generate_kernel(self) -> str:
        """The program."""
        return self.kernel
