#!/usr/bin/env python3
"""Checks the registers of every kernel in object files against the numbers that the launch sizes were chosen by.

Registers decide how many threads a multiprocessor holds, and so how many loads are in flight; a change that costs a few
more would otherwise show on a GPU alone. Spills are refused by the build itself; here the local memory must be 0 too.
"""

import argparse
import re
import subprocess
import sys

# Regular expression on the mangled name, largest number of registers, what it keeps. The first that matches counts.
LIMITS = [
    (r"product_kernelI\w*5Shape", 128, "two blocks of 256 threads"),
    (r"sum_halves_kernel", 128, "two blocks of 256 threads"),
    (r"lif_forward_kernelI[fd]Lb0ELb0ELb0E", 80, "six blocks of 128 threads"),
    (r"lif_backward_kernelI[fd]Lb0ELb0ELb0ELb0E", 80, "six blocks of 128 threads"),
    (r"pack_(?:spikes|weights)_kernel|linear_saturating_kernel|straight_through_kernel", 64, "32 warps"),
    (r"aelif_(?:forward|backward)_kernel", 255, "two blocks of 128 threads: a chain has 13 coefficients and 4 states"),
    (r"", 168, "384 threads"),
]
USAGE = re.compile(r"REG:(\d+)\s+STACK:(\d+)\s+SHARED:(\d+)\s+LOCAL:(\d+)")


def usages(text):
    """Yields (architecture, mangled name, registers, local bytes) of a dump of resource usage."""
    architecture, name = "?", "?"
    for line in text.splitlines():
        if line.startswith("arch = "):
            architecture = line.split(" = ")[1]
        function = re.match(r"\s*Function (\S+):", line)
        if function:
            name = function.group(1)
        usage = USAGE.search(line)
        if usage and name != "?":
            yield architecture, name, int(usage.group(1)), int(usage.group(4))
            name = "?"


def limit_of(name):
    return next((limit, reason) for pattern, limit, reason in LIMITS if re.search(pattern, name))


def self_test():
    kernel = "_Z11sum_halves_kernelIffE"
    dump = f"arch = sm_80\n Function {kernel}:\n  REG:129 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:1"
    if list(usages(dump)) != [("sm_80", kernel, 129, 0)] or limit_of(kernel)[0] != 128:
        sys.exit("self-test: the dump is not understood")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("--table", action="store_true", help="print all kernels")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()

    self_test()
    messages = []
    kernels = 0
    for path in arguments.objects:
        command = [arguments.cuobjdump, "--dump-resource-usage", path]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{path}: {' '.join(command)} failed\n{result.stderr}")
        for architecture, name, registers, local in usages(result.stdout):
            kernels += 1
            limit, reason = limit_of(name)
            if arguments.table:
                print(f"{architecture} {registers:4} of {limit:4}  {name}")
            if registers > limit or local > 0:
                messages.append(
                    f"{architecture} {name}: {registers} registers and {local} bytes of local memory; "
                    f"at most {limit} for {reason}, and no local memory"
                )
    if kernels == 0:
        sys.exit("no kernel was found")
    if messages:
        sys.exit("\n".join(messages))
    print(f"{kernels} kernels within their registers")


if __name__ == "__main__":
    main()
