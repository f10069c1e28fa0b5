"""Every operator gives the same bits for any number of threads, forward and backward."""

import pytest
import torch

from cases import CASES
from test_uninitialized import results_of

BATCHES = (3, 701)  # the second is split between threads


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_bits(case, batch, threads):
    tensors = case.arguments(batch)
    threads(1)
    expected = results_of(case, tensors)
    for count in (2, 7, 2):
        threads(count)
        for actual, wanted in zip(results_of(case, tensors), expected, strict=True):
            assert torch.equal(actual, wanted)
