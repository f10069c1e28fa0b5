"""No result depends on memory that nobody wrote: results are the same when fresh memory is full of NaN or of junk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cases import CASES, gradients_of, outputs_of

HERE = Path(__file__).parent


def results_of(case, tensors):
    """All outputs and gradients."""
    outputs = outputs_of(case.call(*tensors))
    gradients = gradients_of(outputs, tensors) if case.differentiable else ()
    return [tensor.detach() for tensor in (*outputs, *gradients)]


@pytest.fixture
def poisoned():
    """Makes at::empty, in Python and in C++, fill tensors with NaN or the largest integer."""
    fill = torch.utils.deterministic.fill_uninitialized_memory

    def switch(on):
        torch.use_deterministic_algorithms(on)
        torch.utils.deterministic.fill_uninitialized_memory = on or fill

    yield switch
    switch(False)


def test_fresh_tensors_are_poisoned(poisoned):
    poisoned(True)
    in_cpp = torch.zeros(1).new_empty(3)  # calls at::empty there
    assert torch.empty(3).isnan().all() and in_cpp.isnan().all()
    assert (torch.empty(3, dtype=torch.int8) == 127).all()


@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_poisoned_tensors_change_nothing(case, batch, poisoned):
    tensors = case.arguments(batch)
    expected = results_of(case, tensors)
    poisoned(True)
    actual = results_of(case, tensors)
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a, e)
        assert not a.is_floating_point() or torch.isfinite(a).all()


PROGRAM = """
import hashlib, torch
from cases import CASES
from test_uninitialized import results_of
for case in CASES:
    digest = hashlib.sha256()
    for tensor in results_of(case, case.arguments()):
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    print(case.name, digest.hexdigest())
"""


def test_scratch_memory_full_of_junk_changes_nothing():
    """MALLOC_PERTURB_ fills what malloc hands out, and so the scratch memory of the kernels, with a byte."""
    answers = []
    for byte in ("0", "90", "255"):
        environment = {**os.environ, "MALLOC_PERTURB_": byte}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")])
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
        answers.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(answers[0].splitlines()) == len(CASES)
    assert answers[0] == answers[1] == answers[2]
