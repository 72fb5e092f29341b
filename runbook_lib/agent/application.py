"""Application: Flask's, which the ``env.py`` of Flask-Migrate takes for granted.

``flask db`` runs Alembic within the context of the application; run by itself, such an ``env.py``
ends at its first ``current_app``. So the application is loaded here as ``flask`` would load it.
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
