"""The graph of a file must not start programs, load libraries or open files through the classes of this library.

A file that is opened runs parts of its graph: weights are evaluated, `__setstate__` runs while PyTorch loads it.
"""

import pytest
import torch

import gradspike
from gradspike import functional as F
from gradspike import nn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
REFUSED = "is for programs: a model must not call it"


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(4, 5))
        self.lif = nn.LIF(4, name="p")

    def weight(self):
        return self.w

    def forward(self, x):
        return self.lif(F.graded_spikes(x, self.weight(), 20.0, projection="p"))


class RunsNativeCode(Model):
    def weight(self):
        w = self.w
        if bool(self.w.abs().sum() >= 0.0):
            w = torch.classes.gradspike.NativeCode("net.pt2", torch.device("cpu")).run([self.w])[0]
        return w


class StartsAProgram(Model):
    def weight(self):
        w = self.w
        if bool(self.w.abs().sum() >= 0.0):
            registry = torch.classes.gradspike.Registry()
            registry.attach_process("x", ["/bin/sh", "-c", "touch started"], 2.0)
            w = self.w * float(len(registry.health("x")))
        return w


class LoadsALibrary(Model):
    def weight(self):
        w = self.w
        if bool(self.w.abs().sum() >= 0.0):
            torch.classes.gradspike.Registry().attach_library("x", "library.so")
        return w


class InAFork(Model):
    def forward(self, x):
        task = torch.jit.fork(attach, self.w)
        return self.lif(F.graded_spikes(x, torch.jit.wait(task), 20.0, projection="p"))


def attach(w: torch.Tensor):
    torch.classes.gradspike.Registry().attach_process("x", ["/bin/sh", "-c", "touch started"], 2.0)
    return w


@pytest.mark.parametrize("kind", [RunsNativeCode, StartsAProgram])
def test_weights_that_are_evaluated(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(kind().eval()), "net.pt")
    with pytest.raises(ValueError, match=REFUSED):
        gradspike.load("net.pt")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", [RunsNativeCode, StartsAProgram, LoadsALibrary, InAFork])
def test_a_forward_pass(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(kind().eval()), "net.pt")
    with pytest.raises(RuntimeError, match=REFUSED):
        torch.jit.load("net.pt")(torch.zeros(3, 1, 5))
    assert not (tmp_path / "started").exists()


class WhileItIsLoaded(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.training = False

    @torch.jit.export
    def __getstate__(self):
        return 1

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        torch.classes.gradspike.Registry().attach_process("x", ["/bin/sh", "-c", "touch started"], 2.0)
        self.training = False

    def forward(self, x):
        return self.linear(x)


def test_while_a_file_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(WhileItIsLoaded()), "net.pt")
    with pytest.raises(RuntimeError, match=REFUSED):
        torch.jit.load("net.pt")
    with pytest.raises(ValueError, match="cannot be loaded"):
        gradspike.load("net.pt")
    assert not (tmp_path / "started").exists()
