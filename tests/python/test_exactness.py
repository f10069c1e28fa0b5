"""One result, over many element-steps: eager loop, operator, TorchScript, archive and ideal emulator, bit for bit.

Membranes are compared beside spikes: a contracted multiply-add moves the last bit of a membrane in every other
element-step, but a spike only once in tens of thousands of neurons.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

import gradspike
from reference import eager

INPUTS, NEURONS, READOUTS = 64, 128, 10
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bin" / "gradspike-run"
PARAMETERS = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time")


@dataclass
class Compared:
    element_steps: int = 0
    spikes: int = 0


class Network(torch.nn.Module):
    """Two layers with parameters that differ from neuron to neuron, and a readout."""

    def __init__(self, refractory_time: float, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def spread(middle: float) -> Tensor:
            return middle * (0.8 + 0.4 * torch.rand(NEURONS, generator=generator))

        self.hidden = gradspike.nn.Synapse(INPUTS, NEURONS)
        self.lif = gradspike.nn.LIF(
            NEURONS,
            leak=spread(0.05),
            threshold=spread(1.0),
            tau_mem=spread(8e-6),
            tau_syn=spread(6e-6),
            membrane_capacitance=spread(8e-6),
            refractory_time=refractory_time,
        )
        self.readout = gradspike.nn.Synapse(NEURONS, READOUTS)
        self.li = gradspike.nn.LI(READOUTS)
        with torch.no_grad():
            for synapse in (self.hidden, self.readout):
                synapse.weight.copy_(torch.randn(synapse.weight.shape, generator=generator) * synapse.weight.std())

    def forward(self, spikes: Tensor) -> Tensor:
        return self.li(self.readout(self.lif(self.hidden(spikes))))


def compare(steps: int, batch: int, refractory_steps: int, seed: int, path: Path, chip: bool) -> Compared:
    """Compares one random network and input; returns what was compared."""
    network = Network(refractory_steps * 1e-6, seed)
    generator = torch.Generator().manual_seed(seed)
    spikes = torch.poisson(torch.full((steps, batch, INPUTS), 0.06), generator=generator)
    with torch.no_grad():
        current = network.hidden(spikes)
        traces = network.lif.traces(current)
        loop_traces = eager.lif(current, {name: getattr(network.lif, name) for name in PARAMETERS})
        outputs = network(spikes)
    for ours, loop in zip((traces.spikes, traces.membrane, traces.current), loop_traces[:3], strict=True):
        assert torch.equal(ours, loop)
    gradspike.save(network, path, name=f"exact{seed}")
    loaded = gradspike.load(path)
    with torch.no_grad():
        assert torch.equal(loaded(spikes), outputs)
    if chip:
        result = gradspike.chip.deploy(loaded)(spikes, membrane=["*"])
        assert torch.equal(result.spikes["lif"], traces.spikes)
        assert torch.equal(result.membrane["lif"], traces.membrane)
        assert torch.equal(result.outputs, outputs)
    return Compared(steps * batch * NEURONS, int(traces.spikes.sum()))


def total(cases: list[Compared]) -> Compared:
    return Compared(sum(case.element_steps for case in cases), sum(case.spikes for case in cases))


def test_a_million_element_steps(tmp_path: Path) -> None:
    cases = [compare(100, 30, refractory, 10 + refractory, tmp_path / "net.pt", True) for refractory in (0, 1, 3)]
    done = total(cases)
    assert done.element_steps >= 1_000_000
    assert 0.005 < done.spikes / done.element_steps < 0.5


@pytest.mark.slow
def test_a_hundred_million_element_steps(tmp_path: Path) -> None:
    cases = [compare(200, 1000, (0, 1, 3)[seed % 3], 100 + seed, tmp_path / "net.pt", True) for seed in range(4)]
    done = total(cases)
    assert done.element_steps >= 100_000_000
    assert 0.005 < done.spikes / done.element_steps < 0.5


@pytest.mark.slow
def test_a_hundred_million_element_steps_in_the_program(tmp_path: Path) -> None:
    if not PROGRAM.is_file():
        pytest.skip(f"the program is not built: {PROGRAM.relative_to(ROOT)}")
    steps, batch = 200, 4000
    network = Network(1e-6, 5)
    spikes = (torch.rand((steps, batch, INPUTS), generator=torch.Generator().manual_seed(5)) < 0.05).float()
    gradspike.save(network, tmp_path / "net.pt", name="program")
    lines = spikes.nonzero().tolist()
    text = "\n".join(f"{step},{entry},{neuron}" for step, entry, neuron in lines)
    (tmp_path / "in.csv").write_text(f"step,batch,neuron\n{text}\n", encoding="utf-8")
    with torch.no_grad():
        expected = network.lif(network.hidden(spikes))
    command = [PROGRAM, tmp_path / "net.pt", "--spikes", tmp_path / "in.csv", "--target", "cpu", "--population", "lif"]
    subprocess.run([*command, "--steps", str(steps), "--output", tmp_path / "out.csv"], check=True, capture_output=True)
    fired = (tmp_path / "out.csv").read_text(encoding="utf-8").split("\n", 1)[1].strip().replace("\n", ",")
    events = torch.from_numpy(numpy.fromstring(fired, sep=",")).long().view(-1, 3)
    actual = torch.zeros_like(expected)
    actual[events[:, 0], events[:, 1], events[:, 2]] = 1.0
    assert expected.numel() >= 100_000_000
    assert torch.equal(actual, expected)
