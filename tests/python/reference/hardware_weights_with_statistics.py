"""Integers and their statistics, each from its own reference."""

from reference.hardware_weights import hardware_weights
from reference.weight_statistics import weight_statistics


def hardware_weights_with_statistics(weight, *args):
    return hardware_weights(weight, *args), weight_statistics(weight, *args)
