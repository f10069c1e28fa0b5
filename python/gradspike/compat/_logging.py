"""The loggers of the chip's packages (`pylogging`), on Python's `logging`.

`log.INFO("spikes: ", count)` writes its arguments one after the other. Nothing is configured before a script does so by
`default_config`: until then warnings and errors go to standard error, as with any Python logger.
"""

import enum
import logging
import sys
from typing import Any, Optional

_TRACE = 5


class LogLevel(enum.IntEnum):
    """Severity, as `logging` numbers it."""

    ALL = 1
    TRACE = _TRACE
    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARN = logging.WARNING
    ERROR = logging.ERROR
    FATAL = logging.CRITICAL
    OFF = logging.CRITICAL + 1


class Logger:
    """A logger by name: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` and `FATAL` write."""

    def __init__(self, name: Optional[str] = None) -> None:
        self._logger = logging.getLogger(name)

    def _write(self, level: int, parts: Any) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", "".join(map(str, parts)), stacklevel=3)

    def TRACE(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(_TRACE, parts)

    def DEBUG(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(logging.DEBUG, parts)

    def INFO(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(logging.INFO, parts)

    def WARN(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(logging.WARNING, parts)

    def ERROR(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(logging.ERROR, parts)

    def FATAL(self, *parts: Any) -> None:
        """Writes the parts, one after the other."""
        self._write(logging.CRITICAL, parts)

    trace, debug, info, warn, error, fatal = TRACE, DEBUG, INFO, WARN, ERROR, FATAL

    def get_number_of_appenders(self) -> int:
        """Number of handlers."""
        return len(self._logger.handlers)

    def __repr__(self) -> str:
        return f"Logger({self._logger.name!r})"


_appended: "list[tuple[logging.Logger, logging.Handler]]" = []


def get(name: str) -> Logger:
    """The logger of a name."""
    return Logger(name)


def get_root() -> Logger:
    """The logger above all others."""
    return Logger()


def set_loglevel(logger: Logger, level: int) -> None:
    """Sets what a logger writes: this severity and above."""
    logger._logger.setLevel(int(level))


def default_config(
    level: int = LogLevel.WARN,
    fname: str = "",
    print_location: bool = False,
    color: bool = True,
    date_format: str = "ABSOLUTE",
    **options: Any,
) -> None:
    """Writes everything of this severity and above to standard output, and to the file `fname`.

    Args:
        level: Severity.
        fname: A file; "": none.
        print_location: Whether lines name file and line of the script.
        color: Accepted, without effect.
        date_format: "NULL": lines without time.
        **options: Accepted, without effect.
    """
    root = logging.getLogger()
    root.setLevel(int(level))
    layout = "%(levelname)-5s %(name)s %(message)s" + ("  -> %(pathname)s:%(lineno)d" if print_location else "")
    layout = layout if date_format == "NULL" else "%(asctime)s " + layout
    _append(root, logging.StreamHandler(sys.stdout), layout)
    if fname:
        _append(root, logging.FileHandler(fname), layout)


def _append(logger: logging.Logger, handler: logging.Handler, layout: str) -> None:
    handler.setFormatter(logging.Formatter(layout))
    logger.addHandler(handler)
    _appended.append((logger, handler))


def append_to_file(fname: str, logger: Logger) -> None:
    """Writes what a logger writes to a file too."""
    _append(logger._logger, logging.FileHandler(fname), "%(asctime)s %(levelname)-5s %(name)s %(message)s")


def reset() -> None:
    """Takes back what `default_config` and `append_to_file` did."""
    while _appended:
        logger, handler = _appended.pop()
        logger.removeHandler(handler)
        handler.close()
    logging.getLogger().setLevel(logging.WARNING)


logging.addLevelName(_TRACE, "TRACE")
