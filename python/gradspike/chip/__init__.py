"""From a model to a chip: read, check, map, deploy.

`read` finds every keyed operator of a model and registers its projections and populations under the name of the
network; the other verbs read by themselves. Integers are always taken from the present parameters. A deployed network
runs on a backend, by default the ideal emulator, whose spikes and membranes are those of the training operators.

Example:
    >>> import gradspike, torch
    >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden"), gradspike.nn.LIF(20, name="hidden"))
    >>> deployed = gradspike.chip.deploy(model)
    >>> result = deployed((torch.rand(38, 1, 5) < 0.1).float())
    >>> result.target
    'emulator ideal'
"""

from gradspike.chip._backends import BackendError, attach, backends, detach, health
from gradspike.chip._check_run import report
from gradspike.chip._in_the_loop import InTheLoop, in_the_loop
from gradspike.chip._network import Deployed, Network
from gradspike.chip._report import Mapping, Report
from gradspike.chip._result import Result
from gradspike.chip._scales import ScaleMeasurement, measure_scales, suggest_scales
from gradspike.chip._verbs import (
    background_spikes,
    check,
    clear,
    deploy,
    load_network,
    map,
    population,
    presets,
    projection,
    read,
    registered,
)

__all__ = [
    "BackendError",
    "Deployed",
    "InTheLoop",
    "Mapping",
    "Network",
    "Report",
    "Result",
    "ScaleMeasurement",
    "attach",
    "backends",
    "background_spikes",
    "check",
    "clear",
    "deploy",
    "detach",
    "health",
    "in_the_loop",
    "load_network",
    "map",
    "measure_scales",
    "population",
    "presets",
    "projection",
    "read",
    "registered",
    "report",
    "suggest_scales",
]
