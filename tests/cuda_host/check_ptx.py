#!/usr/bin/env python3
"""Checks that the CUDA kernels contain no arithmetic which rounds differently from the CPU kernels.

Compiles cuda/*.cu to PTX, as the build does, or reads PTX files. Fails on fused multiply-adds of float and double (they
round once where the CPU rounds twice) and on multiplications and additions without a rounding mode, which ptxas may
still fuse. Divisions and square roots are single instructions in PTX and are expanded later, so they cause no hit.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

NUMBERS = r"(?:f32|f64|f16|bf16|f32x2|f16x2|bf16x2)"
FORBIDDEN = {
    "fused multiply-add": re.compile(rf"^\s*(?:@!?%p\d+\s+)?fma\.[\w.]*{NUMBERS}\b"),
    "operation without rounding mode": re.compile(
        rf"^\s*(?:@!?%p\d+\s+)?(?:mul|add|sub|mad)(?:\.ftz|\.sat)*\.{NUMBERS}\b"
    ),
    "flush of denormal numbers": re.compile(r"^\s*(?:@!?%p\d+\s+)?\w+[\w.]*\.ftz\b"),
    "approximate division or square root": re.compile(r"^\s*(?:@!?%p\d+\s+)?(?:div|sqrt|rcp)\.(?:approx|full)\b"),
}
# Kernels that may contain fused multiply-adds: regular expressions on the mangled name, each with its reason.
ALLOWED = {}
FLAGS = [
    "-std=c++17",
    "-O3",
    "-fmad=false",
    "--expt-relaxed-constexpr",
    "--expt-extended-lambda",
]


def compile_to_ptx(nvcc, root, source, target):
    """Writes the PTX of `source` for sm_80 to `target`."""
    command = [nvcc, *FLAGS, f"-I{root}", "-arch=compute_80", "-ptx", str(source), "-o", str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{source}: nvcc failed\n{result.stderr}")


def check(path, text):
    """Returns (number of kernels, messages)."""
    kernel = "?"
    kernels = 0
    messages = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = re.search(r"\.(?:entry|func)\b.*?([\w$]+)\s*\(", line)
        if entry:
            kernel = entry.group(1)
            kernels += 1
        for what, pattern in FORBIDDEN.items():
            if pattern.search(line) and not any(re.search(name, kernel) for name in ALLOWED):
                messages.append(f"{path}:{number}: {what} in {kernel}: {line.strip()}")
    return kernels, messages


def self_test():
    """The patterns find what they are for, and nothing else."""
    bad = [
        "\tfma.rn.f32 \t%f1, %f2, %f3, %f4;",
        "\t@%p1 fma.rn.f64 %fd1, %fd2, %fd3, %fd4;",
        "\tmul.f32 %f1, %f2, %f3;",
        "\tadd.ftz.f32 %f1, %f2, %f3;",
        "\tdiv.full.f32 %f1, %f2, %f3;",
    ]
    good = [
        "\tmul.rn.f32 %f1, %f2, %f3;",
        "\tadd.rn.f64 %fd1, %fd2, %fd3;",
        "\tdiv.rn.f32 %f1, %f2, %f3;",
        "\tmad.lo.s32 %r1, %r2, %r3, %r4;",
        "\tadd.s64 %rd1, %rd2, %rd3;",
        "\tsqrt.rn.f64 %fd1, %fd2;",
    ]
    for line in bad:
        if not check("bad", line)[1]:
            sys.exit(f"self-test: not found: {line}")
    for line in good:
        if check("good", line)[1]:
            sys.exit(f"self-test: false hit: {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("ptx", nargs="*", type=pathlib.Path, help="PTX files; without any, cuda/*.cu is compiled")
    arguments = parser.parse_args()

    self_test()
    kernels = 0
    messages = []
    with tempfile.TemporaryDirectory() as directory:
        files = arguments.ptx
        if not files:
            sources = sorted((arguments.root / "cuda").glob("*.cu"))
            files = [pathlib.Path(directory) / f"{source.stem}.ptx" for source in sources]
            for source, target in zip(sources, files):
                compile_to_ptx(arguments.nvcc, arguments.root, source, target)
        for file in files:
            found, hits = check(file.name, file.read_text())
            kernels += found
            messages += hits
    if kernels == 0:
        sys.exit("no kernel was found")
    if messages:
        sys.exit("\n".join(messages))
    print(f"{kernels} kernels in {len(files)} files: no contraction, no flushed denormals")


if __name__ == "__main__":
    main()
