"""Plasticity rules: programs for the chip's own processors, carried along with a projection."""

import math
from dataclasses import dataclass
from typing import Any, Dict, Tuple


@dataclass(frozen=True)
class PlasticityRule:
    """A program that a chip runs on the synapses of a projection while a network runs.

    gradspike carries it, unread, from the module to registry, network description and backend; the emulator executes
    none, and says so in its results. Projections must be unsigned: a signed weight is two synapses.

    Attributes:
        kernel: The program, in the language of the backend.
        period: Time between two executions [s], above 0.
        start: Time of the first execution [s], at least 0.
        executions: Number of executions; 0: to the end of the run.
        recording: Names of what the rule records.

    Raises:
        ValueError: the kernel is empty, or a number is out of its range.

    Example:
        >>> rule = PlasticityRule("void PLASTICITY_RULE_KERNEL() {}", period=1e-3)
        >>> gradspike.nn.Synapse(5, 3, receptor="excitatory", plasticity_rule=rule).plasticity_rule.period
        0.001
    """

    kernel: str
    period: float
    start: float = 0.0
    executions: int = 0
    recording: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, str) or not self.kernel.strip():
            raise ValueError(f"PlasticityRule: kernel must be a program, got {self.kernel!r}")
        if not (math.isfinite(self.period) and self.period > 0):
            raise ValueError(f"PlasticityRule: period must be finite and above 0 s, got {self.period}")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise ValueError(f"PlasticityRule: start must be finite and at least 0 s, got {self.start}")
        if isinstance(self.executions, bool) or not isinstance(self.executions, int) or self.executions < 0:
            raise ValueError(f"PlasticityRule: executions must be a whole number from 0, got {self.executions!r}")

    def as_wish(self) -> Dict[str, Any]:
        """The options of `gradspike.chip.read` that carry it."""
        return {
            "plasticity_rule": self.kernel,
            "plasticity_start": float(self.start),
            "plasticity_period": float(self.period),
            "plasticity_executions": self.executions,
            "plasticity_recording": list(self.recording),
        }
