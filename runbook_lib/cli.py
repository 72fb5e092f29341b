"""The command line: the same functions as the notebooks, with exit codes for machines.

0 good · 1 findings or a failed gate · 2 usage or configuration · 3 approval needed ·
4 the environment could not be reached · 5 refused for safety
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from runbook_lib import __version__, limits
from runbook_lib.artifacts import to_json
from runbook_lib.config import find_config, load_environment, load_environments
from runbook_lib.errors import RunbookError
from runbook_lib.findings import Finding


class Group(click.Group):
    """Turns every RunbookError into one message on standard error and its exit code.

    So with what the machine refuses, such as one more open file.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            limits.require_files()
            return super().invoke(ctx)
        except (RunbookError, OSError) as raised:
            error = limits.explained(raised) if isinstance(raised, OSError) else raised
            if error is None:
                raise
            click.echo(f"runbook: {error.message}", err=True)
            if error.hint:
                click.echo(f"         {error.hint}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="runbook")
@click.option("-c", "--config", default="", help="A runbook.toml; default: the nearest one.")
@click.pass_context
def main(ctx: click.Context, config: str) -> None:
    """Prove, rehearse and repair a broken Alembic history on PostgreSQL."""
    ctx.obj = config


environment_option = click.option(
    "-e", "--environment", required=True, help="An environment of runbook.toml."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@main.command()
@click.option("--project", default=".", help="The folder to look in for alembic.ini.")
@click.option("--force", is_flag=True, help="Replace a runbook.toml that is there.")
def init(project: str, force: bool) -> None:
    """Write a runbook.toml for the Alembic project in this folder."""
    from runbook_lib import scaffold

    click.echo(scaffold.init(Path.cwd(), Path(project), force=force))


@main.command()
@click.option("-e", "--environment", default="", help="Only this environment.")
@json_option
@click.pass_obj
def doctor(config: str, environment: str, as_json: bool) -> None:
    """Say what is missing, in the order in which to mend it."""
    from runbook_lib import doctor as doctors

    path = find_config(name=config)
    names = [environment] if environment else list(load_environments(path))
    results = {name: doctors.examine(load_environment(name, str(path))) for name in names}
    if as_json:
        click.echo(json.dumps({name: to_json(items) for name, items in results.items()}, indent=2))
    else:
        for name, items in results.items():
            click.echo(doctors.report(name, items))
    sys.exit(max(doctors.exit_code(items) for items in results.values()))


@main.command()
@environment_option
@json_option
@click.pass_obj
def audit(config: str, environment: str, as_json: bool) -> None:
    """Give a verdict for every revision; read-only, leaves no archive."""
    from runbook_lib import phases, render

    with tempfile.TemporaryDirectory() as folder:
        result = phases.audit(_light_phase(environment, config, Path(folder)))
    if as_json:
        click.echo(json.dumps(to_json(result), indent=2, sort_keys=True))
    else:
        for part in (render.revisions(result), render.findings(result.findings)):
            click.echo(f"{part}\n")
    sys.exit(_findings_code(result.findings))


def _light_phase(environment: str, config: str, folder: Path) -> Any:
    """Return a phase whose folder is thrown away: for commands that leave no archive."""
    from runbook_lib.evidence import RunFolder
    from runbook_lib.session import Phase

    loaded = load_environment(environment, config)
    return Phase(name="02_audit", environment=loaded, folder=RunFolder(folder))


def _findings_code(found: Sequence[Finding]) -> int:
    return 1 if any(item.severity == "error" for item in found) else 0


@main.command()
@environment_option
@click.option("--approve", default="", metavar="DIGEST", help="Approve this plan and go on.")
@click.option("--by", default="", metavar="NAME", help="Who approves; default: the user.")
@json_option
@click.pass_obj
def run(config: str, environment: str, approve: str, by: str, as_json: bool) -> None:
    """Run all phases; stop where a person has to approve the plan."""
    from runbook_lib import runner

    outcome = runner.run(
        environment,
        config=str(find_config(name=config)),
        approve=approve,
        by=by,
        echo=(lambda text: None) if as_json else click.echo,
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "verdict": outcome.verdict,
                    "digest": outcome.digest,
                    "run": outcome.folder.name,
                    "exit_code": outcome.exit_code,
                }
            )
        )
    sys.exit(outcome.exit_code)


@main.command()
@click.argument("digest")
@environment_option
@click.option("--by", required=True, metavar="NAME", help="Who approves.")
@click.pass_obj
def approve(config: str, digest: str, environment: str, by: str) -> None:
    """Record the approval of exactly the plan with this DIGEST."""
    from runbook_lib import gates
    from runbook_lib.evidence import RunFolder
    from runbook_lib.plan import Plan

    loaded = load_environment(environment, config)
    folder = RunFolder.waiting(loaded)
    plan = folder.read("plan", Plan)
    approval = gates.give(loaded, plan.digest, digest, by)
    folder.write("approval", approval)
    folder.append_event("approved", "05_deployment", digest=approval.digest, by=by)
    click.echo(f"{by} approved {approval.digest} for {environment} at {approval.at}.")
    click.echo(f"Go on with: runbook run -e {environment}")


@main.command()
@environment_option
@click.option("--run", "run_name", default="latest", help="A run; default: the newest unsealed.")
@click.option(
    "--notebooks",
    type=click.Path(path_type=Path),
    help="Where the executed notebooks lie; default: the working copies of runbook lab.",
)
@click.pass_obj
def seal(config: str, environment: str, run_name: str, notebooks: Path | None) -> None:
    """Seal a run that was stepped through by hand, with its executed notebooks."""
    from runbook_lib import handwork

    loaded = load_environment(environment, str(find_config(name=config)))
    sealed = handwork.seal_by_hand(loaded, run_name, notebooks, click.echo)
    verdict = sealed.record.verdict
    click.echo(
        f"\nVerdict: {verdict}. Archive: {loaded.outputs.name}/{environment}/{sealed.record.run}"
    )
    click.echo(f"SHA-256 of its run.json: {sealed.sha256}")
    sys.exit(1 if verdict in ("failed", "refused") else 0)


@main.command()
@click.option("-e", "--environment", default=None, help="Only this environment.")
@click.option("--run", "run_name", default=None, help="Only this run.")
@click.option("--outputs", default="", help="The archive; default: that of runbook.toml.")
@click.option("--key", default="", help="A public key file for the signatures.")
@click.option(
    "--expect",
    multiple=True,
    metavar="DIGEST",
    help="A run.json's SHA-256 that was kept elsewhere.",
)
@json_option
@click.pass_obj
def verify(
    config: str,
    environment: str | None,
    run_name: str | None,
    outputs: str,
    key: str,
    expect: tuple[str, ...],
    as_json: bool,
) -> None:
    """Re-compute every digest of the archive and its chains; works offline."""
    from runbook_lib import index, verification

    folder = Path(outputs) if outputs else _outputs(config)
    results = verification.verify(folder, environment, run_name, key, expect)
    if as_json:
        click.echo(json.dumps(to_json(results), indent=2))
    else:
        for result in results:
            click.echo(f"{'✓' if result.ok else '✗'} {result.sentence}")
        if doubt := index.doubt(folder):
            click.echo(doubt)
        if not all(result.ok for result in results):
            for line in verification.advice(results, folder, environment):
                click.echo(line)
        elif not expect:
            click.echo(verification.caveat(folder, environment, key))
    sys.exit(0 if all(result.ok for result in results) else 1)


def _outputs(config: str) -> Path:
    environments = load_environments(find_config(name=config))
    return next(iter(environments.values())).outputs if environments else Path("outputs")


@main.command()
@environment_option
@json_option
@click.pass_obj
def lint(config: str, environment: str, as_json: bool) -> None:
    """Check the tree for bad practice; looks at files only, at no database."""
    from runbook_lib import lint as linting
    from runbook_lib import render
    from runbook_lib.project import Project
    from runbook_lib.revisions import parse_tree

    loaded = load_environment(environment, config)
    tree = Project(loaded.project, loaded.folder).collect()
    graph = parse_tree(tree)
    found = linting.lint(graph, tree)
    click.echo(json.dumps(to_json(found), indent=2) if as_json else render.findings(found))
    sys.exit(_findings_code(found))


@main.command()
@environment_option
@json_option
@click.pass_obj
def monitor(config: str, environment: str, as_json: bool) -> None:
    """Compare state and schema once, alert on findings, archive the audit."""
    from runbook_lib import runner

    outcome = runner.run(
        environment,
        config=str(find_config(name=config)),
        phases=("00_current_state", "06_prevention"),
        echo=(lambda text: None) if as_json else click.echo,
    )
    if as_json:
        click.echo(json.dumps({"verdict": outcome.verdict, "run": outcome.folder.name}))
    sys.exit(outcome.exit_code)


@main.command()
@environment_option
@click.option("--way", type=click.Choice(["restore", "downgrade"]), default="restore")
@click.option("--approve", default="", metavar="DIGEST", help="Do it for real.")
@click.option("--by", default="", metavar="NAME", help="Who approves.")
@click.pass_obj
def rollback(config: str, environment: str, way: str, approve: str, by: str) -> None:
    """Go back to the state before the last deployment; a dry run until approved."""
    from runbook_lib import runner

    outcome = runner.run(
        environment,
        config=str(find_config(name=config)),
        phases=("90_rollback",),
        parameters={"way": way},
        approve=approve,
        by=by,
        echo=click.echo,
    )
    sys.exit(outcome.exit_code)


@main.command()
@json_option
@click.pass_obj
def fleet(config: str, as_json: bool) -> None:
    """Audit every environment of runbook.toml, read-only, and lay the results side by side."""
    from runbook_lib import fleet as fleets

    rows = fleets.survey(find_config(name=config))
    click.echo(json.dumps(to_json(rows), indent=2) if as_json else fleets.report(rows))
    sys.exit(max((row.exit_code for row in rows), default=0))


@main.command()
@environment_option
@click.argument("options", nargs=-1)
@click.pass_obj
def lab(config: str, environment: str, options: tuple[str, ...]) -> None:
    """Open working copies of the notebooks, set to the environment, in JupyterLab.

    Options for JupyterLab come behind two dashes: runbook lab -e staging -- --no-browser
    """
    from runbook_lib import lab as labs

    path = find_config(name=config)
    loaded = load_environment(environment, str(path))
    sys.exit(labs.open_lab(loaded, path, options, click.echo))


@main.command()
@click.option("--stop", is_flag=True, help="Stop the demo's server.")
@click.option("--broken", is_flag=True, help="Only break them; repair them by hand.")
def demo(stop: bool, broken: bool) -> None:
    """Break a wallet's staging and production databases, and repair both."""
    from runbook_lib import demo as demos

    sys.exit(demos.stop(click.echo) if stop else demos.run(click.echo, broken=broken))


if __name__ == "__main__":
    main()
