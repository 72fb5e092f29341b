"""Codes: stable names for what can be wrong, each with cause, proof and fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
Area = Literal["tree", "version table", "schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a finding code means, for the reference and for the suggestion's default."""

    code: str
    area: Area
    severity: Severity
    cause: str
    proof: str
    fix: str


def _code(
    code: str, area: Area, severity: Severity, cause: str, proof: str, fix: str
) -> tuple[str, Code]:
    return code, Code(code=code, area=area, severity=severity, cause=cause, proof=proof, fix=fix)


CODES: dict[str, Code] = dict(
    (
        _code(
            "multiple-heads",
            "tree",
            "error",
            "Two or more revisions have no child, so `alembic upgrade head` refuses to choose.",
            "The revision graph, parsed from the files.",
            "Join the heads with a merge revision, or re-parent the one that no environment has.",
        ),
        _code(
            "branch-point",
            "tree",
            "info",
            "Several revisions name the same revision as their down_revision.",
            "The revision graph, parsed from the files.",
            "Nothing, once every branch is merged; otherwise see multiple-heads.",
        ),
        _code(
            "dangling-parent",
            "tree",
            "error",
            "A down_revision or depends_on names a revision that no file has.",
            "The revision graph, parsed from the files.",
            "Restore the missing file, or accept the tombstone that the schema proves.",
        ),
        _code(
            "duplicate-revision",
            "tree",
            "error",
            "Two files declare the same revision id.",
            "The revision graph, parsed from the files.",
            "Give one of them a new id; the audit says which of the two ran.",
        ),
        _code(
            "cycle",
            "tree",
            "error",
            "Following down_revision or depends_on from a revision leads back to it.",
            "A strongly connected component of the revision graph.",
            "Cut the wrong edge; the plan proposes it and the replay proves it.",
        ),
        _code(
            "self-reference",
            "tree",
            "error",
            "A revision names itself as its down_revision or in its depends_on.",
            "The revision graph, parsed from the files.",
            "Remove the reference; the plan proposes the parent.",
        ),
        _code(
            "unloadable-file",
            "tree",
            "error",
            "A revision file has a syntax error, an import that fails, or no readable revision id.",
            "The parser's or the interpreter's message, with file and line.",
            "Mend the file; the rest of the tree is still analysed.",
        ),
        _code(
            "long-revision-id",
            "tree",
            "error",
            "The id is longer than the version column, VARCHAR(32) by default, can hold.",
            "The id's length against the column's length.",
            "Give the revision a shorter id together with its children, or widen the column.",
        ),
        _code(
            "case-or-space-in-id",
            "tree",
            "warning",
            "The id has upper-case letters, blanks or what Alembic reads as operators.",
            "The revision graph, parsed from the files.",
            "Use lower-case letters, digits and underscores.",
        ),
        _code(
            "edited-after-apply",
            "tree",
            "warning",
            "The file's present effect differs from what the database has of it.",
            "The object's value is on no chain, or an earlier archive holds the file's older text.",
            "Keep the file as it ran; put the difference into a new revision.",
        ),
        _code(
            "spliced-ancestor",
            "tree",
            "error",
            "A revision was added below one that already ran, so Alembic never runs it.",
            "It is recorded through its descendants, but none of its effects is there.",
            "Run exactly its effects, or move it to the head.",
        ),
        _code(
            "not-replayable",
            "tree",
            "error",
            "The revision fails when it is run on an empty database in order.",
            "The replay's own error.",
            "Give a baseline if the tree expects an older schema; otherwise mend the revision.",
        ),
        _code(
            "inferred-baseline",
            "tree",
            "warning",
            "The tree does not start from empty and no baseline is given, so that it was read off "
            "the live database; or nothing tells over such a baseline whether a revision ran.",
            "The replay from empty fails for want of objects that no revision makes, and succeeds "
            "over objects of the live catalog. These are not proven.",
            'Give the baseline: [project] baseline = "past.sql" (pg_dump --schema-only of a '
            'database as it was before the first revision) or "callable:module:function" (what '
            "made it then, such as metadata.create_all of that time).",
        ),
        _code(
            "commits-inside",
            "tree",
            "warning",
            "The revision sends COMMIT or calls commit(), which ends Alembic's own transaction.",
            "The replay saw the transaction end inside the revision.",
            "Use `with op.get_context().autocommit_block():` in a revision of its own.",
        ),
        _code(
            "lost-work",
            "tree",
            "error",
            "Alembic reported success, but the database holds nothing of it.",
            "The version rows and the catalog, read again on a new connection.",
            "Mend env.py: `with context.begin_transaction():` around run_migrations(), and no "
            "query before that; then run again.",
        ),
        _code(
            "undeclared-dependency",
            "tree",
            "warning",
            "The revision uses an object of another branch without naming it in depends_on.",
            "The replay fails in one order and succeeds in another.",
            "Declare depends_on, or merge the branches first.",
        ),
        _code(
            "exclusive-bases",
            "tree",
            "error",
            "Two histories in the tree create the same objects; only one can have run.",
            "Their replays collide on an object.",
            'Name the branch that this environment follows (`branch = "…@head"`).',
        ),
        _code(
            "broken-downgrade",
            "tree",
            "warning",
            "The revision's downgrade is missing, fails, or leaves objects behind.",
            "The rehearsal of the downgrade.",
            "Write the downgrade, or rely on the restore that the runbook rehearses as well.",
        ),
        _code(
            "missing-purpose",
            "tree",
            "warning",
            "The revision file has no docstring that says what it is for.",
            "The revision file.",
            "Write one sentence at the top of the file.",
        ),
        _code(
            "unlocated-row",
            "version table",
            "error",
            "A version row names a revision that no file has.",
            "The version rows against the revision graph.",
            "Restore the file, or stamp the revision that the schema proves.",
        ),
        _code(
            "redundant-row",
            "version table",
            "error",
            "A version row is an ancestor of another one.",
            "The version rows against the revision graph.",
            "Delete the ancestor's row.",
        ),
        _code(
            "duplicate-row",
            "version table",
            "error",
            "The same revision is recorded twice; the table has lost its primary key.",
            "The version rows.",
            "Keep one row and restore the primary key.",
        ),
        _code(
            "null-row",
            "version table",
            "error",
            "A version row is NULL.",
            "The version rows.",
            "Delete the row and restore NOT NULL.",
        ),
        _code(
            "inexact-id",
            "version table",
            "error",
            "A version row differs from a revision id only by case, blanks or truncation.",
            "The version rows against the revision graph.",
            "Write the exact id.",
        ),
        _code(
            "version-table-empty",
            "version table",
            "error",
            "The version table has no row, over a schema that has tables.",
            "The version rows and the catalog.",
            "Stamp what the schema proves.",
        ),
        _code(
            "version-table-missing",
            "version table",
            "error",
            "There is no version table, over a schema that has tables.",
            "The catalog.",
            "Stamp what the schema proves.",
        ),
        _code(
            "second-version-table",
            "version table",
            "error",
            "Another version table stands in another schema.",
            "The catalog.",
            "Pin version_table_schema and retire the copy.",
        ),
        _code(
            "no-privilege",
            "version table",
            "error",
            "The role may not read or write the version table.",
            "has_table_privilege().",
            "Grant the privilege; never recreate the table.",
        ),
        _code(
            "code-behind-database",
            "version table",
            "error",
            "The database stands ahead of the code: it records revisions the tree has not.",
            "Unlocated rows, and objects in the schema that no revision of the tree makes.",
            "Deploy the newer code, or restore the missing files.",
        ),
        _code(
            "phantom",
            "schema",
            "error",
            "The revision is recorded as applied, but none of its effects is in the database.",
            "Every object the revision makes in the replay, against the live catalog.",
            "Run it: stamp back and upgrade, or run just its missing effects.",
        ),
        _code(
            "unrecorded",
            "schema",
            "error",
            "The revision's effects are in the database, but it is not recorded.",
            "Every object the revision makes in the replay, against the live catalog.",
            "Stamp it.",
        ),
        _code(
            "partial",
            "schema",
            "error",
            "Some of the revision's effects are in the database, others are not.",
            "Every object the revision makes in the replay, against the live catalog.",
            "Make the missing objects by a corrective revision.",
        ),
        _code(
            "hole",
            "schema",
            "error",
            "A revision did not run although a later one did.",
            "The verdicts of the revision and of its descendants.",
            "Run exactly the missing effects.",
        ),
        _code(
            "drift-missing",
            "schema",
            "error",
            "An object that a revision made is gone, though the revision ran.",
            "The live catalog against the replayed one.",
            "Make it again by a corrective revision.",
        ),
        _code(
            "drift-extra",
            "schema",
            "warning",
            "An object is in the database that no revision makes.",
            "The live catalog against the replayed one.",
            "Say per object, under [environments.NAME.drift]: adopt, revert or ignore.",
        ),
        _code(
            "drift-changed",
            "schema",
            "error",
            "An object has a value that no revision gives it.",
            "The live catalog against the replayed one.",
            "Say per object, under [environments.NAME.drift]: adopt, revert or ignore.",
        ),
        _code(
            "unexplained-difference",
            "schema",
            "error",
            "The database differs from what the heads promise, and no revision is proven to be "
            "behind it.",
            "Every object of the live catalog beside the replayed one.",
            "Let the run repair it, proven on a copy. Where it refuses, find out who is behind it.",
        ),
        _code(
            "drift-unjudged",
            "schema",
            "warning",
            "What differs may be the doing of revisions that could not be replayed.",
            "The live catalog against what could be replayed.",
            "Restore the missing file, or mend the revision that fails; then audit again.",
        ),
        _code(
            "invalid-index",
            "schema",
            "error",
            "A CREATE INDEX CONCURRENTLY failed and left an index that is never used.",
            "pg_index.indisvalid.",
            "Drop and rebuild it concurrently.",
        ),
        _code(
            "not-valid-constraint",
            "schema",
            "warning",
            "A constraint was added NOT VALID and never validated.",
            "pg_constraint.convalidated.",
            "VALIDATE CONSTRAINT, once no row violates it.",
        ),
        _code(
            "leftover-type",
            "schema",
            "warning",
            "A type or table of a revision that is not applied is still there.",
            "The live catalog against the replay.",
            "Drop it once it is empty, unused and approved.",
        ),
        _code(
            "unknowable-data",
            "schema",
            "error",
            "A revision changes rows, and neither schema nor neighbours tell whether it ran; for "
            "information, where its record does and is right about its neighbours.",
            "Its neighbours contradict each other or the version rows, or it may have stopped.",
            'Find out from the rows, then say ran = ["…"] or not_ran = ["…"] in the environment.',
        ),
        _code(
            "would-lose-data",
            "schema",
            "error",
            "Every way to the heads drops rows: a pending revision removes a table or a column.",
            "The rows of every table, counted before and after on a copy.",
            "Save what is needed, run that revision by hand, then audit again.",
        ),
        _code(
            "no-proven-repair",
            "schema",
            "error",
            "Every strategy was tried on a copy of the clone, and none ended right.",
            "The rehearsal's attempts, each with its reason.",
            "Read the attempts; mend the cause by hand, then audit again.",
        ),
        _code(
            "data-violates-constraint",
            "schema",
            "error",
            "Rows in the database violate a constraint that a missing revision would add.",
            "The offending rows, counted, with sampled keys.",
            "Mend the rows. The runbook never deletes them.",
        ),
    )
)
