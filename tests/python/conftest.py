"""Seeds and tolerances of the Python tests."""

import os
import random
from pathlib import Path
from typing import Dict

import pytest
import torch
from hypothesis import settings

# One seed per test: a failure shows it, and GRADSPIKE_TEST_SEED repeats or varies it.
SEED = int(os.environ.get("GRADSPIKE_TEST_SEED", "1"))

# The same examples in every run, and no folder of them; the seed varies them where it is given.
settings.register_profile(
    "gradspike", database=None, deadline=None, derandomize="GRADSPIKE_TEST_SEED" not in os.environ
)
settings.load_profile("gradspike")

# Relative and absolute tolerances against a float64 reference, per dtype of the computation. float32 sums over time
# and batch: 2^-24 per operation, a few thousand operations, random signs.
TOLERANCES = {
    torch.float32: {"rtol": 2e-5, "atol": 2e-6},
    torch.float64: {"rtol": 1e-10, "atol": 1e-12},
}


@pytest.fixture(autouse=True)
def seed() -> int:
    random.seed(SEED)
    torch.manual_seed(SEED)
    return SEED


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the help texts of the command name; nothing is to be written into it."""
    from commands import write_files

    return write_files(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def tolerances() -> Dict[torch.dtype, Dict[str, float]]:
    return TOLERANCES


def pytest_report_header() -> str:
    return f"seed: {SEED} (GRADSPIKE_TEST_SEED)"
