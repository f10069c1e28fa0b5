"""Which folder may include what: core <- math <- kernels <- cpu | cuda | chip <- ops, and Torch in ops alone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^">]+)[">]', re.MULTILINE)
SUFFIXES = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"}

# What a folder may include of the project, besides itself.
ALLOWED = {
    "csrc/core": (),
    "csrc/math": ("csrc/core",),
    "csrc/kernels": ("csrc/core", "csrc/math"),
    "csrc/cpu": ("csrc/core", "csrc/math", "csrc/kernels"),
    "csrc/chip": ("csrc/core", "csrc/math", "csrc/kernels"),
    "cuda": ("csrc/core", "csrc/math", "csrc/kernels"),
    "ops": ("csrc/core", "csrc/math", "csrc/kernels", "csrc/chip", "csrc/cpu", "cuda"),
}
TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
CUDA_HEADER = re.compile(r"^(cuda|cub|thrust|cooperative_groups|device_launch_parameters)")


def files(folder):
    return sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES)


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def includes(text):
    return INCLUDE.findall(without_comments(text))


def violations(folder, text, allowed):
    """Project headers that `folder` may not include."""
    project = [name for name in includes(text) if name.split("/")[0] in ("csrc", "cuda", "ops", "python", "tests")]
    return [name for name in project if not any(name.startswith(f"{part}/") for part in (folder, *allowed))]


@pytest.mark.parametrize("folder", ALLOWED)
def test_includes_flow_one_way(folder):
    wrong = {
        str(p.relative_to(ROOT)): v for p in files(folder) if (v := violations(folder, p.read_text(), ALLOWED[folder]))
    }
    assert not wrong


def test_the_check_finds_a_wrong_include():
    text = '#include "csrc/cpu/x.h"\n// #include "ops/y.h"\n#include <vector>\n#include "csrc/math/lif.h"\n'
    assert violations("csrc/math", text, ALLOWED["csrc/math"]) == ["csrc/cpu/x.h"]


@pytest.mark.parametrize("folder", ["csrc", "cuda"])
def test_no_torch_header_outside_ops(folder):
    assert not [f"{p.name}: {i}" for p in files(folder) for i in includes(p.read_text()) if TORCH.match(i)]


def test_the_check_knows_a_torch_header():
    assert [i for p in files("ops") for i in includes(p.read_text()) if TORCH.match(i)]


def test_no_cuda_header_in_csrc():
    assert not [f"{p.name}: {i}" for p in files("csrc") for i in includes(p.read_text()) if CUDA_HEADER.match(i)]


def test_one_launch():
    """The only place with the triple angle brackets of a launch is the launcher."""
    launching = [
        str(p.relative_to(ROOT))
        for f in ("csrc", "cuda", "ops")
        for p in files(f)
        if "<<<" in without_comments(p.read_text())
    ]
    assert launching == ["cuda/common/launch.cuh"]


def test_one_schema_block():
    blocks = [
        str(p.relative_to(ROOT))
        for p in files("ops")
        for _ in re.findall(r"\bTORCH_LIBRARY\(", without_comments(p.read_text()))
    ]
    assert blocks == ["ops/schemas.cpp"]


def test_product_never_includes_tests():
    assert not [
        p
        for f in ("csrc", "cuda", "ops")
        for p in files(f)
        if any(i.startswith("tests/") for i in includes(p.read_text()))
    ]


def test_python_package_has_no_compiled_import():
    """The package reaches the operators through torch.ops only."""
    for path in (ROOT / "python" / "gradspike").rglob("*.py"):
        assert not re.search(r"\bimport (ctypes|_gradspike)|torch\.utils\.cpp_extension", path.read_text()), path.name
