"""Generate the reference pages from the code: ``python docs/generate.py`` (part of ``make docs``).

``tests/test_docs.py`` fails when what is here on disk is not what this writes.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import schema
import texts

from runbook_lib import cli, config, errors, seal
from runbook_lib.backup import Backup
from runbook_lib.codes import CODES, Area
from runbook_lib.config import Alerts, Check, Environment, ProjectSettings
from runbook_lib.evidence import PhaseResult
from runbook_lib.findings import Finding
from runbook_lib.fleet import FleetRow
from runbook_lib.forensics import Audit, Executed, Verdict
from runbook_lib.going_back import Rollback
from runbook_lib.plan import Plan, StrategyName
from runbook_lib.prevention import Prevention
from runbook_lib.probing import Item
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.reading import Cleanup
from runbook_lib.seal import RunRecord
from runbook_lib.validation import Validation
from runbook_lib.verdicts import _VERDICTS as VERDICTS
from runbook_lib.verification import VerifyResult

HERE = Path(__file__).parent
NOTE = "<!-- Generated from the code by docs/generate.py. Do not edit. -->\n"

# Artifact by the name of its schema: the class, and where its JSON is found.
ARTIFACTS: dict[str, tuple[type, str]] = {
    "audit": (
        Audit,
        "`00_current_state.json`, `02_audit.json`, and what `runbook audit --json` prints",
    ),
    "backup": (Backup, "`01_backup.json`"),
    "cleanup": (Cleanup, "`03_cleanup.json`"),
    "plan": (Plan, "`plan.json`; its digest is what is approved"),
    "validation": (Validation, "`04_validation.json`"),
    "approval": (Approval, "`approval.json`, `90_approval.json`"),
    "deployment": (Deployment, "`05_deployment.json`"),
    "prevention": (Prevention, "`06_prevention.json`"),
    "rollback": (Rollback, "`90_rollback.json`"),
    "phase-result": (PhaseResult, "`NN_phase.result.json`, one for each phase"),
}
# What commands print with --json besides the audit: name, class, how the values are nested.
PRINTED: dict[str, tuple[type, str]] = {
    "doctor": (Item, "`runbook doctor --json`: by environment, a list of"),
    "lint": (Finding, "`runbook lint --json`: a list of"),
    "verify": (VerifyResult, "`runbook verify --json`: a list of"),
    "fleet": (FleetRow, "`runbook fleet --json`: a list of"),
}


def pages() -> dict[str, str]:
    """Return every generated file: its text, by its path below ``docs``."""
    made = {
        "reference/command-line.md": _page("Command line", command_line()),
        "reference/configuration.md": _page("Configuration", configuration()),
        "reference/findings.md": _page("Finding codes", findings()),
        "reference/verdicts.md": _page("Verdicts and strategies", verdicts()),
        "reference/exit-codes.md": _page("Exit codes", exit_codes()),
        "reference/artifacts.md": _page("Artifacts", artifacts()),
    }
    for name, document in schemas().items():
        made[f"reference/schemas/{name}.json"] = json.dumps(document, indent=2) + "\n"
    return made


def _page(title: str, lines: Iterator[str]) -> str:
    return f"{NOTE}\n# {title}\n\n" + "\n".join(lines).strip() + "\n"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' for _ in head)}|"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# Command line


def command_line() -> Iterator[str]:
    yield "Every command as it describes itself. What its exit code means: "
    yield "[Exit codes](exit-codes.md).\n"
    settings = cli.main.context_settings  # click applies them only when it runs the command
    top = click.Context(cli.main, info_name="runbook", terminal_width=80, **settings)
    yield from _help("runbook", cli.main, top)
    for name in sorted(cli.main.commands):
        command = cli.main.commands[name]
        context = click.Context(command, info_name=name, parent=top, terminal_width=80)
        yield from _help(f"runbook {name}", command, context)


def _help(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {name}\n"
    yield "```text"
    yield command.get_help(context)
    yield "```\n"


# Configuration


def configuration() -> Iterator[str]:
    yield from texts.CONFIGURATION
    for name, (cls, left_out) in SECTIONS.items():
        yield f"## `{name}`\n"
        yield f"{_after_colon(schema.doc(cls))}\n"
        meanings = _complete(texts.KEYS[cls.__name__], _keys(cls, left_out), name)
        rows = (_row(item, meanings[item.name]) for item in fields(cls) if item.name in meanings)
        yield from _table(("Key", "Type", "Default", "Meaning"), rows)
    yield "## Environment variables\n"
    yield from _table(("Variable", "Meaning"), ((f"`{k}`", v) for k, v in texts.VARIABLES.items()))


def _after_colon(text: str) -> str:
    """Leave out the section's name, which the heading has already."""
    rest = text.partition("`: ")[2]
    return rest[0].upper() + rest[1:]


# Section of runbook.toml by its heading: its dataclass, and the fields that are not keys of it.
SECTIONS: dict[str, tuple[type, tuple[str, ...]]] = {
    "[project]": (ProjectSettings, ()),
    "[environments.NAME]": (Environment, ("name", "project", "folder", "outputs", "alerts")),
    "[[checks]]": (Check, ()),
    "[alerts]": (Alerts, ()),
}


def _keys(cls: type, left_out: tuple[str, ...]) -> list[str]:
    return [item.name for item in fields(cls) if item.name not in left_out]


def _complete(told: Mapping[str, str], wanted: list[str], where: str) -> Mapping[str, str]:
    """Return ``told``. Raises KeyError when it is not exactly about what there is."""
    if sorted(told) != sorted(wanted):
        raise KeyError(f"{where}: docs/texts.py and the code differ in {set(told) ^ set(wanted)}")
    return told


def _row(item: Field[Any], meaning: str) -> tuple[str, ...]:
    return f"`{item.name}`", _kind(str(item.type)), _default(item), meaning


def _kind(annotation: str) -> str:
    plain = {
        "str": "text",
        "bool": "true or false",
        "float": "number",
        "tuple[str, ...]": "list of texts",
        "Mapping[str, str]": "table of texts",
        "Mapping[str, Decision]": f"table; {_choices(config.Decision)}",
        "tuple[Check, ...]": "list of tables",
    }
    return plain.get(annotation) or _choices(getattr(config, annotation))


def _choices(literal: Any) -> str:
    return " or ".join(f'`"{word}"`' for word in get_args(literal))


def _default(item: Field[Any]) -> str:
    if item.default is MISSING and item.default_factory is MISSING:
        return "required"
    value = item.default if item.default is not MISSING else {}
    if value in ((), {}, ""):
        return "empty"
    return f"`{json.dumps(value)}`"


# Finding codes


def findings() -> Iterator[str]:
    yield from texts.FINDINGS
    for area in get_args(Area):
        codes = [code for code in CODES.values() if code.area == area]
        yield f"## {area.capitalize()}\n"
        rows = ((f"[`{item.code}`](#{item.code})", item.severity, item.cause) for item in codes)
        yield from _table(("Code", "Severity", "Cause"), rows)
        for item in codes:
            yield f"### {item.code}\n"
            yield f"*{item.area} · {item.severity}*\n"
            yield f"- **Cause.** {item.cause}"
            yield f"- **Proof.** {item.proof}"
            yield f"- **Fix.** {item.fix}\n"


# Verdicts


def verdicts() -> Iterator[str]:
    yield from texts.VERDICTS
    yield "## Of a revision\n"
    rows = (
        (f"`{executed}`", "yes" if recorded else "no", f"`{verdict}`", texts.VERDICT[verdict])
        for (executed, recorded), verdict in VERDICTS.items()
    )
    _complete(texts.VERDICT, list(get_args(Verdict)), "Verdict")
    yield from _table(("Executed", "Recorded", "Verdict", "Meaning"), rows)
    for title, literal, told in (
        ("Executed", Executed, texts.EXECUTED),
        ("Of a run", seal.Verdict, texts.RUN),
        ("Of a phase", get_type_hints(PhaseResult)["status"], texts.PHASE),
        ("Strategies of a plan", StrategyName, texts.STRATEGY),
    ):
        _complete(told, list(get_args(literal)), title)
        yield f"## {title}\n"
        words = ((f"`{word}`", told[word]) for word in get_args(literal))
        yield from _table(("Word", "Meaning"), words)


# Exit codes


def exit_codes() -> Iterator[str]:
    yield from texts.EXIT_CODES
    kinds = [
        item
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.RunbookError)
    ]
    rows = (
        (
            f"`{code}`",
            texts.EXIT_CODE[code],
            ", ".join(f"`{item.__name__}`" for item in kinds if item.exit_code == code),
        )
        for code in sorted(_exit_codes(kinds))
    )
    yield from _table(("Code", "Meaning", "Errors"), rows)
    yield "## Errors\n"
    named = ((f"`{item.__name__}`", f"`{item.exit_code}`", schema.doc(item)) for item in kinds)
    yield from _table(("Error", "Code", "Says"), named)


def _exit_codes(kinds: list[type[errors.RunbookError]]) -> Mapping[int, str]:
    used = [0, *sorted({item.exit_code for item in kinds})]
    if sorted(texts.EXIT_CODE) != used:
        raise KeyError(f"docs/texts.py and the code differ in exit codes: {used}")
    return texts.EXIT_CODE


# Artifacts


def artifacts() -> Iterator[str]:
    yield from texts.ARTIFACTS
    rows = (
        (f"[{cls.__name__}](#{cls.__name__.lower()})", where, f"[{name}](schemas/{name}.json)")
        for name, (cls, where) in ARTIFACTS.items()
    )
    yield from _table(("Artifact", "Where", "JSON Schema"), rows)
    yield from texts.RUN_JSON
    yield "## What commands print with `--json`\n"
    printed = (
        (f"{where} [{cls.__name__}](#{cls.__name__.lower()})",) for cls, where in PRINTED.values()
    )
    yield from (f"- {text}" for (text,) in printed)
    yield "- `runbook run --json`, `runbook monitor --json`: `verdict`, `run`; `run` also has"
    yield "  `digest` and `exit_code`\n"
    yield "## Types\n"
    known = [cls for cls, _ in (*ARTIFACTS.values(), *PRINTED.values())]
    for cls in schema.reached(*known, RunRecord):
        hints = get_type_hints(cls)
        yield f"### {cls.__name__}\n"
        yield f"{schema.doc(cls)}\n"
        lines = ((f"`{item.name}`", schema.words(hints[item.name])) for item in fields(cls))
        yield from _table(("Field", "Type"), lines)


def schemas() -> dict[str, schema.Schema]:
    """Return the JSON Schema of every artifact and of ``run.json``, by name."""
    made = {name: schema.document(cls, name) for name, (cls, _) in ARTIFACTS.items()}
    return {**made, "run": _statement()}


def _statement() -> schema.Schema:
    """The in-toto statement around the record: what ``run.json`` is."""
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    subject = _object(name={"type": "string"}, digest=_object(sha256=digest))
    return {
        "$schema": schema.DIALECT,
        "title": "run",
        **_object(
            _type={"const": seal.STATEMENT_TYPE},
            subject={"type": "array", "items": subject},
            predicateType={"const": seal.PREDICATE_TYPE},
            predicate={"$ref": "#/$defs/RunRecord"},
        ),
        "$defs": schema.definitions(RunRecord),
    }


def _object(**properties: schema.Schema) -> schema.Schema:
    shape = {"type": "object", "properties": properties, "required": list(properties)}
    return {**shape, "additionalProperties": False}


def stale(folder: Path = HERE) -> tuple[str, ...]:
    """Return the generated files that are missing or differ, and those that nothing makes."""
    made = pages()
    there = {
        item.relative_to(folder).as_posix()
        for item in (folder / "reference").rglob("*")
        if item.is_file()
    }
    wrong = {
        name for name, text in made.items() if name not in there or _read(folder, name) != text
    }
    return tuple(sorted(wrong | (there - made.keys())))


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def main() -> None:
    for name, text in pages().items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    left = stale()
    sys.exit(f"Nothing makes these any more; delete them: {', '.join(left)}" if left else 0)


if __name__ == "__main__":
    main()
