"""Application: what ``env.py`` runs in, and how often it runs the revisions.

``flask db`` runs Alembic within the context of Flask's application; run by itself, such an
``env.py`` ends at its first ``current_app``. So the application is loaded here as ``flask`` would
load it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.wire import Refused, explain


def install(begun: Callable[[], bool]) -> None:
    """Let ``env.py`` run again, within the context, where it stopped for want of one.

    ``begun`` says whether it had a database connection by then: after that nothing is repeated.
    """
    from alembic.script import ScriptDirectory

    run_env: Any = ScriptDirectory.run_env

    def run_within(script: Any) -> None:
        try:
            run_env(script)
        except RuntimeError as error:
            if "outside of application context" not in str(error) or begun():
                raise
            enter_context()
            run_env(script)

    setattr(ScriptDirectory, "run_env", run_within)  # noqa: B010  (mypy: a method)


def enter_context() -> None:
    """Load the application that FLASK_APP names, else app.py or wsgi.py, and enter its context."""
    cli: Any = importlib.import_module("flask.cli")
    try:
        cli.load_dotenv()
        cli.ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app().app_context().push()
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        words = getattr(error, "message", "") or explain(error)
        raise Refused(
            "configuration",
            "env.py wants Flask's application, which cannot be loaded: "
            f"{' '.join(str(words).split())[:600]}",
            "Set what the application needs in [project.env] of runbook.toml, as for `flask db "
            'upgrade`: FLASK_APP = "package:create_app".',
        ) from error


class Walks:
    """Counts how often one run of ``env.py`` runs the revisions."""

    def __init__(self) -> None:
        self.environment: Any = None
        self.number = 0

    def configured(self, environment: Any) -> None:
        self.number = self.number if environment is self.environment else 0
        self.environment = environment

    def require_first(self) -> None:
        """Refuse an env.py that runs them again, for another database or schema."""
        self.number += 1
        if self.number > 1:
            raise Refused(
                "configuration",
                "env.py runs the revisions several times, as for several databases or schemas; "
                "the runbook proves one at a time.",
                "Let env.py run only the one that context.get_x_argument names, and name it in "
                'runbook.toml: x = ["database=engine1"] in [project].',
            )
