"""The examples of the docstrings run as they stand."""

import doctest
import importlib

import pytest
import torch

import gradspike


@pytest.mark.parametrize("name", ["functional", "nn", "transforms", "datasets", "_library"])
def test_examples(name):
    module = importlib.import_module(f"gradspike.{name}")
    result = doctest.testmod(module, extraglobs={"torch": torch, "gradspike": gradspike})
    assert result.attempted > 0 and result.failed == 0
