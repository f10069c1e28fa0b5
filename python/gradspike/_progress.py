"""Progress bars on standard error, where it is a terminal and tqdm is installed; elsewhere nothing."""

import contextlib
import contextvars
import sys
from typing import Any, Iterable, Iterator, Optional, TypeVar

Item = TypeVar("Item")

_wanted = contextvars.ContextVar("wanted", default=False)


class Bar:
    """A bar of `total` steps. `visible` says whether there is one."""

    def __init__(self, total: int, title: str, unit: str = "run") -> None:
        self._bar: Any = None
        tqdm = _tqdm() if sys.stderr is not None and sys.stderr.isatty() else None
        if tqdm is not None:
            self._bar = tqdm(total=total, desc=title, unit=unit, mininterval=0.2, dynamic_ncols=True, file=sys.stderr)

    @property
    def visible(self) -> bool:
        return self._bar is not None

    def advance(self, text: str = "") -> None:
        """One step further, with a text behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def has_tqdm() -> bool:
    return _tqdm() is not None


def _tqdm() -> Optional[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


@contextlib.contextmanager
def wanted() -> Iterator[None]:
    """Lets `steps` show bars: commands do, a call from a program does not."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def steps(items: Iterable[Item], total: int, title: str, unit: str = "run") -> Iterator[Item]:
    """The items; a bar counts them where bars are wanted."""
    if not _wanted.get():
        yield from items
        return
    bar = Bar(total, title, unit)
    try:
        for item in items:
            yield item
            bar.advance()
    finally:
        bar.close()
