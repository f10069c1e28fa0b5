"""Reserving and releasing hardware, which backends do by themselves."""

from typing import Any


def init_hardware(*args: Any, **options: Any) -> None:
    """Accepted for scripts that reserve a chip: a backend is opened when a network is put on it."""


def release_hardware() -> None:
    """Accepted for scripts that release a chip: a backend is closed with the process, or by `gradspike.chip.detach`."""
