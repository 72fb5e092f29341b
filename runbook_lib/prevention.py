"""Prevention: lint of the tree, the state-against-schema monitor, alerts, and the schedule."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook_lib import auditing, lint, reading
from runbook_lib.artifacts import Artifact, to_json
from runbook_lib.config import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.findings import Finding
from runbook_lib.session import Phase

TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevention(Artifact):
    """What keeps it from happening again. ``alerts`` says what was sent where, in sentences."""

    lint: tuple[Finding, ...]
    monitor: tuple[Finding, ...]
    alerts: tuple[str, ...]
    schedule: Mapping[str, str]


def prevent(phase: Phase) -> Prevention:
    """Lint the tree, compare state and schema once, alert on what is wrong, write the schedule."""
    found = reading.read(phase)
    audit = auditing.build_audit(found.seen, found.drawn)
    serious = tuple(item for item in audit.findings if item.severity == "error")
    return Prevention(
        lint=lint.lint(found.seen.graph, found.tree),
        monitor=serious,
        alerts=send_alerts(phase.environment, serious),
        schedule=schedule(phase.environment),
    )


def send_alerts(environment: Environment, found: Sequence[Finding]) -> tuple[str, ...]:
    """Send ``found`` to the webhook and the command of ``[alerts]``; say what came of each.

    Both get the same JSON: ``{"environment", "findings": [...]}``, the command on its standard
    input. Nothing is sent when nothing was found; that nothing would be is said then too.
    """
    rules = environment.alerts
    quiet = () if found else ("Nothing to alert about.",)
    if not (rules.webhook_env or rules.command):
        return (*quiet, "No alert is configured: add [alerts] to runbook.toml.")
    if quiet:
        return quiet
    body = json.dumps({"environment": environment.name, "findings": to_json(tuple(found))})
    said = []
    if rules.webhook_env:
        said.append(_post(rules.webhook_env, body))
    if rules.command:
        said.append(_call(rules.command, body, environment))
    return tuple(said)


def _post(variable: str, body: str) -> str:
    address = os.environ.get(variable, "")
    if not address.startswith(("https://", "http://")):
        raise ConfigurationError(
            f"[alerts] webhook_env names {variable}, which holds no http(s) address.",
            f"Set {variable}.",
        )
    request = urllib.request.Request(
        address, data=body.encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return f"The webhook of {variable} answered {answer.status}."
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return f"The webhook of {variable} could not be reached: {reason}."


def _call(command: Sequence[str], body: str, environment: Environment) -> str:
    try:
        done = subprocess.run(
            list(command),
            input=body,
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            cwd=environment.folder,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The alert command {command[0]} did not run: {type(error).__name__}."
    return f"The alert command {command[0]} ended with exit code {done.returncode}."


def schedule(environment: Environment) -> dict[str, str]:
    """Return ready-made snippets that audit regularly and archive every audit.

    They set, or say where to set, the variables that hold the environment's secrets.
    """
    variables = [name for name in (environment.url_env, environment.alerts.webhook_env) if name]
    given = {"command": f"runbook monitor -e {environment.name}", "name": environment.name}
    needs = ", ".join(variables)
    return {
        "cron": (_CRON_WITH_SECRETS if variables else _CRON).format(**given, variables=needs),
        "GitHub Actions": _GITHUB.format(
            **given,
            secrets="".join(f'  {name}: "${{{{ secrets.{name} }}}}"\n' for name in variables),
        ),
        "GitLab CI": _GITLAB.format(
            **given,
            variables=f"# {needs}: masked variables of the project.\n" if variables else "",
        ),
    }


_CRON = "17 5 * * *  cd /path/to/project && {command} || true\n"

_CRON_WITH_SECRETS = """\
# cron starts with no variables of yours: secrets.sh exports {variables}; only you may read it.
17 5 * * *  cd /path/to/project && . /path/to/secrets.sh && {command} || true
"""

_GITHUB = """\
on:
  schedule:
    - cron: "17 5 * * *"
env:
  RUNBOOK: "${{{{ vars.RUNBOOK }}}}"  # what pip installs it from: a wheel, a repository
{secrets}jobs:
  audit-{name}:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: pip install "$RUNBOOK" -r requirements.txt
      - run: {command}
      - if: always()
        uses: actions/upload-artifact@v4
        with:
          name: runbook-outputs
          path: outputs/
"""

_GITLAB = """\
{variables}audit-{name}:
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule"
  script:
    - pip install "$RUNBOOK" -r requirements.txt  # a variable: a wheel of it, or a repository
    - {command}
  artifacts:
    when: always
    paths: [outputs/]
"""
