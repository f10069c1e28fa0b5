"""On a GPU every road gives the spikes of the CPU: training, compile, export, archives, targets, vmap, large sizes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradspike
from gradspike import chip, nn, spiking
from gradspike import functional as F
from gradspike.examples import cuda_graph

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU in this machine"),
    pytest.mark.skipif(
        gradspike.version_info().cuda != "loaded", reason=f"the CUDA library is {gradspike.version_info().cuda}"
    ),
]


def make():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        nn.Synapse(5, 40, name="hidden", scale=20.0),
        nn.LIF(40, name="hidden", tau_mem=6e-6, refractory_time=2e-6),
        nn.Synapse(40, 3, name="out", scale=32.0),
        nn.LI(3, name="out"),
    )


def spikes(steps=30, batch=4, seed=0):
    return (torch.rand(steps, batch, 5, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def same(actual, expected):
    assert actual.is_cuda
    assert torch.equal(actual.cpu(), expected)


def test_model():
    x = spikes()
    same(make().cuda()(x.cuda()), make()(x))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_training_step(dynamic):
    eager, compiled = make().cuda(), make().cuda()
    fast = torch.compile(compiled, fullgraph=True, dynamic=dynamic)
    for batch in (4, 4, 7) if dynamic else (4, 4):
        x = spikes(batch=batch, seed=batch).cuda()
        expected, actual = eager(x), fast(x)
        assert torch.equal(actual, expected)
        expected.square().mean().backward()
        actual.square().mean().backward()
    for a, e in zip(compiled.parameters(), eager.parameters()):
        assert torch.equal(a.grad, e.grad)


def test_torchscript():
    x = spikes()
    same(torch.jit.script(make()).cuda()(x.cuda()), make()(x))


def test_vmap_over_weights():
    x, weights = spikes(), torch.randn(6, 40, 5)

    def layer(weight, x):
        return F.lif(F.graded_spikes(x, weight, 20.0)).spikes

    same(torch.func.vmap(layer, (0, None))(weights.cuda(), x.cuda()), torch.func.vmap(layer, (0, None))(weights, x))


def test_autocast_keeps_the_spikes():
    x, network = spikes(), make()
    expected = network(x)
    with torch.autocast("cuda", dtype=torch.float16):
        same(network.cuda()(x.cuda()).float(), expected)


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_archive_of_a_model_on_the_gpu(suffix, tmp_path):
    """It holds CPU tensors, opens on any machine and runs on the GPU when moved there."""
    x, path = spikes(), tmp_path / f"net{suffix}"
    expected = make()(x)
    write = gradspike.save if suffix == ".pt" else gradspike.export
    write(make().cuda(), path, example=x.cuda())
    loaded = gradspike.load(path)
    assert all(not parameter.is_cuda for parameter in loaded.parameters())
    assert torch.equal(loaded(x), expected)
    same(loaded.cuda()(x.cuda()), expected)


def test_export_of_both_devices_is_the_same_description(tmp_path):
    x = spikes()
    on_cpu = gradspike.export(make(), tmp_path / "cpu.pt2", example=x, name="net")
    on_gpu = gradspike.export(make().cuda(), tmp_path / "gpu.pt2", example=x.cuda(), name="net")
    assert on_cpu._handle.description() == on_gpu._handle.description()


def test_deploy_of_a_model_on_the_gpu():
    x = spikes()
    network = chip.read(make(), x, "net")
    moved = chip.read(make().cuda(), x.cuda(), "net")
    assert network._handle.description() == moved._handle.description()


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_gradspike_run(suffix, tmp_path):
    """The C++ program runs an archive on cpu, cuda and the emulator and finds the same spikes."""
    program = Path(gradspike.version_info().library_directory) / "../bin/gradspike-run"
    if not program.exists():
        pytest.skip(f"no program at {program}")
    path, x = tmp_path / f"net{suffix}", spikes()
    (gradspike.save if suffix == ".pt" else gradspike.export)(make().cuda(), path, example=x.cuda())
    events = "\n".join(",".join(str(int(i)) for i in event) for event in x.nonzero())
    (tmp_path / "in.csv").write_text("step,batch,neuron\n" + events + "\n")
    command = [str(program), str(path), "--spikes", str(tmp_path / "in.csv"), "--verify", "cpu,cuda,emulator"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hardware_weights", [False, True])
def test_spiking_experiment(hardware_weights):
    """Modules in the way of hxtorch: spikes and gradients of the CPU."""

    def run(device):
        torch.manual_seed(1)
        experiment = spiking.Experiment(mock=True)
        synapse = spiking.Synapse(5, 8, experiment, hardware_weights=hardware_weights)
        neurons = spiking.LIF(
            8, experiment, tau_mem=6e-6, tau_syn=6e-6, membrane_capacitance=6e-6, leak=0.0, reset=0.0, threshold=1.0
        )
        torch.nn.init.normal_(synapse.weight, 1.0, 1.0)
        synapse.to(device)
        neurons.to(device)
        handle = neurons(synapse(spiking.LIFObservables(spikes=spikes().to(device))))
        spiking.run(experiment, 30)
        assert handle.spikes.sum() > 0
        handle.membrane_cadc.sum().backward()
        return handle.spikes.detach(), synapse.weight.grad

    (on_gpu, gradient), (expected, expected_gradient) = run("cuda"), run("cpu")
    if hardware_weights:
        same(on_gpu, expected)
        torch.testing.assert_close(gradient.cpu(), expected_gradient, rtol=1e-4, atol=1e-5)
    else:  # sums of float weights have no order of their own
        assert (on_gpu.cpu() != expected).float().mean() < 0.01


@pytest.mark.parametrize("name", ["graded_spikes", "lif", "synapse_lif", "recurrent_lif"])
def test_tensors_of_two_devices_are_refused(name):
    x, weight = spikes(), torch.randn(5, 5)
    calls = {
        "graded_spikes": lambda: F.graded_spikes(x.cuda(), weight, 20.0),
        "lif": lambda: F.lif(x.cuda(), threshold=torch.ones(5)),
        "synapse_lif": lambda: F.synapse_lif(x, weight.cuda(), scale=20.0),
        "recurrent_lif": lambda: F.recurrent_lif(x.cuda(), weight, torch.randn(5, 5)),
    }
    with pytest.raises(RuntimeError, match=f"{name}: .*(device|cuda)") as error:
        calls[name]()
    assert "\n" not in str(error.value).strip()


def test_more_than_two_to_the_31_elements():
    """Indices of 64 bits: the last rows of a tensor of 2.2e9 elements."""
    if torch.cuda.mem_get_info()[0] < 45e9:
        pytest.skip("needs 45 GB of free GPU memory")
    steps, batch, neurons = 33, 4096, 16384
    current = torch.rand(steps, batch, neurons, device="cuda") * 0.5
    whole = F.lif(current, tau_mem=6e-6).spikes
    part = F.lif(current[:, -3:, :].contiguous(), tau_mem=6e-6).spikes
    assert torch.equal(whole[:, -3:, :], part)
    assert part.sum() > 0
    del whole, part
    torch.cuda.empty_cache()
    weight = torch.randn(16, neurons, device="cuda")
    bits = current.gt_(0.45)
    product = F.graded_spikes(bits, weight, 20.0)
    assert torch.equal(product[-1, -3:], F.graded_spikes(bits[-1:, -3:].contiguous(), weight, 20.0)[0])


def test_command_runs_on_cuda(tmp_path):
    path, x = tmp_path / "net.pt", spikes()
    gradspike.save(make(), path, example=x)
    events = "\n".join(",".join(str(int(i)) for i in event) for event in x.nonzero())
    (tmp_path / "in.csv").write_text("step,batch,neuron\n" + events + "\n")
    outputs = []
    for target in ("cpu", "cuda"):
        command = [sys.executable, "-m", "gradspike", "run", str(path), "--spikes", str(tmp_path / "in.csv")]
        done = subprocess.run([*command, "--target", target], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_training_in_a_cuda_graph_gives_the_bits_of_eager_steps(capsys):
    assert cuda_graph.main(["--epochs", "1"]) == 0, capsys.readouterr().err
    assert "the same bits" in capsys.readouterr().out


@pytest.mark.parametrize("recompute_every", [0, 7])
def test_fused_layer_in_several_chunks(recompute_every):
    """Chunks of time that the L2 cache keeps: bits and gradients of the separate operators, every format of spikes."""
    torch.manual_seed(0)
    spikes = (torch.rand(100, 256, 64, device="cuda") < 0.1).float()
    weight = (torch.randn(512, 64, device="cuda") * 0.4).requires_grad_()
    expected = F.lif(F.graded_spikes(spikes, weight, 64.0), refractory_time=2e-6, outputs="spikes+membrane")
    options = {"scale": 64.0, "refractory_time": 2e-6}
    actual = F.synapse_lif(spikes, weight, **options, outputs="spikes+membrane", recompute_every=recompute_every)
    assert 0.01 < expected.spikes.mean() < 0.5
    assert torch.equal(actual.spikes, expected.spikes)
    assert torch.equal(actual.membrane, expected.membrane)
    assert torch.equal(actual.state, expected.state)
    gradient = torch.randn_like(expected.spikes)
    ours, theirs = (torch.autograd.grad(out.spikes, weight, gradient)[0] for out in (actual, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        packed = F.pack_spikes(spikes).packed
        bits = F.synapse_lif(packed, weight, **options, packed_input=True, spike_format="packed").spikes
        as_bytes = F.synapse_lif(spikes, weight, **options, spike_format="uint8").spikes
    assert torch.equal(bits, F.pack_spikes(expected.spikes.detach()).packed)
    assert torch.equal(as_bytes.float(), expected.spikes)
