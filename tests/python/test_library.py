"""Finding and loading the libraries, and what is said when that fails."""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradspike
from gradspike import _library

ROOT = Path(__file__).resolve().parents[2]


def test_version_info():
    info = gradspike.version_info()
    assert info.gradspike == gradspike.__version__
    assert info.torch == torch.__version__
    assert (Path(info.library_directory) / _library.LIBRARY).is_file()
    _library.check_torch_version(info.torch_built)
    assert str(info).splitlines()[0] == f"gradspike {gradspike.__version__}"


def test_version_info_prints_what_a_bug_report_needs():
    info = gradspike.version_info()
    lines = dict(line.split(maxsplit=1) for line in str(info).splitlines())
    assert list(lines) == ["gradspike", "revision", "torch", "python", "system", "cpu", "cuda", "gpus", "libraries"]
    assert lines["python"] == platform.python_version() and platform.machine() in lines["system"]
    assert f"{torch.get_num_threads()} threads" in lines["cpu"]
    assert str(torch.version.cuda) in lines["gpus"] or "no CUDA" in lines["gpus"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        assert re.match(r"[0-9a-f]{40}( with uncommitted changes)?$", lines["revision"]), lines["revision"]


def test_version_info_of_a_mixed_installation(monkeypatch):
    monkeypatch.setattr(_library, "_built_info", lambda: {"version": "0.0.9", "torch": "2.11.0", "cpu_isa": "avx2"})
    assert str(gradspike.version_info()).startswith(f"gradspike {gradspike.__version__} (the library is 0.0.9)\n")


def test_version_info_of_a_library_that_says_nothing(monkeypatch):
    monkeypatch.setattr(_library, "_built_info", dict)
    assert gradspike.version_info().torch_built == _library.BUILT_FOR_TORCH


@pytest.mark.parametrize("version", ["2.11.0", "2.11.3+cu130", "2.11.0a0+git1"])
def test_right_torch(version):
    _library.check_torch_version(version)


@pytest.mark.parametrize("version", ["2.10.0", "2.12.0+cpu", "3.11.0", "2.1.1"])
def test_wrong_torch_is_a_sentence(version):
    with pytest.raises(
        ImportError, match=r"is built for PyTorch 2\.11, but PyTorch .* is running: install torch==2\.11"
    ):
        _library.check_torch_version(version)


def test_named_directory_is_the_only_one_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADSPIKE_LIBRARY_DIR", str(tmp_path))
    with pytest.raises(ImportError, match=f"needs libgradspike.so, which is not in {tmp_path}: build it with make"):
        _library.find_directory()
    (tmp_path / _library.LIBRARY).touch()
    assert _library.find_directory() == tmp_path


def test_missing_library_names_all_places(tmp_path, monkeypatch):
    monkeypatch.delenv("GRADSPIKE_LIBRARY_DIR", raising=False)
    monkeypatch.setattr(_library, "_packaged_directory", lambda: tmp_path / "a")
    monkeypatch.setattr(_library, "_source_tree_directory", lambda: tmp_path / "b")
    with pytest.raises(ImportError, match="a and .*b: build it with make"):
        _library.find_directory()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / _library.LIBRARY).touch()
    assert _library.find_directory() == tmp_path / "b"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / _library.LIBRARY).touch()
    assert _library.find_directory() == tmp_path / "a"


class TestCudaLibrary:
    def test_absent(self, tmp_path):
        assert _library._load_cuda(tmp_path / "none.so", "13.0") == "not built"

    def test_cpu_torch_is_no_warning(self, tmp_path):
        (tmp_path / "lib.so").touch()
        assert "this PyTorch has no CUDA" in _library._load_cuda(tmp_path / "lib.so", None)

    def test_other_cuda_is_a_warning(self, tmp_path):
        (tmp_path / "lib.so").touch()
        with pytest.warns(
            UserWarning, match="runs on the CPU only, .* built for CUDA 13, and this PyTorch uses CUDA 12.8"
        ):
            assert _library._load_cuda(tmp_path / "lib.so", "12.8").startswith("built, not loaded: ")

    def test_broken_library_is_a_warning(self, tmp_path):
        (tmp_path / "lib.so").write_bytes(b"no library")
        with pytest.warns(UserWarning, match="runs on the CPU only, because its CUDA library did not load"):
            assert _library._load_cuda(tmp_path / "lib.so", "13.0").startswith("built, not loaded: ")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_import_needs_no_optional_package():
    """Neither matplotlib, numpy, tqdm nor nir is imported by the package, and import is quiet."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "tqdm", "nir"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import warnings
warnings.simplefilter("error")
import torch, gradspike
assert gradspike.functional.hardware_weights(torch.ones(1)).item() == 1
try:
    gradspike.plot.learning_curve({})
except ImportError as error:
    print(error)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "gradspike.plot needs matplotlib: install it with pip install matplotlib"
    assert result.stderr == ""


def test_import_costs_little():
    """Nothing but the package's own modules and Python's is imported, and no GPU is touched.

    0.06 s of processor time were measured, where PyTorch took 1.3 s; the limit here is wide, since machines differ.
    """
    code = """
import sys, time, torch
before, start = set(sys.modules), time.process_time()
import gradspike
seconds = time.process_time() - start
others = {name.partition(".")[0] for name in set(sys.modules) - before} - {"gradspike", *sys.stdlib_module_names}
assert not others, others
assert len(set(sys.modules) - before) < 80
assert not torch.cuda.is_initialized()
assert seconds < 1.0, seconds
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("version", ["2.10.1", "2.12.0+cu130"])
def test_import_beside_another_torch_says_what_to_do(version):
    result = run(f"import torch; torch.__version__ = {version!r}; import gradspike")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        f"ImportError: gradspike {gradspike.__version__} is built for PyTorch 2.11, but PyTorch {version} is running: "
        "install torch==2.11.* or build gradspike again against this PyTorch"
    )


def test_second_load_does_nothing():
    _library.load()
    assert torch.ops.gradspike.lif is not None


def test_operators_run_on_the_threads_of_pytorch():
    """at::parallel_for is compiled into this library; without OpenMP it would run serially with the same results."""
    library = Path(gradspike.version_info().library_directory) / "libgradspike.so"
    assert b"GOMP_parallel" in library.read_bytes()
