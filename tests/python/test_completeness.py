"""Every registered operator has its kernels, its Python function with a docstring, a reference and a test."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

import gradspike
from gradspike import functional

HERE = Path(__file__).parent
# Operators without tensors have one kernel for all backends.
TENSORLESS = {"_version_info"}
SCHEMAS = sorted(
    s.name for s in torch._C._jit_get_all_schemas() if s.name.startswith("gradspike::") and not s.overload_name
)
OPERATORS = [name for name in SCHEMAS if name.split("::")[1] not in TENSORLESS]
PUBLIC = [name.split("::")[1] for name in OPERATORS if not name.split("::")[1].startswith("_")]
CUDA_LOADED = gradspike.version_info().cuda == "loaded"


def has_kernel(operator, key):
    return torch._C._dispatch_has_kernel_for_dispatch_key(operator, key)


def test_operators_are_found():
    assert {"graded_spikes", "lif", "li", "connections"} <= set(PUBLIC)
    assert has_kernel("aten::relu", "CPU") and not has_kernel("gradspike::lif", "XLA")  # the question can say no


def test_no_operator_is_defined_twice():
    assert len(SCHEMAS) == len(set(SCHEMAS))


@pytest.mark.parametrize("key", ["CPU", "Meta", "Autograd", "CUDA"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_kernel(operator, key):
    if key == "CUDA" and not CUDA_LOADED:
        pytest.skip(f"the CUDA library is {gradspike.version_info().cuda}")
    assert has_kernel(operator, key)


@pytest.mark.parametrize("key", ["AutocastCPU", "AutocastCUDA"])
@pytest.mark.parametrize("name", PUBLIC)
def test_autocast_rule(name, key):
    assert has_kernel(f"gradspike::{name}", key)


@pytest.mark.parametrize("name", PUBLIC)
def test_function_with_a_docstring(name):
    function = getattr(functional, name)
    assert name in functional.__all__
    text = function.__doc__
    for section in ("Args:", "Returns:", "Raises:", "Note:", "Source:", "Example:", ">>> "):
        assert section in text, section
    assert "eterministic" in text


@pytest.mark.parametrize("name", PUBLIC)
def test_function_takes_the_arguments_of_the_schema(name):
    """Names, order and defaults: a user who reads one knows the other."""
    (schema,) = (s for s in torch._C._jit_get_all_schemas() if s.name == f"gradspike::{name}" and not s.overload_name)
    parameters = inspect.signature(getattr(functional, name)).parameters
    assert [argument.name for argument in schema.arguments] == list(parameters)
    for argument in schema.arguments:
        if argument.has_default_value():
            assert parameters[argument.name].default == argument.default_value, argument.name


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_names_every_argument(name):
    text = getattr(functional, name).__doc__
    (schema,) = (s for s in torch._C._jit_get_all_schemas() if s.name == f"gradspike::{name}" and not s.overload_name)
    for argument in schema.arguments:
        assert f"{argument.name}: " in text, argument.name


@pytest.mark.parametrize("name", PUBLIC)
def test_reference_and_test_file(name):
    assert hasattr(importlib.import_module(f"reference.{name}"), name if name != "graded_spikes" else "integer_product")
    assert (HERE / f"test_{name}.py").is_file()
    assert (
        f"import {name}" in (HERE / f"test_{name}.py").read_text()
        or f", {name}" in (HERE / f"test_{name}.py").read_text()
    )


def test_references_are_independent():
    for path in (HERE / "reference").glob("*.py"):
        assert not re.search(r"^\s*(import|from) gradspike", path.read_text(), re.MULTILINE), path.name


def test_public_names_exist_and_have_docstrings():
    for module in ("functional", "nn", "transforms", "datasets", "plot"):
        loaded = importlib.import_module(f"gradspike.{module}")
        assert loaded.__doc__
        for name in loaded.__all__:
            assert getattr(loaded, name).__doc__, f"{module}.{name}"


def test_every_public_class_of_nn_is_exported():
    from gradspike import nn

    found = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and value.__module__.startswith("gradspike.nn.") and not name.startswith("_")
    }
    assert found <= set(nn.__all__)
    assert found == {n for n in nn.__all__ if inspect.isclass(getattr(nn, n))}
