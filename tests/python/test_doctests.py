"""The examples of the docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import gradspike


def modules(name):
    """A module and, where it is a package, the modules in it."""
    module = importlib.import_module(f"gradspike.{name}")
    inner = pkgutil.walk_packages(getattr(module, "__path__", []), f"gradspike.{name}.")
    return [module] + [importlib.import_module(m.name) for m in inner]


NAMES = [
    "compat",
    "functional",
    "nn",
    "spiking",
    "transforms",
    "datasets",
    "nir",
    "plot",
    "tracking",
    "distributed",
    "chip",
    "_archive",
    "_saving",
    "_library",
]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name, request):
    found = {
        "getfixture": request.getfixturevalue,
        "torch": torch,
        "gradspike": gradspike,
        **vars(importlib.import_module(f"gradspike.{name}")),
    }
    results = [doctest.testmod(module, extraglobs=found) for module in modules(name)]
    assert sum(r.attempted for r in results) > 0 and not any(r.failed for r in results)


@pytest.mark.parametrize("name", ["functional", "nn"])
def test_every_public_function_has_an_example_that_runs(name):
    finder = doctest.DocTestFinder()
    public = importlib.import_module(f"gradspike.{name}").__all__
    with_example = {t.name.split(".")[-1] for m in modules(name) for t in finder.find(m) if t.examples}
    classes_of_results = {n for n in public if n.endswith(("Output", "Statistics", "Suggestion"))}
    assert set(public) - classes_of_results <= with_example
