"""Autocast regions give the bits of float32."""

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values(case, dtype):
    tensors = case.arguments(requires_grad=False)
    with torch.autocast("cpu", dtype=dtype):
        result = outputs_of(case.call(*tensors))
    for actual, expected in zip(result, outputs_of(case.call(*tensors))):
        assert actual.dtype == expected.dtype
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_gradients(case):
    tensors = case.arguments()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = case.call(*tensors)
    for actual, expected in zip(gradients_of(result, tensors), gradients_of(case.call(*tensors), tensors)):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("name", ["graded_spikes", "lif_numbers", "li_numbers"])
def test_narrow_activations_come_out_in_float32(name):
    (case,) = (case for case in CASES if case.name == name)
    tensors = tuple(tensor.bfloat16() for tensor in case.arguments(requires_grad=False))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = outputs_of(case.call(*tensors))
    expected = outputs_of(case.call(*(tensor.float() for tensor in tensors)))
    for actual, wanted in zip(result, expected):
        assert actual.dtype == torch.float32
        assert torch.equal(actual, wanted)
