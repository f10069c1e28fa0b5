"""What the modules of an experiment are: populations, projections and functions between them."""

from gradspike.spiking.modules.types.base import HXFunctionalModule, HXTorchBaseModule
from gradspike.spiking.modules.types.population import InputPopulation, Population
from gradspike.spiking.modules.types.projection import Projection, ProjectionConnection

__all__ = [
    "HXFunctionalModule",
    "HXTorchBaseModule",
    "InputPopulation",
    "Population",
    "Projection",
    "ProjectionConnection",
]
