"""What all commands share: parsers whose help holds examples, types of arguments, inputs, JSON."""

import argparse
import json
import sys
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from gradspike import _spike_array, _spike_csv

BAD_INPUT = 3
SAVED_NETWORK = "saved network: net.pt, net.pt2 or net.json"
VERDICT_CODES = "Exit codes: 0 fits, 1 fits with losses, 2 does not fit, 3 bad input (one line on standard error)."
TARGET = "cpu, cuda or a backend; default: GRADSPIKE_BACKEND or emulator"
PRESET_OPTIONS = ("preset", "seed", "constant")
CODES = "Exit codes: 0 done, 3 bad input (one line on standard error)."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse itself would exit with 2, which means "does not fit"."""

    def error(self, message: str) -> NoReturn:
        print(f"gradspike: {message}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def add_command(commands: Any, name: str, summary: str, text: str, examples: str, codes: str = CODES) -> Any:
    """A parser of a command: what it does, a runnable example per line, its exit codes."""
    lines = "\n".join(f"example: {line}" for line in examples.splitlines())
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, epilog=f"{lines}\n\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    return parser


def add_json(parser: Any, what: str) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as one JSON object on standard output")


def print_json(data: Dict[str, Any]) -> None:
    """One line with sorted keys."""
    print(json.dumps(data, sort_keys=True))


def add_spikes(parser: Any, required: bool) -> None:
    """Adds --spikes, --steps and --batch."""
    parser.add_argument(
        "--spikes", action="append", required=required, default=None if required else [], metavar="FILE",
        help="CSV step,batch,neuron[,count], or .npy [time, batch, neuron]; once per input",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=size, default=None, help="time steps; default: those of the model card, else of the input"
    )
    parser.add_argument(
        "--batch", type=size, default=None, help="batch entries; default: up to the last one with a spike"
    )


def add_preset_options(parser: Any, default: str) -> None:
    """Adds --preset, --seed and --constant, None and empty where they are not given. `default` is what no preset means.

    `preset_options` gives their values.
    """
    parser.add_argument(
        "--preset", default=None, help=f"preset of the target (default: {default}); see gradspike.chip.presets"
    )
    parser.add_argument("--seed", type=seed, default=None, help="seed of the chip: its fixed pattern (default: 0)")
    parser.add_argument(
        "--constant", action="append", default=[], type=constant, metavar="NAME=VALUE",
        help="constant of the preset that is changed; may be given several times",
    )  # fmt: skip


def read_spikes(description: Dict[str, Any], arguments: argparse.Namespace) -> Any:
    """The inputs of a network from the files that were given."""
    sizes = [entry["size"] for entry in description["inputs"]]
    if len(arguments.spikes) != len(sizes):
        raise ValueError(f"--spikes must be given once per input, {len(sizes)} times, got {len(arguments.spikes)}")
    arrays = [_spike_array.is_npy(path) for path in arguments.spikes]
    if not any(arrays):
        steps = arguments.steps or description["model_card"]["steps"]
        return _spike_csv.read_inputs(arguments.spikes, sizes, steps, arguments.batch or 0)
    if not all(arrays):
        raise ValueError("--spikes must be all .npy or all CSV, got both")
    refuse(arguments, ("steps", "batch"), "for CSV files: an array has its own")
    return _spike_array.read_inputs(arguments.spikes, sizes)


def is_device(target: str) -> bool:
    """Whether a target is a device of PyTorch, on which the operators run, and no backend."""
    import torch

    return bool(torch.classes.gradspike.Registry().is_device(target))


def refuse(arguments: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raises where one of the options was given; `why` says what they are for."""
    given = [f"--{name}" for name in names if getattr(arguments, name) not in (None, "", [])]
    if given:
        raise ValueError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")


def refuse_preset_options(arguments: argparse.Namespace) -> None:
    """Raises where --preset, --seed or --constant was given for a target that is a device."""
    refuse(arguments, PRESET_OPTIONS, f"for backends, and --target '{arguments.target}' is a device")


def preset_options(arguments: argparse.Namespace, preset: str) -> Tuple[str, int, Optional[Dict[str, float]]]:
    """Preset, seed and constants that were given, or their defaults; of constants the last of a name counts."""
    chosen = preset if arguments.preset is None else arguments.preset
    return chosen, arguments.seed or 0, dict(arguments.constant) or None


def firing(description: Dict[str, Any], wanted: str) -> str:
    """The population whose spikes are asked for: the one that is wanted, else the last that fires."""
    names = [population["name"] for population in description["populations"] if population["kind"] == "lif"]
    if not names:
        raise ValueError(
            f"network '{description['name']}' has no population that fires, only leaky integrators: it gives no spikes"
        )
    return one_of("--population", wanted, names) if wanted else str(names[-1])


def one_of(option: str, value: str, known: List[str]) -> str:
    """The value; raises naming those that exist."""
    if value not in known:
        raise ValueError(f"{option} must be one of {', '.join(known)}, got '{value}'")
    return value


# ---- types of arguments ----------------------------------------------------------------------------------------------


def size(text: str) -> int:
    """A whole number from 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got '{text}'")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got '{text}'")
    return int(text)


def sizes(text: str) -> List[int]:
    """Whole numbers from 0, with commas between."""
    try:
        return [size(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas between, got '{text}'") from None


def seconds(text: str) -> float:
    """Seconds above 0."""
    value = _number(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got '{text}'")
    return value


def share(text: str) -> float:
    """A share above 0, up to 1."""
    value = _number(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, got '{text}'")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def seed(text: str) -> int:
    """A whole number from 0 that 64 bits hold."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, below 2^63, got '{text}'")
    return int(text)


def constant(text: str) -> Tuple[str, float]:
    """NAME=VALUE."""
    name, separator, value = text.partition("=")
    try:
        if not (name and separator):
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE with a number, got '{text}'") from None
