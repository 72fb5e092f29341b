"""The helper library behind the runbook's notebooks.

The library computes, ``render`` draws, the notebooks narrate. Notebooks begin with
``from runbook_lib import open_phase, phases, render``.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["open_phase"]


def __getattr__(name: str) -> Any:
    """Import ``open_phase`` when it is first asked for, so that small modules stay light."""
    if name == "open_phase":
        from runbook_lib.session import open_phase

        return open_phase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
