"""torch.library.opcheck of every operator, as it is called from outside and by the autograd kernels."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cases import CASES, outputs_of


class Calls(TorchDispatchMode):
    """Collects the calls of gradspike operators below autograd: forward and backward parts with real arguments."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "gradspike":
            self.seen.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def calls_of(case, requires_grad):
    """(operator, args, kwargs) of a forward and, with gradients, a backward pass."""
    tensors = case.arguments(requires_grad=requires_grad)
    with Calls() as calls:
        outputs = [output for output in outputs_of(case.call(*tensors)) if output.requires_grad]
        if outputs:
            torch.autograd.backward(outputs, [torch.randn_like(output) for output in outputs])
    return calls.seen


def detached(value):
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_public_operator(case, requires_grad):
    """Through the arguments that the functional call makes, with leaves that ask for gradients."""
    seen = calls_of(case, requires_grad=False)
    names = [func.name() for func, _, _ in seen]
    public = [call for call in seen if not call[0].name().split("::")[1].startswith("_")]
    assert public, names
    func, args, kwargs = public[0]
    leaves = case.arguments(requires_grad=False)
    wanted = [leaves[position] for position in case.differentiable] if requires_grad else []

    def copied(value):
        """A leaf; arguments equal to a tensor that takes gradients ask for one."""
        if not isinstance(value, torch.Tensor):
            return value
        return value.detach().clone().requires_grad_(any(torch.equal(value, tensor) for tensor in wanted))

    torch.library.opcheck(func, tuple(copied(a) for a in args), {k: copied(v) for k, v in kwargs.items()})


ALL_UTILITIES = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
BACKWARD_CASES = [case for case in CASES if case.differentiable]


@pytest.mark.parametrize("case", BACKWARD_CASES, ids=lambda case: case.name)
def test_operators_below_autograd(case):
    """Forward and backward parts, with the arguments that the autograd kernels give them."""
    seen = [call for call in calls_of(case, requires_grad=True) if call[0].name().split("::")[1].startswith("_")]
    assert any("backward" in func.name() for func, _, _ in seen), [func.name() for func, _, _ in seen]
    for func, args, kwargs in seen:
        arguments = (tuple(detached(a) for a in args), {k: detached(v) for k, v in kwargs.items()})
        torch.library.opcheck(func, *arguments, test_utils=utilities_for(func, arguments))


def utilities_for(func, arguments):
    """opcheck's comparison of compiled results takes no NaN for equal; NaN marks refractory steps in a saved trace."""
    outputs = outputs_of(func(*arguments[0], **arguments[1]))
    has_nan = any(output.is_floating_point() and bool(output.isnan().any()) for output in outputs if output is not None)
    return ALL_UTILITIES[:-1] if has_nan else ALL_UTILITIES


def test_every_operator_was_checked():
    checked = set()
    for case in CASES:
        for requires_grad in (False, True) if case.differentiable else (False,):
            checked.update(func.name().split("::")[1] for func, _, _ in calls_of(case, requires_grad))
    registered = {
        schema.name.split("::")[1]
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("gradspike::")
    }
    tensorless = {"_version_info"}
    assert registered - tensorless <= checked, sorted(registered - checked)


@pytest.mark.parametrize("shape", [(0, 2, 4), (3, 0, 4), (1, 1, 4)])
@pytest.mark.parametrize("op", ["lif", "li", "aelif", "graded_spikes"])
def test_empty_and_small(op, shape):
    x = torch.randn(shape, requires_grad=True)
    number = [torch.tensor(value, dtype=torch.float64) for value in (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5, 0.0)]
    if op == "lif":
        torch.library.opcheck(torch.ops.gradspike.lif.default, (x, *number))
    elif op == "li":
        torch.library.opcheck(torch.ops.gradspike.li.default, (x, number[0], *number[3:6]))
    elif op == "aelif":
        more = [torch.tensor(value, dtype=torch.float64) for value in (0.1, 0.8, 0.1, 0.1, 1e-4)]
        torch.library.opcheck(torch.ops.gradspike.aelif.default, (x, *number, *more))
    else:
        torch.library.opcheck(torch.ops.gradspike.graded_spikes.default, (x, torch.randn(3, 4, requires_grad=True)))


def test_non_contiguous():
    x = torch.randn(4, 2, 5).transpose(0, 2).requires_grad_()
    weight = torch.randn(4, 3).t().requires_grad_()
    torch.library.opcheck(torch.ops.gradspike.graded_spikes.default, (x, weight, 32.0))
    number = [torch.tensor(value, dtype=torch.float64) for value in (0.0, 1e-5, 1e-5, 1e-5)]
    torch.library.opcheck(torch.ops.gradspike.li.default, (x, *number))
