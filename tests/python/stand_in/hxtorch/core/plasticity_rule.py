"""Plasticity rules of projections and when they are executed."""

import math


class Timer:
    """Times in microseconds."""

    def __init__(self, **parameters):
        assert set(parameters) == {"start", "period", "num_periods"}, f"a timer has no {sorted(parameters)}"
        self.start, self.period, self.num_periods = (parameters[k] for k in ("start", "period", "num_periods"))
        assert self.start >= 0 and self.period > 0, "start and period are times"
        assert type(self.num_periods) is int and self.num_periods > 0, "num_periods is a whole number"

    def executions(self, end):
        """How often a rule is executed until `end` [us] of a run that begins at 0."""
        return min(self.num_periods, math.ceil(max(end - self.start, 0) / self.period))


class PlasticityRule:
    def __init__(self, kernel, timer):
        assert isinstance(kernel, str) and "PLASTICITY_RULE_KERNEL" in kernel, "a rule defines its kernel"
        assert isinstance(timer, Timer), "the second argument is the timer"
        self.kernel, self.timer = kernel, timer
