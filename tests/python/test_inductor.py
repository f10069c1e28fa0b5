"""Inductor, in one file so that its start is paid once."""

import os

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh_compiler(tmp_path, monkeypatch):
    # The cache key knows nothing of an operator's fake kernel, so a cached graph would hide a change of it.
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    monkeypatch.setenv("TORCHINDUCTOR_VEC_ISA_OK", os.environ.get("TORCHINDUCTOR_VEC_ISA_OK", "1"))
    torch._dynamo.reset()


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward(case, dynamic):
    compiled = torch.compile(case.call, fullgraph=True, dynamic=dynamic)
    for batch in (3, 5) if dynamic else (3,):
        tensors = case.arguments(batch, requires_grad=False)
        for a, e in zip(outputs_of(compiled(*tensors)), outputs_of(case.call(*tensors))):
            assert torch.equal(a, e)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_backward(case):
    tensors = case.arguments()
    compiled = torch.compile(case.call, fullgraph=True)
    expected = gradients_of(case.call(*tensors), tensors)
    for a, e in zip(gradients_of(compiled(*tensors), tensors), expected):
        assert torch.equal(a, e)
