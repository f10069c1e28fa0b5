"""Utilities around experiments: NIR graphs, dynamic ranges, state dictionaries of other models."""

from gradspike.spiking.utils.dynamic_range import get_dynamic_range, get_trace_scaling, get_weight_scaling
from gradspike.spiking.utils.from_nir import ConversionConfig, from_nir_data
from gradspike.spiking.utils.model_mapper import MixinHXModelMapper
from gradspike.spiking.utils.to_nir import to_nir_data

__all__ = [
    "ConversionConfig",
    "MixinHXModelMapper",
    "from_nir_data",
    "get_dynamic_range",
    "get_trace_scaling",
    "get_weight_scaling",
    "to_nir_data",
]
