"""Which revision of the user's own code made a report."""

import functools
import os
import subprocess

_SECONDS = 5.0
# Nothing that a repository configures is run, and nothing is written to it.
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def git_revision() -> str:
    """The commit of the working directory, and whether tracked files differ from it; "" without git or a commit.

    Asked for once per directory and process: the code that runs is that of the time when it was loaded.
    """
    try:
        return revision_of(os.getcwd())
    except OSError:  # the directory is gone
        return ""


@functools.lru_cache(maxsize=64)
def revision_of(directory: str) -> str:
    """The commit of a folder, and whether tracked files differ from it; "" without git or a commit."""
    commit = _output(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return ""
    changed = _output(directory, "status", "--porcelain", "--untracked-files=no")
    return commit if changed == "" else f"{commit} with uncommitted changes" if changed else f"{commit}, state unknown"


def _output(directory: str, *arguments: str) -> "str | None":
    """What git prints; None where it is not there, takes too long or fails."""
    try:
        done = subprocess.run(
            [*_GIT, *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
