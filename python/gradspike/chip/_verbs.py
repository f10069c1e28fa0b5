"""Read, check, map, deploy; and what is registered."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Union

import torch
from torch import Tensor

from gradspike import _reading
from gradspike.chip import _since
from gradspike.chip._network import DEFAULT_TARGET, Deployed, Network, require_64_bits
from gradspike.chip._report import Mapping, Report

Model = Union[torch.nn.Module, Callable[..., Any], "Network"]
Example = Union[Tensor, Sequence[Tensor], None]


def read(
    model: Model,
    example: Example = None,
    network: Optional[str] = None,
    *,
    projections: Optional[Dict[str, Dict[str, Any]]] = None,
    card: Optional[Dict[str, Any]] = None,
    inputs: Optional[Dict[str, Dict[str, Any]]] = None,
    neuron_permutation: Optional[Sequence[int]] = None,
) -> Network:
    """Reads a model or function and registers its projections and populations.

    Only operators on a path to an output count. Between projections and populations there may be sums of projections,
    concatenation, slicing, indexing and repeating of neurons, and dropout (the copy that is read is in evaluation
    mode); before and after the network any code. Unnamed modules take the path by which the model holds them.

    Args:
        model: A module, also compiled, wrapped by DDP or scripted; an exported program; an `Experiment` of
            `gradspike.spiking` whose modules were called; or a function of `torch.ops.gradspike` calls, whose captured
            tensors are its parameters.
        example: Input or tuple of inputs. Needed for functions and for modules that cannot be scripted, which are
            traced, and where the size of an input does not follow from the weights.
        network: Name of the network, "network" by default; keys are `<network>/<name>`.
        projections: Wishes by projection name: "receptor" ("signed", "excitatory", "inhibitory"; must agree with the
            bounds), "chip_coordinate", "execution_instance", "circuits_per_neuron" (of the target, at least as many as
            its fan-in needs), "plasticity_rule" (a `gradspike.nn.PlasticityRule`).
        card: Model card: "steps", "encoder", "decoder", "class_names".
        inputs: Wishes by input name, "input0", "input1" and so on, in the order in which projections read them:
            "background": {"kind": "poisson" (or "regular", for one source), "rate": [Hz] of each source, "seed": 0 to
            2^32 - 1} lets the chip's own generators make its spikes, see `background_spikes`.
        neuron_permutation: Circuits (0 to 511) in the order in which neurons get one, only those listed; a
            "chip_coordinate" goes first. Default: the mapper chooses.

    Returns:
        The handle; its `warnings` name keyed operators that reach no output.

    Raises:
        RuntimeError: something between two keyed operators cannot be wired on a chip; the message names the operation
            and its source line.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(16, 20, name="in"), gradspike.nn.LIF(20))
        >>> network = read(model, inputs={"input0": {"background": {"rate": 20e3, "seed": 7}}})
        >>> network.check().verdict
        'fits with losses'
    """
    model, example = _reading.plain(model, example)
    wishes = {"projections": projections, "card": card, "inputs": inputs, "neuron_permutation": neuron_permutation}
    given = {name: wish for name, wish in wishes.items() if wish is not None}
    if isinstance(model, Network):
        if network is not None or given:
            raise ValueError("read: a Network keeps its name, wishes and card: give the model to change them")
        return model
    if isinstance(model, torch.export.ExportedProgram):
        example = _reading.example_list(example) or _reading.program_inputs(model)
    scripted = _reading.scripted(model, example)
    stored = _reading.stored_options(model)
    options: Dict[str, Any] = {**stored}
    if network is not None or "name" not in options:
        options["name"] = network or "network"
    options.update(given)
    if isinstance(projections, dict):
        options["projections"] = {**stored.get("projections", {}), **projections}
    if neuron_permutation is not None:
        options["neuron_permutation"] = [int(circuit) for circuit in neuron_permutation]
    return Network(_reading.read_handle(scripted, example, _reading.with_plasticity(model, options)))


def check(
    model: Model,
    example: Example = None,
    *,
    chips: int = 1,
    target: str = DEFAULT_TARGET,
    inputs: Optional[Dict[str, Dict[str, Any]]] = None,
) -> Report:
    """Whether a network fits the chip: every misfit at once, what it uses, what its weights lose.

    Needs no training. Takes milliseconds for one chip.

    Args:
        model: As for `read`.
        example: As for `read`.
        chips: Most execution instances that the network may take: chips side by side, or runs of one chip one after
            the other for each sample.
        target: A backend that is there, with its preset.
        inputs: Wishes by input, as for `read`.
    """
    return read(model, example, inputs=inputs).check(target, chips)


def map(model: Model, example: Example = None, *, inputs: Optional[Dict[str, Dict[str, Any]]] = None) -> Mapping:
    """Placement and routing of a model, over several execution instances where it takes them; see `Network.map`.

    Args:
        model: As for `read`.
        example: As for `read`.
        inputs: Wishes by input, as for `read`.
    """
    return read(model, example, inputs=inputs).map()


def deploy(
    model: Model,
    target: Optional[str] = None,
    preset: str = "ideal",
    seed: int = 0,
    *,
    constants: Optional[Dict[str, float]] = None,
    calibration: Optional[str] = None,
    example: Example = None,
    network: Optional[str] = None,
    inputs: Optional[Dict[str, Dict[str, Any]]] = None,
) -> Deployed:
    """Maps a model and puts it on a backend.

    A network that is too large for one chip runs in several execution instances, one after the other; spikes of
    earlier ones are replayed as inputs of later ones. On the ideal emulator its results are still the bits of training.

    Args:
        model: As for `read`, or a `Network`.
        target: Name of the backend, "process:COMMAND" or "library:LIBRARY" (see `attach`); default: the environment
            variable GRADSPIKE_BACKEND, else "emulator". A backend that is not there is an error, never another one in
            its place.
        preset: Preset of the backend; those of the emulator: "ideal", the arithmetic of training, and the analog ones
            "noiseless", "calibrated" and "delgrad-2024", see `presets`.
        seed: Seed of the chip: its fixed pattern.
        constants: Constants of the preset that are changed, by name.
        calibration: Named to the backend, such as the path of a file; the emulator takes none.
        example: As for `read`.
        network: Name of the network.
        inputs: Wishes by input, as for `read`.

    Returns:
        The deployed network, to be called with the inputs of the model.

    Raises:
        RuntimeError: the network does not fit (every misfit is named), a weight is NaN, or the backend is unknown.
        BackendError: the backend, a program or a library, is not there or does not take the network.
    """
    return read(model, example, network, inputs=inputs).deploy(target, preset, seed, constants, calibration)


def presets() -> Dict[str, Dict[str, Dict[str, Any]]]:
    """Presets of the emulator: each constant with "value", "unit", "meaning", "source", "minimum" and "maximum".

    Example:
        >>> presets()["delgrad-2024"]["threshold_offset"]["value"]
        0.05
    """
    result: Dict[str, Dict[str, Dict[str, Any]]] = json.loads(torch.classes.gradspike.Registry().emulator_presets())
    return result


def background_spikes(
    steps: int,
    batch: int,
    size: int,
    *,
    rate: float,
    seed: int = 0,
    kind: str = "poisson",
    dt: float = 1e-6,
    trial: int = 0,
) -> Tensor:
    """Spikes for training in the place of those that the chip's background generators make.

    An input with the wish "background" (see `read`) gets no events from the host: generators on the chip make its
    spikes. A model is trained on these here, or on others of that rate; the ideal emulator takes the spikes that it is
    given, bit for bit as in training. The analog emulator makes its own, the ones of this function for equal rate,
    seed, size, time step and `trial`, at their exact times and not on the grid of time steps; the `counts` of its
    result say how many, `not_modelled` how many were given in their place. A chip draws others of the same rate.

    Args:
        steps: Time steps.
        batch: Batch entries; each has spikes of its own, whatever the size of the batch.
        size: Sources: a power of two, above 256 a multiple of it; 1 for regular ones.
        rate: Spikes per second of each source [Hz]. A generator makes those of up to 256 sources, at most 250e6 and at
            least 15 (regular: 3815) per second, with a mean interval of period / (rate / 255) clock cycles of 4 ns; of
            the registers that meet the rate to 0.1 % those closest to a Poisson process are taken, else the closest.
        seed: Seed of the generator, 0 to 2^32 - 1.
        kind: "poisson", or "regular": a spike every 1 / rate.
        dt: Time step [s].
        trial: Seed of the run, `Deployed.__call__`.

    Returns:
        float32 `[steps, batch, size]`, counts. A spike is in the first step at or after its time.

    Raises:
        RuntimeError: no generator gives such spikes; the message says which do.

    Source:
        haldls, background.h (registers); the sequence of random numbers is gradspike's own.

    Example:
        >>> spikes = background_spikes(1000, 4, 16, rate=20e3, seed=7)
        >>> spikes.shape, round(float(spikes.mean()), 2)  # 20 kHz in steps of 1 us
        (torch.Size([1000, 4, 16]), 0.02)
    """
    numbers = {"steps": steps, "batch": batch, "size": size, "seed": seed, "trial": trial}
    for name, number in numbers.items():
        _reading.require_type(number, int, f"background_spikes: {name}")
        require_64_bits(number, f"background_spikes: {name}")
    _reading.require_type(kind, str, "background_spikes: kind")
    counts = _reading.call(
        torch.classes.gradspike.Registry().background_spikes,
        [steps, batch, size],
        kind,
        float(rate),
        [seed, trial],
        float(dt),
    )
    return counts.float()  # type: ignore[no-any-return]


def load_network(path: Union[str, Path]) -> Network:
    """Opens a network file (`gradspike.save(..., network="net.json")`): the chip part alone."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if text.startswith("PK"):
        raise RuntimeError(f"'{path}' is an archive and no network file: open it with gradspike.open_network")
    if not text.lstrip().startswith("{"):
        raise RuntimeError(f"'{path}' is neither a TorchScript archive nor a network file")
    try:
        return Network(torch.classes.gradspike.Network.from_network_file(text))
    except RuntimeError as error:
        raise RuntimeError(f"'{path}': {_reading.sentence(error)}") from None


def projection(key: str) -> Any:
    """Registered projection `<network>/<name>`; raises with the nearest keys where there is none."""
    _reading.require_type(key, str, "projection: key")
    return _reading.call(torch.classes.gradspike.Projection, key)


def population(key: str) -> Any:
    """Registered population `<network>/<name>`; raises with the nearest keys where there is none."""
    _reading.require_type(key, str, "population: key")
    return _reading.call(torch.classes.gradspike.Population, key)


def registered() -> Dict[str, Any]:
    """Everything that this process has registered, as a dictionary."""
    result: Dict[str, Any] = json.loads(torch.classes.gradspike.Registry().json())
    return result


def clear(network: str = "") -> None:
    """Forgets a network and its deployments, or all of them."""
    torch.classes.gradspike.Registry().clear(network)
    _since.forget(network)
