"""Backends beside the emulator: attaching them, asking how they are, and what they did wrong."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import torch

from gradspike import _reading


class BackendError(RuntimeError):
    """A backend is missing, refuses, is silent, ends, or answers partly or with nonsense. The next run works again.

    Attributes:
        partial: What had been recorded: a `Result` of the complete batch entries, whose `outputs` are None; None where
            no batch entry is complete.
        entries: For each batch entry of `partial` its index in the inputs.
    """

    def __init__(self, message: str, partial: Any = None, entries: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.partial = partial
        self.entries = list(entries)


def call(method: Callable[..., Any], *args: Any, result: Optional[Callable[..., Any]] = None) -> Any:
    """Calls into the library; what a backend did wrong is raised as `BackendError`.

    `result` makes a `Result` of tensors and what is said about them; needed where the call can leave a recording.
    """
    registry = torch.classes.gradspike.Registry()
    registry.take_failure()  # one that nobody has asked for
    try:
        return _reading.call(method, *args)
    except RuntimeError as error:
        failed, seen, about, entries = registry.take_failure()
        if not failed:
            raise
        partial = result(seen, about) if result is not None and entries else None
        raise BackendError(str(error), partial, entries) from None


def attach(
    name: str,
    command: Union[str, Sequence[str], None] = None,
    *,
    library: Optional[str] = None,
    timeout: float = 120.0,
) -> None:
    """Gives a backend outside of this library a name, for `deploy(target=name)` and GRADSPIKE_BACKEND.

    Without a name, the targets "process:COMMAND" and "library:LIBRARY" say the same in one text.

    Args:
        name: 1 to 64 letters, digits, '_', '-' or '.'; a name that is taken is replaced.
        command: Program and arguments, or one text that is split like a shell's words, without expansion. The program
            speaks the message format of docs/backend-protocol.md; it is started at the first call and kept.
        library: Instead of a command a shared library (csrc/chip/backend_library.h): its path, or the NAME of
            libgradspike_backend_NAME.so on the loader's path.
        timeout: Longest wait for one whole message of the program [s], 0.001 to 1e6.

    Raises:
        BackendError: there is no such program or library, or the library was built for another version.
    """
    _reading.require_type(name, str, "attach: name")
    if (command is None) == (library is None):
        raise ValueError("attach: give either command or library")
    registry = torch.classes.gradspike.Registry()
    if library is not None:
        _reading.require_type(library, str, "attach: library")
        call(registry.attach_library, name, library)
        return
    words = _reading.call(registry.split_words, command) if isinstance(command, str) else list(command or ())
    for word in words:
        _reading.require_type(word, str, "attach: command")
    call(registry.attach_process, name, words, float(timeout))


def detach(name: str) -> None:
    """Forgets a backend, by name or by the text "process:..." or "library:..."; its program ends with the last network.

    Raises:
        RuntimeError: there is no such backend, or it is the emulator.
    """
    _reading.require_type(name, str, "detach: name")
    _reading.call(torch.classes.gradspike.Registry().detach, name)


def backends() -> List[str]:
    """Names of the backends that there are: the emulator and what was attached under a name."""
    return list(torch.classes.gradspike.Registry().backends())


def health(target: Optional[str] = None) -> Dict[str, str]:
    """What a backend says of its state, such as `{"status": "ready"}`; starts it where it is a program.

    Args:
        target: As for `deploy`.

    Raises:
        BackendError: it is not there, or does not answer.
    """
    _reading.require_type(target or "", str, "health: target")
    return dict(call(torch.classes.gradspike.Registry().health, target or ""))
