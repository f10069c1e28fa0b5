"""Native code of AOTInductor in `.pt2` files: the bits of the model, and nothing of it runs unless it is allowed."""

import copy
import json
import pickle
import re
import shutil
import subprocess
import threading
import warnings
import zipfile
from pathlib import Path

import numpy
import pytest
import torch

import gradspike
from archives import edited
from gradspike import _library, chip, nn

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
DESCRIPTION = "extra/gradspike/native_code.json"


def model():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        nn.Synapse(5, 12, name="hidden", scale=20.0),
        nn.LIF(12, name="hidden", tau_mem=6e-6, refractory_time=2e-6),
        nn.Synapse(12, 3, name="out", scale=32.0),
        nn.LI(3, name="out"),
    )


def spikes(steps=20, batch=3, neurons=5, seed=0):
    return (torch.rand(steps, batch, neurons, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """One file with native code for all tests: compiling takes long."""
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    path = tmp_path_factory.mktemp("native") / "net.pt2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "1")  # what the probe of the compiler says anyway
        gradspike.export(model(), path, example=spikes(), native_code=True)
    return path


@pytest.fixture(scope="module")
def native(compiled):
    return gradspike.load(compiled, allow_native_code=True)


def without_program(name, content):
    return None if "/models/" in name else content


def described(**values):
    def change(name, content):
        return json.dumps({**json.loads(content), **values}).encode() if name.endswith(DESCRIPTION) else content

    return change


# ---- the native code -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps, batch", [(20, 3), (1, 1), (7, 2), (150, 11), (0, 2), (4, 0)])
def test_the_bits_of_the_model_for_any_size(native, steps, batch):
    x = spikes(steps, batch, seed=1)
    assert torch.equal(native(x), model()(x))


def test_inputs_of_any_strides(native):
    x = spikes(9, 4).transpose(0, 1).contiguous().transpose(0, 1)
    assert not x.is_contiguous() and torch.equal(native(x), model()(x))


def test_threads_may_run_it_at_once(native):
    inputs = [spikes(30, 4, seed=k) for k in range(4)]
    results = [None] * 4

    def run(k):
        for _ in range(20):
            results[k] = native(inputs[k])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, model()(x)) for result, x in zip(results, inputs))


def test_it_is_a_module_that_only_runs_forward(native):
    assert isinstance(native, torch.nn.Module) and not native.training and not list(native.parameters())
    assert not native(spikes()).requires_grad
    assert native.eval() is native and "net.pt2" in repr(native)
    for action, kind, sentence in [
        (native.train, RuntimeError, "cannot be trained"),
        (lambda: copy.deepcopy(native), TypeError, "cannot be copied"),
        (lambda: pickle.dumps(native), TypeError, "cannot be copied or pickled"),
    ]:
        with pytest.raises(kind, match=sentence):
            action()


def test_it_is_read_and_deployed_as_its_program(native, tmp_path):
    assert torch.equal(chip.deploy(native)(spikes()).outputs, native(spikes()))
    assert gradspike.save(native, tmp_path / "net.pt", example=spikes()).name == "net"


@pytest.mark.parametrize(
    "inputs, sentence",
    [
        ((), "takes 1 input, got 0"),
        ((spikes(), spikes()), "takes 1 input, got 2"),
        ((spikes(neurons=6),), r"must have shape \[any, any, 5\], got \[20, 3, 6\]"),
        ((spikes()[0],), r"must have shape \[any, any, 5\], got \[3, 5\]"),
        ((spikes().double(),), "must be Float, as the example of the export was, got Double"),
        ((spikes().to("meta"),), "must be on 'cpu', got 'meta'"),
        ((spikes().requires_grad_(),), "runs forward alone"),
    ],
)
def test_wrong_inputs_are_refused_by_a_sentence(native, inputs, sentence):
    with pytest.raises(RuntimeError, match=sentence) as caught:
        native(*inputs)
    assert "\n" not in str(caught.value)


def test_a_failing_operator_is_no_silent_result(compiled, tmp_path, capfd):
    """PyTorch writes what an operator of native code refuses to standard error, and goes on."""
    unchecked = described(inputs=[{"name": "x", "dtype": "float32", "sizes": [-1, -1, -1]}])
    native = gradspike.load(edited(compiled, tmp_path / "net.pt2", unchecked), allow_native_code=True)
    with pytest.raises(RuntimeError, match="an operator in it refused its arguments"):
        native(spikes(neurons=6))
    assert "the last dimension of spikes must equal in_features" in capfd.readouterr().err


def test_the_parameters_of_the_program_are_the_truth(compiled, tmp_path):
    def negated(name, content):
        if not name.endswith("/weight_0"):
            return content
        return (-torch.frombuffer(bytearray(content), dtype=torch.float32)).numpy().tobytes()

    changed = edited(compiled, tmp_path / "net.pt2", negated)
    with pytest.warns(UserWarning, match="integers"):
        program = gradspike.load(changed)
    with pytest.warns(UserWarning, match="integers"):
        native = gradspike.load(changed, allow_native_code=True)
    assert torch.equal(native(spikes()), program(spikes()))
    assert not torch.equal(native(spikes()), model()(spikes()))


def test_what_was_extracted_is_removed(compiled, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    bad = edited(compiled, tmp_path / "bad.pt2", lambda n, c: b"no ELF" if n.endswith(".so") else c)
    with pytest.raises(ValueError, match=f"cannot be loaded.*{folder}"):
        gradspike.load(bad, allow_native_code=True)
    native = gradspike.load(compiled, allow_native_code=True)
    assert not list(folder.iterdir())
    assert torch.equal(native(spikes()), model()(spikes()))
    monkeypatch.setenv("TMPDIR", str(folder / "missing"))
    with pytest.raises(ValueError, match="native code needs a temporary folder"):
        gradspike.load(compiled, allow_native_code=True)


# ---- the file without the flag ---------------------------------------------------------------------------------------


def test_without_the_flag_it_is_a_program(compiled, tmp_path):
    loaded = gradspike.load(compiled)
    assert isinstance(loaded, torch.jit.ScriptModule) and torch.equal(loaded(spikes()), model()(spikes()))
    loaded(spikes()).square().sum().backward()
    assert all(p.grad is not None for p in loaded.parameters())
    plain = gradspike.export(model(), tmp_path / "net.pt2", example=spikes())
    assert gradspike.open_network(compiled).description == plain.description
    assert gradspike.inspect(compiled) == gradspike.inspect(tmp_path / "net.pt2")


def test_plain_pytorch_opens_the_program(compiled, tmp_path):
    program = edited(compiled, tmp_path / "net.pt2", lambda n, c: None if "/aotinductor/" in n else c)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        assert torch.equal(torch.export.load(str(program)).module()(spikes()), model()(spikes()))


def test_the_file_holds_no_sources(compiled):
    with zipfile.ZipFile(compiled) as archive:
        native = {name: archive.read(name) for name in archive.namelist() if "/aotinductor/" in name}
    assert sum(name.endswith(".so") for name in native) == 1
    sources = [content for name, content in native.items() if not name.endswith(".so")]
    assert all(str(Path(torch.__file__).parent).encode() not in content for content in sources)


@pytest.mark.parametrize("opened", [gradspike.load, gradspike.open_network, gradspike.inspect])
def test_native_code_alone_is_refused_with_the_flag_and_why(compiled, tmp_path, opened):
    alone = edited(compiled, tmp_path / "net.pt2", without_program)
    with pytest.raises(ValueError, match="all rights of the user.*allow_native_code=True") as caught:
        opened(alone)
    assert "\n" not in str(caught.value)


def test_native_code_alone_runs_with_the_flag(compiled, tmp_path):
    native = gradspike.load(edited(compiled, tmp_path / "net.pt2", without_program), allow_native_code=True)
    assert torch.equal(native(spikes()), model()(spikes()))
    with pytest.raises(ValueError, match="no network can be read from it"):
        chip.read(native)


@NEEDS_COMPILER
def test_nothing_runs_unless_it_is_allowed(tmp_path):
    marker, library, plain = tmp_path / "ran", tmp_path / "hostile.so", tmp_path / "plain.pt2"
    code = f'#include <cstdio>\nstatic FILE* ran = std::fopen("{marker}", "w");\n'
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=code, text=True, check=True)
    gradspike.export(model(), plain, example=spikes())
    about = {"format": "gradspike.native_code", "version": 1, "torch": "2.11", "device": "cpu", "cpu_features": []}
    about.update(inputs=[{"name": "x", "dtype": "float32", "sizes": [-1, -1, 5]}], num_outputs=1, populations=[])
    added = [
        ("data/aotinductor/model/m.wrapper.cpp", f'int main() {{ std::fopen("{marker}", "w"); }}'),
        ("data/aotinductor/model/m.wrapper_metadata.json", '{"AOTI_DEVICE_KEY": "cpu"}'),
        ("data/aotinductor/model/m.wrapper.so", library.read_bytes()),
        (DESCRIPTION, json.dumps(about)),
    ]
    hostile = edited(plain, tmp_path / "hostile.pt2", lambda name, content: content, added)
    alone = edited(hostile, tmp_path / "alone.pt2", without_program)
    for opened in (gradspike.load, gradspike.open_network, gradspike.inspect):
        opened(hostile)
        with pytest.raises(ValueError, match="allow_native_code=True"):
            opened(alone)
    for file in (hostile, alone):
        for option in (["--list"], ["--list", "--allow-native-code"], ["--check"]):
            run_program(file, *option)
    assert not marker.exists()
    with pytest.raises(ValueError, match="its native code cannot be loaded"):
        gradspike.load(hostile, allow_native_code=True)
    assert marker.exists()  # the flag means what it says


# ---- what does not run here ------------------------------------------------------------------------------------------


REFUSED = {
    "another device": (described(device="cuda"), "compiled for the device 'cuda', not for 'cpu'"),
    "another PyTorch": (described(torch="2.12"), "compiled for PyTorch 2.12, but PyTorch 2.11 is running"),
    "another processor": (described(cpu_features=["avx9000"]), "a processor with avx9000, which this one lacks"),
    "another version": (described(version=2), "has format version 2, this library reads version 1"),
    "another format": (described(format="else"), "no file of format"),
    "unknown dtype": (described(inputs=[{"name": "x", "dtype": "float9", "sizes": []}]), "unknown dtype 'float9'"),
    "damaged description": (described(populations=3), "native_code.json is damaged"),
    "no description": (lambda n, c: None if n.endswith(DESCRIPTION) else c, "gradspike.export did not write"),
    "no shared object": (lambda n, c: None if n.endswith(".so") else c, "there is no shared object"),
    "no ELF file": (lambda n, c: b"no ELF" if n.endswith(".so") else c, "its native code cannot be loaded"),
    "other tensors": (
        lambda n, c: (
            c.replace(b'"0.weight"', b'"9.weight"').replace(b"'0.weight'", b"'9.weight'")
            if n.endswith("weights_config.json")
            else c
        ),
        "cannot be loaded",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_run_here_is_refused_by_a_sentence(compiled, tmp_path, name):
    change, sentence = REFUSED[name]
    bad = edited(compiled, tmp_path / "net.pt2", change)
    with pytest.raises(ValueError, match=sentence) as caught:
        gradspike.load(bad, allow_native_code=True)
    assert "\n" not in str(caught.value) and "net.pt2" in str(caught.value)


def test_bad_arguments(compiled, tmp_path):
    gradspike.save(model(), tmp_path / "net.pt")
    gradspike.export(model(), tmp_path / "net.pt2", example=spikes())
    for file in ("net.pt", "net.pt2"):
        with pytest.raises(ValueError, match="holds no native code: gradspike.export writes it with native_code=True"):
            gradspike.load(tmp_path / file, allow_native_code=True)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        gradspike.load(tmp_path / "no.pt2", allow_native_code=True)
    for device in ("cuda", "gpu", None, {"cpu": "cuda"}):
        with pytest.raises(ValueError, match="runs on the CPU: map_location must be 'cpu', got"):
            gradspike.load(compiled, map_location=device, allow_native_code=True)
    with pytest.raises(ValueError, match="must be True or False, got 'cuda': native code is for the CPU"):
        gradspike.export(model(), tmp_path / "other.pt2", example=spikes(), native_code="cuda")
    assert not (tmp_path / "other.pt2").exists()


def test_a_missing_compiler_is_said(tmp_path):
    with (
        torch._inductor.config.patch("cpp.cxx", ("no-such-compiler",)),
        pytest.raises(RuntimeError, match="the native code cannot be compiled, which takes a C.. compiler") as caught,
    ):
        gradspike.export(model(), tmp_path / "net.pt2", example=spikes(), native_code=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "net.pt2").exists()


# ---- the C++ program -------------------------------------------------------------------------------------------------


def run_program(*arguments):
    program = _library.find_directory().parent / "bin" / "gradspike-run"
    if not program.is_file():
        pytest.skip(f"there is no program {program}")
    command = [str(program), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def inputs(tmp_path):
    numpy.save(tmp_path / "in.npy", spikes().numpy())
    return tmp_path / "in.npy"


def test_the_program_gives_the_spikes_and_membranes_of_the_operators(compiled, inputs, tmp_path):
    for target in ("native", "cpu"):
        written = ["--output", tmp_path / f"{target}.npy", "--membrane", tmp_path / f"{target}_membrane.npy"]
        done = run_program(compiled, "--spikes", inputs, "--target", target, "--allow-native-code", *written)
        assert done.returncode == 0 and f"target {target}: " in done.stderr, done.stderr
    for kind in ("", "_membrane"):
        a, b = (numpy.load(tmp_path / f"{target}{kind}.npy") for target in ("native", "cpu"))
        assert a.any() and (a == b).all()


def test_the_program_verifies_native_code(compiled, inputs):
    done = run_program(compiled, "--spikes", inputs, "--verify", "native,cpu,emulator", "--allow-native-code")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal, 720 spike counts and 180 membranes compared") == 2


@pytest.mark.parametrize(
    "change, flag, sentence",
    [
        (lambda n, c: c, [], "allow it with --allow-native-code"),
        (without_program, [], "all rights of the user.*--allow-native-code"),
        (lambda n, c: None if "/aotinductor/" in n else c, ["--allow-native-code"], "holds no native code"),
        (described(cpu_features=["avx9000"]), ["--allow-native-code"], "avx9000"),
        (described(populations=["hidden", "else"]), ["--allow-native-code"], "population 'out'"),
        (lambda n, c: b"no ELF" if n.endswith(".so") else c, ["--allow-native-code"], "cannot be loaded"),
    ],
)
def test_the_program_refuses_by_a_sentence(compiled, inputs, tmp_path, change, flag, sentence):
    file = edited(compiled, tmp_path / "bad.pt2", change)
    done = run_program(file, "--spikes", inputs, "--target", "native", *flag)
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert re.search(sentence, done.stderr), done.stderr


def test_a_network_file_has_no_native_code(inputs, tmp_path):
    gradspike.save(model(), network=tmp_path / "net.json")
    done = run_program(tmp_path / "net.json", "--spikes", inputs, "--target", "native", "--allow-native-code")
    assert done.returncode == 3 and "target 'native' needs the saved model" in done.stderr


# ---- other networks --------------------------------------------------------------------------------------------------


class Sums(torch.nn.Module):
    """Sums and concatenation of several projections, which the compiler writes as loops of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Synapse(5, 16, name="a", scale=20.0), nn.Synapse(5, 16, name="b", scale=20.0)
        self.c, self.d = nn.Synapse(5, 16, name="c", scale=16.0), nn.Synapse(5, 16, name="d", scale=30.0)
        self.first, self.second = nn.LIF(16, name="first", tau_mem=6e-6), nn.LIF(16, name="second")
        self.out, self.readout = nn.Synapse(32, 3, name="out", scale=16.0), nn.LI(3, name="readout")

    def forward(self, x):
        first = self.first(self.a(x) + self.b(x) + self.c(x))
        return self.readout(self.out(torch.cat([first, self.second(self.d(x))], -1)))


class TwoInputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Synapse(5, 16, name="a", scale=20.0), nn.Synapse(4, 16, name="b", scale=20.0)
        self.neurons = nn.LIF(16, name="neurons", threshold=torch.rand(16) + 0.2)

    def forward(self, x, y):
        return self.neurons(self.a(x) + self.b(y))


class HostCode(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = model()

    def forward(self, x):
        membrane = self.layers((x * 2).clamp(0, 1))
        return membrane.amax(0) * 10.0, torch.log_softmax(membrane.sum(0), -1)


def other_networks():
    torch.manual_seed(5)
    recurrent = nn.RecurrentLIF(5, 8, name="loop", threshold=0.2, mask=torch.rand(8, 8) < 0.6)
    sparse = nn.SparseSynapse(torch.rand(5, 16) < 0.7, name="sparse", scale=20.0)
    weight = torch.nn.Parameter(torch.randn(4, 5))

    def function(x):
        current = torch.ops.gradspike.graded_spikes(x, weight, 16.0, projection="in")
        return gradspike.functional.lif(current, population="neurons").spikes

    return {
        "sums": (Sums(), (5,)),
        "two inputs": (TwoInputs(), (5, 4)),
        "recurrent": (torch.nn.Sequential(recurrent, nn.Synapse(8, 3, name="out"), nn.LI(3, name="out")), (5,)),
        "sparse": (torch.nn.Sequential(sparse, nn.LIF(16, name="neurons", tau_mem=6e-6)), (5,)),
        "fused": (torch.nn.Sequential(nn.SynapseLIF(5, 16, name="fused", scale=20.0)), (5,)),
        "function": (function, (5,)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sums", "two inputs", "recurrent", "sparse", "fused", "function"])
def test_the_bits_of_other_networks(tmp_path, name):
    network, sizes = other_networks()[name]
    path = tmp_path / "net.pt2"
    gradspike.export(network, path, example=[spikes(6, 3, n) for n in sizes], native_code=True)
    native = gradspike.load(path, allow_native_code=True)
    active = 0
    for steps, batch in [(6, 3), (1, 1), (40, 7), (200, 2)]:
        x = [spikes(steps, batch, n, seed=steps) for n in sizes]
        assert torch.equal(native(*x), network(*x))
        active += int(native(*x).count_nonzero())
    assert active > 100


@pytest.mark.slow
def test_host_code_around_the_network(tmp_path, inputs):
    """Reductions of the host code may differ in the last bits; what the network gives does not."""
    network, path = HostCode().eval(), tmp_path / "net.pt2"
    gradspike.export(network, path, example=spikes(), native_code=True)
    native = gradspike.load(path, allow_native_code=True)
    for a, e, exact in zip(native(spikes(33, 4)), network(spikes(33, 4)), (True, False)):
        assert torch.equal(a, e) if exact else torch.allclose(a, e, rtol=1e-5)
    done = run_program(path, "--spikes", inputs, "--target", "native", "--allow-native-code")
    assert done.returncode == 3 and "target 'native' takes the inputs of the model" in done.stderr
