"""Several processes: distributed tensors, and what only one of the processes does.

Modules hold parameters and numbers alone, so DistributedDataParallel and FSDP need nothing of this module. What is
equal to one process, bit for bit: the spikes and membranes of the forward pass, however batch and neurons are divided.
What is equal up to the order of summation: gradients, which are sums over the batch.

Each process has its own registry, and the same model gives the same keys and integers in each. A chip belongs to one
process: `on_first_process` deploys there while the others wait.

Example:
    >>> import torch, gradspike
    >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
    >>> deployed = gradspike.distributed.on_first_process(lambda: gradspike.chip.deploy(model))
    >>> deployed is None  # in every process but the first
    False
"""

from typing import Callable, List, Optional, TypeVar

import torch

from gradspike import _sharding

__all__ = ["on_first_process", "register_sharding"]

_Result = TypeVar("_Result")


def register_sharding() -> None:
    """Makes all operators, and the modules that use them, take distributed tensors (DTensor).

    Split may be what is computed entry by entry; each process then calls the operator on its part:

    - `linear_saturating`, `hardware_weights`: every dimension;
    - `graded_spikes`, `eventprop_graded_spikes`: leading dimensions of the spikes (batch and time), rows of the weight
      (output neurons); `sparse_graded_spikes`, `prepacked_graded_spikes`: leading dimensions of the spikes;
    - `pack_spikes`, `unpack_spikes`: leading dimensions; `lost` is a sum over the processes;
    - `lif`, `li`, `aelif`, `eventprop_lif`, `exact_eventprop_lif`: batch, and neurons, with parameters that are
      numbers, 0-dim, or `[neuron]` split or not;
    - `synapse_lif`: batch, and rows of the weight (neurons); only batch where the output spikes are packed, nothing
      with `rounding="none"`;
    - `recurrent_lif`: batch.

    Anything else, as inputs that are split along the sum over `in_features`, or along time in `lif`, is redistributed
    first; so are all inputs of `weight_statistics`, `hardware_weights_with_statistics`, `connections`, `prepack`,
    `spikes_to_events` and `events_to_spikes`, which look at a whole tensor: each process computes all of their results.
    Where two tensors are split along different axes, the first argument decides. Sums over a split axis are
    partial sums, as those of `torch.mm` are: gradients of weights and parameters over the batch, of spikes over the
    output neurons. The rule "returning" takes the sign of a weight's whole gradient: its batch is gathered in the
    backward pass. Scales as tensors are DTensors or plain, and what holds for the operator holds for their overloads.

    May be called more than once. Importing gradspike alone does not import `torch.distributed.tensor`.

    Raises:
        RuntimeError: the PyTorch of this process was built without distributed support.

    Note:
        Results are the bits of one process; so are gradients that are no sums over a split axis. Two things are
        matrix products of PyTorch, whose order of summation depends on the number of rows: gradients of spikes, but
        for sparse ones, and the results of `graded_spikes` and `eventprop_graded_spikes` with `rounding="none"`. A
        partial sum is exact where its terms and sums are (integers, counts); else it differs from that of one process
        by rounding. A plain tensor beside distributed ones is refused, numbers and 0-dim tensors aside, whose gradient
        is summed at once.
    """
    if not torch.distributed.is_available():
        raise RuntimeError("register_sharding: this PyTorch was built without torch.distributed")
    _sharding.register()


def on_first_process(action: Callable[[], _Result]) -> Optional[_Result]:
    """Does something in process 0 alone; the others wait for it and fail where it fails.

    For what exists once: a chip, a file, a download. Without the wait, processes that go on alone meet a closed store
    or wait for a collective operation that never comes when the first one has failed.

    Args:
        action: Called without arguments, in process 0 of the default group, or where there is no group.

    Returns:
        What the action gives; None in the other processes.

    Raises:
        RuntimeError: in the other processes where the action failed: its message. Process 0 raises the error itself.

    Example:
        >>> import torch, gradspike
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
        >>> path = getfixture("tmp_path") / "net.pt"
        >>> network = gradspike.distributed.on_first_process(lambda: gradspike.save(model, path))
        >>> path.exists()  # in every process
        True
    """
    dist = torch.distributed
    if not (dist.is_available() and dist.is_initialized()):
        return action()
    result: Optional[_Result] = None
    failure: Optional[BaseException] = None
    if dist.get_rank() == 0:
        try:
            result = action()
        except Exception as error:
            failure = error
    message: List[Optional[str]] = [None if failure is None else f"{type(failure).__name__}: {failure}"]
    dist.broadcast_object_list(message, src=0)
    if failure is not None:
        raise failure
    if message[0] is not None:
        raise RuntimeError(f"on_first_process: process 0 failed with {message[0]}")
    return result
