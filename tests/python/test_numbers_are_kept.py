"""Numbers that are kept between calls stay plain tensors, whatever transform or mode ran first."""

import copy
import math
import pickle

import pytest
import torch

from gradspike import functional as F
from gradspike.functional._arguments import number

X = torch.rand(6, 2, 3) * 3.0


def refused(call):
    with pytest.raises(RuntimeError):
        call()


TRANSFORMS = {
    "grad": lambda f: torch.func.grad(lambda x: f(x).sum())(X),
    "vjp": lambda f: torch.func.vjp(f, X)[1](torch.ones_like(X)),
    "vmap": lambda f: torch.func.vmap(f, 1)(X[:, :, None]),
    "functionalize": lambda f: torch.func.functionalize(f)(X),
    "jvp": lambda f: refused(lambda: torch.func.jvp(f, (X,), (X,))),
    "inference mode": lambda f: torch.inference_mode()(f)(X),
    "meta": lambda f: f(X.to("meta")),
    "compile": lambda f: torch.compile(f, backend="eager", fullgraph=True)(X),
    "autocast": lambda f: torch.autocast("cpu")(f)(X),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_after_a_transform(name):
    threshold = 0.5 + len(name) / 97  # a number that no other test has used
    TRANSFORMS[name](lambda x: F.lif(x, threshold=threshold).spikes)
    kept = number(threshold)
    assert type(kept) is torch.Tensor and not kept.is_inference() and not torch._is_functional_tensor(kept)
    assert kept.device.type == "cpu" and kept.item() == threshold
    for copied in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert torch.equal(copied, kept)
    x = X.clone().requires_grad_()
    spikes = F.lif(x, threshold=threshold).spikes
    spikes.sum().backward()
    assert isinstance(spikes.tolist(), list) and isinstance(x.grad.tolist(), list)
    assert torch.equal(spikes, F.lif(X, threshold=torch.tensor(threshold, dtype=torch.float64)).spikes)


def test_zeros_keep_their_sign():
    assert math.copysign(1.0, number(0.0).item()) == 1.0
    assert math.copysign(1.0, number(-0.0).item()) == -1.0


def test_one_tensor_for_one_number():
    assert number(0.123456) is number(0.123456)
