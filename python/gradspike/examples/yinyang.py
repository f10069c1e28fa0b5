"""Yin-Yang on BrainScaleS-2: train with hardware integers, save, map and run on the emulator.

Trains the network 5-120-3 twice, with the integers of the chip and with float weights, prints one table, and writes
archive, network file, report and figures. Run it with `python -m gradspike.examples.yinyang`.
"""

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

import torch

import gradspike
from gradspike import _command_line
from gradspike.examples import yinyang_figures as figures
from gradspike.examples import yinyang_report as report
from gradspike.examples import yinyang_training as training

__all__ = ["main", "run"]

INTEGER, FLOAT = "hardware integers", "float weights"
SHOWN_SAMPLES = 6


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example.

    Args:
        argv: Command line options; None: those of the process.

    Returns:
        Exit code: 0, or 1 where training and emulator differ.
    """
    parser = argparse.ArgumentParser(prog="gradspike demo", description=__doc__.split("\n", 1)[0] if __doc__ else "")
    add_options(parser)
    return execute(parser.parse_args(argv))


def execute(options: argparse.Namespace) -> int:
    """Runs the example with the options of `add_options`; gives the exit code."""
    sizes = (500, 200) if options.quick else (5000, 1000)
    settings = training.Settings(epochs=1 if options.quick else options.epochs, seed=options.seed)
    with _threads(options.threads):
        outcome = run(settings, options.output, training.load_data(*sizes), plots=not options.no_plots)
    if outcome.comparison.differences or outcome.comparison.lost:
        print(f"training and {outcome.comparison.target} differ: see the table", file=sys.stderr)
        return 1
    return 0


def run(settings: training.Settings, folder: Path, data: training.Data, *, plots: bool = True) -> report.Outcome:
    """Trains both networks, saves the one with integers, compares it with the emulator and writes all files.

    Args:
        settings: Choices of the training.
        folder: Where files are written; made where it does not exist.
        data: Encoded samples.
        plots: Whether figures are drawn.
    """
    _prepare(folder)
    integer = training.train("half_even", data, settings, INTEGER)
    floating = training.train("none", data, settings, FLOAT)
    histories = {INTEGER: integer.history, FLOAT: floating.history}
    report.save_network(integer.network, folder, data.test_spikes[:, :1])
    outcome = _outcome(integer, floating, folder, data)
    print(f"\n{report.table(outcome)}\n")
    report.write_report(folder / "report.json", outcome, settings, histories)
    _write_samples(folder, integer.network, data)
    drawn = _draw(folder, integer.network, data, histories) if plots else []
    print(_closing_text(folder, drawn))
    return outcome


def _prepare(folder: Path) -> None:
    """Makes the folder, before the training whose files it takes."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output must be a folder, and '{folder}' is a file")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--output must be a folder that can be written, got '{folder}'")


def _outcome(
    integer: training.Training, floating: training.Training, folder: Path, data: training.Data
) -> report.Outcome:
    return report.Outcome(
        accuracy_float=_test_accuracy(floating.network, data),
        accuracy_rounded=_test_accuracy(with_integers(floating.network), data),
        accuracy_integer=_test_accuracy(integer.network, data),
        seconds_float=floating.seconds,
        seconds_integer=integer.seconds,
        samples=len(data.test_classes),
        comparison=report.compare(integer.network, folder / "yinyang.pt", data),
        weights=report.weight_statistics(integer.network),
    )


def with_integers(network: training.YinYangNetwork) -> training.YinYangNetwork:
    """A network of the same weights with the integers of the chip in its forward pass."""
    result = training.YinYangNetwork("half_even")
    result.load_state_dict(network.state_dict())
    return result


def _test_accuracy(network: training.YinYangNetwork, data: training.Data) -> float:
    with torch.no_grad():
        return training.accuracy(network(data.test_spikes), data.test_classes)


def _write_samples(folder: Path, network: training.YinYangNetwork, data: training.Data) -> None:
    """A few test samples and the hidden spikes that every other way of running the archive has to give."""
    samples = data.test_spikes[:, :SHOWN_SAMPLES]
    with torch.no_grad():
        hidden = network.hidden(network.hidden_synapse(samples))
    report.write_spikes(folder / "yinyang_in.csv", samples)
    report.write_spikes(folder / "yinyang_hidden.csv", hidden)


def _draw(
    folder: Path, network: training.YinYangNetwork, data: training.Data, histories: Dict[str, Dict[str, List[float]]]
) -> List[str]:
    try:
        return figures.draw_all(folder, network, data, histories)
    except ImportError as error:
        print(f"no figures: {error}")
        return []


def _closing_text(folder: Path, drawn: List[str]) -> str:
    files = ["yinyang.pt", "net.json", "report.json", "yinyang_in.csv", "yinyang_hidden.csv", *drawn]
    inspect = "gradspike inspect" if shutil.which("gradspike") else f"{Path(sys.executable).name} -m gradspike inspect"
    program = _program()
    return "\n".join(
        [
            f"written to {folder}/: {', '.join(files)}",
            "try next:",
            f"  {inspect} {folder}/yinyang.pt",
            f"  {program} {folder}/yinyang.pt --spikes {folder}/yinyang_in.csv --target cpu",
            f"  {program} {folder}/net.json --spikes {folder}/yinyang_in.csv --target emulator",
        ]
    )


def _program() -> str:
    """The C++ program: found by name, or beside the libraries of a build."""
    if shutil.which("gradspike-run"):
        return "gradspike-run"
    built = Path(gradspike.version_info().library_directory).parent / "bin" / "gradspike-run"
    return os.path.relpath(built) if built.is_file() else "gradspike-run"


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the example to a parser."""
    defaults = training.Settings()
    parser.add_argument("--epochs", type=_count, default=defaults.epochs, help="passes over the data (%(default)s)")
    parser.add_argument(
        "--seed", type=_command_line.seed, default=defaults.seed, help="seed of weights and order (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/yinyang"), help="folder to write (%(default)s)")
    # Steps of 1 to 2 ms leave nothing for a second thread to win, and on busy cores waiting for it costs much.
    parser.add_argument("--threads", type=_count, default=1, help="threads of PyTorch (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="1 epoch of 500 samples, to try that everything runs")
    parser.add_argument("--no-plots", action="store_true", help="draw no figures")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
