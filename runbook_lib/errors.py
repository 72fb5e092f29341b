"""What can go wrong, as a small tree. Each error carries the exit code of the command line.

RunbookError                1  findings, or a phase that failed
├── GateError               1  a gate is not satisfied yet
├── ProjectError            1  the project's own Alembic failed
├── ConfigurationError      2  runbook.toml, a parameter or an option is wrong
├── ApprovalNeeded          3  somebody has to approve a plan
├── UnreachableError        4  a database or an interpreter cannot be reached
└── SafetyError             5  refused: going on could harm the target
"""

from __future__ import annotations


class RunbookError(Exception):
    """Something that a user can cause or mend.

    ``message`` says what happened and on which object, ``hint`` what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in a notebook in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class GateError(RunbookError):
    """A condition that has to hold before the runbook goes on does not hold."""


class ProjectError(RunbookError):
    """The project's own Alembic, run in the project's own interpreter, failed."""


class ConfigurationError(RunbookError):
    """The configuration, a parameter or an option is wrong."""

    exit_code = 2


class ApprovalNeeded(RunbookError):
    """The plan is ready and waits for a person's approval."""

    exit_code = 3


class UnreachableError(RunbookError):
    """A database, a container or an interpreter cannot be reached."""

    exit_code = 4


class SafetyError(RunbookError):
    """Refused, because going on could harm the target or falsify the record."""

    exit_code = 5
