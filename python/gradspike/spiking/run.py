"""Executes an experiment."""

from typing import Any


def run(experiment: Any, runtime: Any) -> Any:
    """Executes the modules that were called, in the order of their connections, and fills their handles.

    Afterwards the graph is empty: a second run without new calls does nothing.

    Args:
        experiment: The experiment.
        runtime: Number of time steps. With `mock=True` it has no effect, the number of steps is that of the inputs;
            on a backend inputs are cut or go on without spikes to this number.

    Returns:
        None with `mock=True`, else what the backend gave, a `gradspike.chip.Result`.

    Raises:
        ValueError: the runtime of a backend is no whole number, modules read each other in a circle outside of a
            wrapper, or, on a backend, a projection leads to no population.
        RuntimeError: the network does not fit the chip; the message names every misfit.
    """
    return experiment.run(runtime)
