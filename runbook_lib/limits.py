"""Limits: what the machine has to allow before anything starts, and what its refusals mean."""

from __future__ import annotations

import errno
import resource

from runbook_lib.errors import RunbookError

FILES = 128  # open at once, of one process: a whole run got by with 96, and with 64 it did not
_HINTS = {
    errno.EMFILE: f"Allow more: ulimit -n {FILES}",
    errno.ENFILE: "The whole machine has too many; end what is not needed.",
    errno.ENOSPC: "Make room, then run again.",
    errno.EDQUOT: "Make room, then run again.",
    errno.ENOMEM: "Free memory, then run again.",
    errno.EAGAIN: "Too many processes run; end what is not needed, then run again.",
}


def require_files() -> None:
    """Allow this process and its children enough open files. Raises RunbookError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES:
        return
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise RunbookError(
            f"Only {hard} files may be open at once here, and {FILES} are needed.",
            _HINTS[errno.EMFILE],
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def explained(error: OSError) -> RunbookError | None:
    """Return the machine's refusal in a sentence, or None for an error of another kind."""
    hint = _HINTS.get(error.errno or 0)
    return RunbookError(f"The machine refused: {error.strerror}.", hint) if hint else None
