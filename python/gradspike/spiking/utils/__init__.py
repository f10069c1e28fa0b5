"""Utilities around experiments: dynamic ranges, state dictionaries of other models."""

from gradspike.spiking.utils.dynamic_range import get_dynamic_range, get_trace_scaling, get_weight_scaling
from gradspike.spiking.utils.model_mapper import MixinHXModelMapper

__all__ = ["MixinHXModelMapper", "get_dynamic_range", "get_trace_scaling", "get_weight_scaling"]
