"""Data sets of the examples."""

from gradspike.datasets import YinYangDataset

__all__ = ["YinYangDataset"]
