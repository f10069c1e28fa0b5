"""The command bench: how fast the installed package is on this machine."""

import argparse
import platform
from typing import Any, Callable, Dict, List, Tuple

from gradspike import _command_line

_BENCH = """Measures the installed package on this machine: a linear layer with LIF neurons, forward, and forward with
backward, as two operators and as the fused one; or, where a file is given, runs of a saved network on its operators
and on a target.

Entries take turns, so that a busy machine slows all of them alike; the first calls do not count. On the CPU the times
are wall times, on a GPU those between events of the stream. The minimum is the least disturbed one."""

_EXAMPLES = """gradspike bench --neurons 128 --batch 32 --samples 5
gradspike bench net.pt --spikes in.csv --target emulator --samples 3 --json"""

_GPU_SETS = 4
"""Layers that a GPU works on in turn, so that its cache does not keep one of them."""

_DENSITY = 0.05
_OF_NETWORK = ("spikes", "target", *_command_line.PRESET_OPTIONS)
_OF_LAYER = ("inputs", "neurons")

Entries = Dict[str, Callable[[], Any]]


def add_parsers(commands: Any) -> None:
    """Adds the parser of the command."""
    bench = _command_line.add_command(commands, "bench", "measure speed on this machine", _BENCH, _EXAMPLES)
    bench.add_argument("file", nargs="?", default="", help=f"{_command_line.SAVED_NETWORK}; default: the layer alone")
    count = _command_line.count
    bench.add_argument("--inputs", type=count, default=None, help="input neurons of the layer (default: 256)")
    bench.add_argument("--neurons", type=count, default=None, help="neurons of the layer (default: 512)")
    bench.add_argument(
        "--batch", type=count, default=None, help="samples of a call; default: those of --spikes, or 256"
    )
    bench.add_argument("--steps", type=count, default=None, help="default: those of the model card, or 100")
    bench.add_argument(
        "--density",
        type=_command_line.share,
        default=None,
        help="random input spikes per neuron and step (default: 0.05)",
    )
    bench.add_argument("--spikes", action="append", default=[], metavar="FILE",
                       help="of a network, CSV or .npy, once per input; default: random")  # fmt: skip
    bench.add_argument("--target", default="", help="backend of a network; default: GRADSPIKE_BACKEND or emulator")
    _command_line.add_preset_options(bench, "ideal")
    bench.add_argument("--device", choices=("cpu", "cuda"), default=None, help="of operators (default: cpu)")
    bench.add_argument(
        "--threads", type=_command_line.count, default=None, help="threads of PyTorch (default: its own)"
    )
    bench.add_argument("--samples", type=_command_line.count, default=15, help="samples of an entry (default: 15)")
    bench.add_argument(
        "--seconds", type=_command_line.seconds, default=1.5, help="longest time for an entry [s] (default: 1.5)"
    )
    _command_line.add_json(bench, "times, machine and versions")


def bench(arguments: argparse.Namespace) -> int:
    """gradspike bench"""
    import torch

    from gradspike import _timing

    if not arguments.file:
        _command_line.refuse(arguments, _OF_NETWORK, "for a saved network, and no file was given")
    elif arguments.spikes:
        _command_line.refuse(arguments, (*_OF_LAYER, "density"), "for random input, and --spikes was given")
    else:
        _command_line.refuse(arguments, _OF_LAYER, "for the layer alone, and a file was given")
    device = arguments.device or "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device must be cpu: PyTorch finds no CUDA device, got 'cuda'")
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads or before)
    try:
        threads = torch.get_num_threads()
        part = _network_part(arguments, device) if arguments.file else _layer_part(arguments, device)
        result = _measured(arguments, *part)
    finally:
        torch.set_num_threads(before)
    data = {
        "format": "gradspike.bench",
        "version": 1,
        "machine": _timing.machine(),
        "versions": _versions(),
        "device": device,
        "threads": threads,
        "results": [result],
    }
    if arguments.json:
        _command_line.print_json(data)
    else:
        print(_text(data))
    return 0


def _versions() -> Dict[str, str]:
    from gradspike import version_info

    info = version_info()
    return {
        "gradspike": info.gradspike,
        "torch": info.torch,
        "cpu_isa": info.cpu_isa,
        "cuda": info.cuda.split(":")[0],
        "python": platform.python_version(),
    }


Part = Tuple[str, int, Dict[str, str], Entries]
"""What is timed, samples of a call, and by name the device whose clock counts, and the call."""


def _layer_part(arguments: argparse.Namespace, device: str) -> Part:
    """Both ways to run a layer, after they gave the same spikes."""
    import torch

    from gradspike import _benchmark_layer as layers

    sizes = layers.Sizes(
        arguments.steps or 100, arguments.batch or 256, arguments.inputs or 256, arguments.neurons or 512
    )
    sets, density = _GPU_SETS if device == "cuda" else 1, arguments.density or _DENSITY
    made = [layers.make_layer(sizes, density, device, seed=seed) for seed in range(sets)]
    with torch.no_grad():
        first, second = layers.separate(made[0]), layers.fused(made[0])
    if not torch.equal(first, second):
        raise RuntimeError("bench: separate operators and the fused one must give the same spikes, and they differ")
    entries: Entries = {}
    for name, run in (("graded_spikes and lif", layers.separate), ("synapse_lif", layers.fused)):
        entries[f"{name}, forward"] = layers.forward_of(run, made)
        entries[f"{name}, forward and backward"] = layers.both_of(run, made)
    title = (
        f"layer {sizes.inputs} to {sizes.neurons}, {sizes.time} steps, batch {sizes.batch}, "
        f"{density:.3g} input spikes and {float(first.mean()):.3g} output spikes per neuron and step"
    )
    return title, sizes.batch, dict.fromkeys(entries, device), entries


def _network_part(arguments: argparse.Namespace, device: str) -> Part:
    """Runs of a network: its operators on the device, and the target, which is timed by wall time."""
    import torch

    from gradspike import _archive

    model, network = _archive.open_model(arguments.file)
    if model is network:
        _command_line.refuse(arguments, ("device",), "for operators, and a network file holds none")
    inputs = _inputs(network.description, arguments)
    steps, batch = inputs[0].shape[:2]
    title = f"network {network.name}, {steps} steps, batch {batch}"
    entries: Entries = {}
    devices: Dict[str, str] = {}
    if model is not network:  # a network file has no operators
        moved: Any = model
        if device != "cpu":
            moved = moved.to(device)
            network = _archive.open_network(arguments.file)  # the one above refers to the parameters that moved
        tensors = [tensor.to(device) for tensor in inputs]

        def forward() -> None:
            with torch.no_grad():
                moved(*tensors)

        entries[f"model, {device}"], devices[f"model, {device}"] = forward, device
    deployed = network.deploy(arguments.target or None, *_command_line.preset_options(arguments, "ideal"))
    entries[deployed.target], devices[deployed.target] = lambda: deployed(*inputs), "cpu"
    return title, batch, devices, entries


def _inputs(description: Dict[str, Any], arguments: argparse.Namespace) -> List[Any]:
    """Spikes of the files, or random ones."""
    import torch

    if arguments.spikes:
        given: List[Any] = _command_line.read_spikes(description, arguments)
        if given[0].numel() == 0:
            raise ValueError("--spikes must hold a spike, or --steps and --batch be given, got an empty run")
        return given
    steps = arguments.steps or description["model_card"]["steps"] or 100
    generator = torch.Generator().manual_seed(arguments.seed or 0)
    shapes = [(steps, arguments.batch or 256, entry["size"]) for entry in description["inputs"]]
    return [(torch.rand(shape, generator=generator) < (arguments.density or _DENSITY)).float() for shape in shapes]


def _measured(
    arguments: argparse.Namespace, title: str, batch: int, devices: Dict[str, str], entries: Entries
) -> Dict[str, Any]:
    """The times of a part, all entries in turn."""
    from gradspike import _timing

    times = _timing.interleaved(entries, devices, arguments.samples, arguments.seconds)
    rows = []
    for name, clocks in times.items():
        clock = "gpu_ms" if devices[name] == "cuda" else "wall_ms"
        time = clocks[clock]
        rows.append(
            {
                "name": name,
                "clock": clock,
                "minimum_ms": time["minimum"],
                "median_ms": time["median"],
                "deviation_ms": time["mad"],
                "samples": len(time["samples"]),
                "runs_per_second": 1e3 / time["median"],
                "samples_per_second": 1e3 * batch / time["median"],
            }
        )
    return {"title": title, "batch": batch, "device": arguments.device or "cpu", "entries": rows}


def _text(data: Dict[str, Any]) -> str:
    machine, versions = data["machine"], data["versions"]
    where = [machine["processor"], f"{machine['cores']} cores", f"load {machine['load_average'][0]:g}"]
    where += [machine["gpu"]] if "gpu" in machine else []
    lines = [
        ", ".join(where),
        f"gradspike {versions['gradspike']}, PyTorch {versions['torch']}, Python {versions['python']}, "
        f"{versions['cpu_isa']}, device {data['device']}, {data['threads']} thread{'s' if data['threads'] > 1 else ''}",
    ]
    names = [entry["name"] for result in data["results"] for entry in result["entries"]]
    width = max(map(len, names))
    for result in data["results"]:
        lines += ["", result["title"]]
        lines.append(f"  {'':{width}}  {'min [ms]':>10}  {'median [ms]':>11}  {'runs/s':>10}  {'samples/s':>11}")
        for e in result["entries"]:
            lines.append(
                f"  {e['name']:{width}}  {e['minimum_ms']:>10.3f}  {e['median_ms']:>11.3f}  "
                f"{e['runs_per_second']:>10.1f}  {e['samples_per_second']:>11,.0f}"
            )
    return "\n".join(lines)


COMMANDS = {"bench": bench}
