"""Transforms of weights, encoders and decoders."""

from gradspike.spiking.transforms import decode, encode, weight_transforms

__all__ = ["decode", "encode", "weight_transforms"]
