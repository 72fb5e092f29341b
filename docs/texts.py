"""The words of the generated reference that the code does not hold itself, by what they explain.

``generate.py`` refuses to go on when a table here is not exactly about what there is in the code.
"""

from __future__ import annotations

from runbook_lib.seal import MEANINGS

CONFIGURATION = (
    "`runbook.toml` lies beside the project, or anywhere above the folder in which a command is",
    "run; `runbook -c FILE` and `RUNBOOK_CONFIG` name another one. `runbook init` writes a first",
    "one, `runbook doctor` checks it. An unknown key, a wrong type and a password are refused.",
    "",
    "At the top of the file, before the first section:",
    "",
    "| Key | Type | Default | Meaning |",
    "|---|---|---|---|",
    '| `outputs` | text | `"outputs"` | folder of the archive, relative to the file |',
    "",
)

KEYS: dict[str, dict[str, str]] = {
    "ProjectSettings": {
        "root": "folder from which alembic is run: relative to `runbook.toml`, or as the container "
        "or the other machine sees it",
        "ini": "Alembic's ini file, relative to `root`",
        "section": "the section of it that Alembic reads (`alembic --name`)",
        "python": "interpreter that has the project's packages; empty: the one that runs the "
        "runbook, or `python` behind `exec`",
        "exec": "what stands before the interpreter to reach it, such as "
        '`["docker", "exec", "-i", "wallet"]`',
        "env": "what `env.py` reads to find its database, with placeholders",
        "x": "arguments for `context.get_x_argument()` (`alembic -x`)",
        "baseline": "what is there before the first revision: a `.sql` dump beside `runbook.toml`, "
        "or `callable:module:function` of the project",
    },
    "Environment": {
        "url_env": "environment variable that holds the database's URL",
        "url_file": "file that holds it, relative to `runbook.toml`",
        "url": "the URL itself; refused with a password in it",
        "protected": '`approval = "auto"` is refused here',
        "approval": '`"person"`: nothing is written before a person has approved the digest of the '
        "plan; "
        '`"auto"`: nobody is asked, and the record says so',
        "after": "environment whose sealed evidence of a good run for the same tree has to be "
        "there first",
        "history": "how heads are joined: by a merge revision, or by re-chaining into one line",
        "write_files": "repairs of revision files go into `root` at the deployment; else only into "
        "`repair.patch`",
        "branch": "Alembic target that this database follows, such as `main@head`",
        "version_table": "name of the version table; empty: as `env.py` says",
        "version_table_schema": "its schema; empty: as `env.py` says, else the search path",
        "scratch": 'where disposable databases live: `"embedded"`, `"local"`, `"target"` or '
        '`"env:VARIABLE"`',
        "ignore": "patterns of object keys that do not count, such as `table:audit.*`",
        "drift": "a decision for each drifted object, by its key",
        "ran": "revisions without a trace in the schema of which a person knows that they ran",
        "not_ran": "those of which a person knows that they did not",
        "may_lose": "tables and columns, as the findings name them, whose data revisions may drop",
        "lock_timeout": "how long a repair waits for a lock, as a PostgreSQL interval",
        "statement_timeout": "how long one statement of a repair may take",
        "watch_seconds": "how long the database is watched after a deployment, in seconds",
        "checks": "further `[[checks]]`, for this environment alone",
    },
    "Check": {
        "name": "what it is called in the evidence",
        "command": "program and arguments; good when it exits 0",
        "sql": "query; good when it gives one true value",
        "callable": "`module:function` of the project; good when it returns a true value; it gets "
        "the URL if it takes an argument",
        "timeout": "seconds after which it counts as failed",
        "on_target": "false: run it on the clone only, for checks that write",
    },
    "Alerts": {
        "webhook_env": "environment variable that holds the URL to which findings are posted",
        "command": "program that gets the findings as JSON on its standard input",
    },
}

VARIABLES = {
    "RUNBOOK_CONFIG": "the `runbook.toml` to use",
    "RUNBOOK_STATE": "folder for caches and the embedded server, in place of `.runbook` beside "
    "`runbook.toml`",
    "RUNBOOK_USER": "who approves when `--by` is not given; default: the system user",
    "RUNBOOK_SIGNING_KEY": "file of an Ed25519 private key (PEM) that signs every `run.json`",
    "RUNBOOK_PUBLIC_KEY": "file of the public key; `runbook verify` then asks every run for its "
    "signature",
}

FINDINGS = (
    "What can be wrong, by stable codes. An *error* makes `runbook audit` exit 1. The severity",
    "shown is the usual one.",
    "",
)

VERDICTS = (
    "What the words in tables, artifacts and pages mean. How a verdict is proven:",
    "[How the proof works](../how-the-proof-works.md).",
    "",
)
VERDICT = {
    "applied": "recorded, and its surviving effects are there",
    "unrecorded": "its effects are there, and the version table does not say so",
    "phantom": "recorded, and none of its effects is there",
    "pending": "neither recorded nor run",
    "partial": "some of its effects are there, others are not",
    "unknowable": "the catalog cannot tell; the reason says why, `implied` what is likely "
    "by its neighbours, its own traces or a trial",
}
EXECUTED = {
    "yes": "every surviving effect is there",
    "no": "none is there",
    "partly": "some are there",
    "unknowable": "it leaves no trace: a merge point, rows only, wholly overwritten; or several "
    "histories explain the schema, or none does; or it does not replay",
}
RUN: dict[str, str] = {**MEANINGS}
PHASE = {
    "passed": "the phase did what it promises",
    "failed": "it did not; its sentence says why",
    "approval-needed": "it waits for a person",
    "refused": "going on could have harmed the target",
    "interrupted": "it was ended from outside",
}
STRATEGY = {
    "nothing-to-do": "record, tree and schema agree",
    "repair-tree": "only files change",
    "upgrade": "the rows are right; upgrade to the heads",
    "correct-version-rows": "write the rows that the schema proves; nothing has to run",
    "stamp-back-and-upgrade": "write the rows that the schema proves, then upgrade the rest",
    "run-missing-revisions": "run exactly what is missing, then record the heads",
    "corrective-revision": "a new, guarded revision makes exactly the missing objects",
}

EXIT_CODES = (
    "Every command ends with one of these. A run that a signal ended exits with 128 and the",
    "signal's number: 130 after Ctrl-C, 143 after SIGTERM.",
    "",
)
EXIT_CODE = {
    0: "good",
    1: "findings, a failed gate or a failed phase",
    2: "wrong usage or configuration",
    3: "somebody has to approve the plan",
    4: "a database, a container or an interpreter cannot be reached",
    5: "refused: going on could harm the target or falsify the record",
}

ARTIFACTS = (
    "Every phase writes one JSON file into the run's folder,",
    "`outputs/<environment>/<UTC time>-<run>/`. Its digest is the SHA-256 of its canonical JSON:",
    "keys sorted, no blanks, UTF-8. The schemas are JSON Schema 2020-12, made from the same",
    "classes as the files; they describe exactly what this version writes.",
    "",
)
RUN_JSON = (
    "`run.json` is an in-toto Statement: `subject` names every file of the run with its SHA-256,",
    "`predicate` is a [RunRecord](#runrecord). Its schema: [run](schemas/run.json). With a signing",
    "key `run.json.dsse` lies beside it, a DSSE envelope over its bytes.",
    "",
)
