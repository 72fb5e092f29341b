"""Record: the change record of one run — what was wrong, what was done, and where the proof is."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypeVar

from runbook_lib import balance, chart, passages, retreat
from runbook_lib.backup import Backup
from runbook_lib.counting import count, differing
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.extent import Extent
from runbook_lib.forensics import Audit
from runbook_lib.going_back import GONE, Rollback
from runbook_lib.pages import frame, missing, moment, table, took, word
from runbook_lib.plan import Plan, Rehearsal, StepResult
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.scrub import Scrub
from runbook_lib.seal import MEANINGS
from runbook_lib.survival import kept
from runbook_lib.validation import Validation

FILE = "record.html"
T = TypeVar("T")


def write(
    folder: RunFolder,
    phases: Sequence[PhaseResult],
    verdict: str,
    scrub: Scrub,
    by_hand: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write ``record.html`` from the run's artifacts; what is not there is said to be missing."""
    page = _Page.of(folder, phases, verdict).render(by_hand, notes)
    return folder.write_text(FILE, scrub.clean(page, markup=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the page is made from: None is what the run did not come to, or cannot be read."""

    folder: RunFolder
    phases: Sequence[PhaseResult]
    verdict: str
    audit: Audit | None
    backup: Backup | None
    plan: Plan | None
    rehearsal: Rehearsal | None
    validation: Validation | None
    approval: Approval | None
    deployment: Deployment | None
    rollback: Rollback | None
    gone: Rollback | None  # what was done to go back, before it was read back
    consent: Approval | None  # to the way back

    @classmethod
    def of(cls, folder: RunFolder, phases: Sequence[PhaseResult], verdict: str) -> _Page:
        done = _read(folder, "90_rollback", Rollback)
        return cls(
            folder=folder,
            phases=phases,
            verdict=verdict,
            audit=_read(folder, "02_audit", Audit) or _read(folder, "00_current_state", Audit),
            backup=_read(folder, "01_backup", Backup),
            plan=_read(folder, "plan", Plan),
            rehearsal=_rehearsal(folder),
            validation=_read(folder, "04_validation", Validation),
            approval=_read(folder, "approval", Approval),
            deployment=_read(folder, "05_deployment", Deployment),
            rollback=done,
            gone=_read(folder, GONE, Rollback),
            consent=(done and done.approval) or _read(folder, "90_approval", Approval),
        )

    def render(self, by_hand: Sequence[str], notes: Sequence[str]) -> str:
        """Return the page: a summary, then nine questions in an auditor's order."""
        sections = (
            ("What was wrong, and how do we know?", self._wrong()),
            ("What was planned?", self._planned()),
            ("What did the rehearsal show?", self._rehearsed()),
            ("Who approved it, and when?", self._approved()),
            ("What was done?", self._done()),
            ("How was it before, and how is it now?", self._balance()),
            ("Was every row kept?", self._rows()),
            ("How to go back?", self._back()),
            ("Where is the proof?", self._proof()),
        )
        contents = "".join(
            f'<li><a href="#q{number}">{title}</a></li>'
            for number, (title, _) in enumerate(sections, 1)
        )
        name = f"{self.folder.environment}: run {self.folder.name}"
        parts = [
            '<nav aria-label="Archive"><a href="../../index.html">All runs</a></nav>',
            f"<h1>Change record — {escape(name)}</h1>",
            self._summary(by_hand, notes),
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>',
        ]
        parts += [
            f'<h2 id="q{number}">{number}. {title}</h2>\n{body}'
            for number, (title, body) in enumerate(sections, 1)
        ]
        return frame(f"{self.folder.environment} {self.folder.name}", "\n".join(parts))

    # --- the summary ------------------------------------------------------------------------

    def _summary(self, by_hand: Sequence[str], notes: Sequence[str]) -> str:
        means = MEANINGS.get(self.verdict, "the plan waits for approval")  # type: ignore[call-overload]
        facts = [("Verdict", f"{word(self.verdict)}: {means}.")]
        last = self.phases[-1] if self.phases else None
        if last and last.status not in ("passed", "approval-needed"):
            facts.append(("Because", f"{escape(last.phase)}: {escape(last.sentence)}"))
        if self.audit:
            facts += [
                ("Database", passages.target(self.audit.target)),
                ("Found", passages.found(self.audit)),
            ]
        elif self.back:
            facts += retreat.database(self.back)
        if self.plan:
            steps = f"{self.plan.strategy}, {count(len(self.plan.steps), 'step')}"
            facts.append(("Plan", f"{escape(steps)}, digest <code>{self.plan.digest}</code>"))
        for given in (self.approval, self.consent):
            if given and not (given is self.approval and self.plan and not self.plan.steps):
                facts.append(("Approved", f"by {escape(given.by)}, {moment(given.at)}"))
        if self.extent.left:
            facts.append(("Written", f"<b>{self.extent.left}</b>"))
        if self.deployment:
            differ = f"{differing(self.deployment.differences)} from what the heads promise"
            wrote = self.deployment.steps or self.extent.left
            times = self._times("applying", "applied") if wrote else "nothing"
            facts.append(("Written", f"{times}; {differ} afterwards"))
            facts.append(("Rows", f"{kept(self.deployment.tables)}."))
        facts += self._ways()
        if self.back:
            when = self._times("rolling back", "rolled back") if self.back.approval else ""
            facts += retreat.facts(self.back, when)
        run = "started" in self.folder.happened
        facts.append(("Carried out", passages.hands(by_hand, run, back=self.extent.is_retreat)))
        facts += [("Note", escape(note)) for note in notes]
        return table(("", ""), facts, cards=False)

    def _ways(self) -> list[tuple[str, str]]:
        """The ways back that were proven, and are open from where the run ended."""
        ways = self.validation.ways_back if self.validation else ()
        found = [way.way for way in ways if way.proven and not self.extent.closed(way)]
        return [("Way back", f"rehearsed on a copy: {escape(', '.join(found))}")] if found else []

    def _times(self, first: str, last: str) -> str:
        """When the target was written, from the run's events (UTC)."""
        at = {str(item.get("event")): str(item.get("at", "")) for item in self.folder.events()}
        begun, ended = at.get(first, ""), at.get(last) or at.get("step failed", "")
        if not begun:
            return "at a time that the run's events do not say"
        return (
            f"from {moment(begun)} to {moment(ended) if ended else 'an end that was not recorded'}"
        )

    @property
    def back(self) -> Rollback | None:
        """The way back, as it was read back, or else as it was gone."""
        return self.rollback or self.gone

    @property
    def extent(self) -> Extent:
        """How far the run came on the target."""
        return Extent(
            folder=self.folder,
            plan=self.plan,
            deployment=self.deployment,
            rollback=self.rollback,
            final=self.verdict in MEANINGS,
        )

    # --- the questions ----------------------------------------------------------------------

    def _wrong(self) -> str:
        if self.audit is None and self.extent.is_retreat:
            ended = retreat.UNRECORDED if self.consent else retreat.ENDED
            return retreat.origin(self.back) if self.back else missing(ended)
        if self.audit is None:
            return missing("The run ended before the audit.")
        return (
            passages.how(self.audit)
            + passages.findings(self.audit)
            + passages.revisions(self.audit)
            + self._see(
                ("02_audit.html", "every object as evidence, and the graph"),
                ("02_audit.json", "data"),
            )
        )

    def _planned(self) -> str:
        back, plan = retreat.planned(self.back) if self.back else "", self.plan
        back += self._see(("90_rollback.html", "the way back, and what it loses")) if back else ""
        if plan is None:
            return back or self._shown() or missing(passages.no_plan(self.rehearsal))
        return (
            f"<p>Strategy {escape(plan.strategy)}, digest <code>{plan.digest}</code>."
            + (f" It may lose the data of {escape(', '.join(plan.loses))}." if plan.loses else "")
            + "</p>\n"
            + passages.steps(plan)
            + self._see(
                ("03_cleanup.html", "the plan, and why others were not chosen"),
                ("plan.json", "what the digest is of"),
                ("repair.patch", "the file edits"),
            )
            + back
        )

    def _shown(self) -> str:
        """Where a way back is shown of which nothing was recorded; "" for other runs."""
        told = missing(retreat.SHOWN) if self.extent.is_retreat and self.consent else ""
        return told + self._see(("90_rollback.html", "as far as it came")) if told else ""

    def _rehearsed(self) -> str:
        back = retreat.rehearsed(self.back) if self.back else ""
        rehearsal = self.rehearsal
        if rehearsal is None:
            return back or self._shown() or missing("Nothing was rehearsed.")
        rows = [
            (
                escape(item.strategy),
                word("passed" if item.proven else "failed") + " " + escape(item.reason),
                took(item.seconds),
                passages.results(item.steps),
            )
            for item in rehearsal.attempts
        ]
        names = escape(", ".join(rehearsal.refused))
        refused = (
            f"<p>Refused: {names}. {escape(rehearsal.reason)}</p>" if rehearsal.refused else ""
        )
        told = table(("Strategy", "On the clone", "Took", "Steps"), rows) if rows else ""
        proof = ("04_validation.html", "object by object, checks, rows, ways back")
        if self.validation is None:
            proof = ("03_cleanup.html", "what was tried, and why it was refused")
        return f"{refused}{told}{passages.measured(self.validation)}{self._see(proof)}{back}"

    def _approved(self) -> str:
        told = ""
        if self.approval:
            told += passages.approval(self.approval, "plan", self.plan)
            told += passages.conditions(self.deployment or self._applied)
            told += self._see(("approval.json", "the approval"))
        if self.consent:
            way = self.back.plan if self.back else None
            told += passages.approval(self.consent, "way back", way)
            told += self._see(("90_approval.json", "the approval"))
        return told or missing("Nobody: nothing was approved in this run.")

    def _done(self) -> str:
        told = (
            *([f"<p><b>{self.extent.left}</b></p>{self._cut_off()}"] if self.extent.left else ()),
            *([self._deployed(self.deployment)] if self.deployment else ()),
            *([self._taken_back(self.rollback)] if self.rollback and self.extent.went_back else ()),
        )
        return "".join(told) or missing("Nothing was changed on the target.")

    def _cut_off(self) -> str:
        """The steps that were not read back, as far as they were recorded."""
        if self.gone and self.folder.last_write == "rolled back":
            told, proof = self._steps("rolling back", "rolled back", self.gone.steps), "90_applied"
        else:
            steps = self._applied.steps if self._applied else ()
            told, proof = self._steps("applying", "applied", steps) if steps else "", "05_applied"
        return told + self._see((f"{proof}.json", "the steps"))

    @property
    def _applied(self) -> Deployment | None:
        """What was done to deploy, before it was read back."""
        return _read(self.folder, "05_applied", Deployment)

    def _deployed(self, done: Deployment) -> str:
        told = self._steps("applying", "applied", done.steps)
        return (
            told
            + passages.checked("Application checks afterwards, on the target", done.checks)
            + "".join(f"<p>Watched: {escape(line)}</p>" for line in done.watch)
            + self._see(("05_deployment.html", "checklist, approval, steps, what was read back"))
        )

    def _taken_back(self, done: Rollback) -> str:
        came = "it is back where it was" if done.passed else "it is NOT back where it was"
        return (
            f"<p>The target was taken back by {escape(done.plan.way)}: {came}. Rows: "
            f"{kept(done.tables)}.</p>"
            + self._steps("rolling back", "rolled back", done.steps)
            + self._see(("90_rollback.html", "steps, what was read back"))
        )

    def _steps(self, first: str, last: str, steps: Sequence[StepResult]) -> str:
        """When the target was written, and each step with its time."""
        if not steps:
            return "<p>Nothing to do.</p>"
        return f"<p>Written {self._times(first, last)}.</p>{passages.carried_out(steps)}"

    def _balance(self) -> str:
        back = retreat.schema(self.rollback) if self.rollback else ""
        if self.audit is None and self.deployment is None:
            return back or missing(self.extent.untouched or "Nothing was compared.")
        return balance.schema(self.audit, self.deployment) + back

    def _rows(self) -> str:
        unread = "On the target no table was compared: it was not read back."
        told = missing(unread) if self.extent.left else ""
        told += balance.rows(self.validation, self.deployment)
        if self.rollback and self.rollback.tables:
            where = "After going back, against the backup"
            told += balance.tables(where, self.rollback.tables, versions=False)
        return told or missing(self.extent.untouched or "No table was compared.")

    def _back(self) -> str:
        told = missing(self.extent.untouched) if self.extent.untouched else ""
        if told and self.validation and not self.extent.final:
            told += "<p>Once the plan is applied, these are the ways back:</p>"
        if self.validation:
            told += retreat.ways(self.validation.ways_back, self.extent)
        told += retreat.again(self.back) if self.back else ""
        if self.backup:
            return told + retreat.backup(self.backup)
        none = missing("No backup was taken.")
        return told + none if not self.extent.is_retreat else told or missing(retreat.ASK)

    def _proof(self) -> str:
        drawn = chart.bars([(item.seconds, item.status) for item in self.phases])
        rows = [
            (
                self._link(f"{item.phase}.html", item.phase),
                word(item.status),
                took(item.seconds),
                drawn[number],
                escape(item.sentence),
                " ".join(self._links(f"{item.phase}.ipynb", f"{item.phase}.json")),
            )
            for number, item in enumerate(self.phases)
        ]
        total = sum(item.seconds for item in self.phases)
        others = ("plan.json", "repair.patch", "approval.json", "events.jsonl", "run.json")
        heads = ("Phase", "Status", "Took", "When", "Result", "Files")
        return (
            f"<p>The phases, one after the other: {total:.1f} s in all; time that passed while "
            "nothing ran is left out.</p>\n"
            + table(heads, rows)
            + f"<p>Also: {', '.join(self._links(*others))}. <code>run.json</code> holds the "
            "SHA-256 of every file here and of the run before; <code>runbook verify</code> "
            "re-computes them, offline.</p>"
        )

    # --- links ------------------------------------------------------------------------------

    def _see(self, *files: tuple[str, str]) -> str:
        """Where the proof of a section lies."""
        there = [
            f'<a href="{name}">{name}</a> ({what})'
            for name, what in files
            if (self.folder.path / name).exists()
        ]
        return f'<p class="soft">Proof: {" · ".join(there)}</p>' if there else ""

    def _links(self, *names: str) -> list[str]:
        """Links to files of the run; the seal itself is written after this page."""
        is_there = [
            name for name in names if name == "run.json" or (self.folder.path / name).exists()
        ]
        return [f'<a href="{escape(name)}">{escape(name)}</a>' for name in is_there]

    def _link(self, name: str, text: str) -> str:
        there = (self.folder.path / name).exists()
        return f'<a href="{escape(name)}">{escape(text)}</a>' if there else escape(text)


def _read(folder: RunFolder, name: str, cls: type[T]) -> T | None:
    if folder.has(name):
        with contextlib.suppress(RunbookError):
            return folder.read(name, cls)
    return None


def _rehearsal(folder: RunFolder) -> Rehearsal | None:
    data = _read(folder, "03_cleanup", dict) or {}
    with contextlib.suppress(RunbookError):
        return Rehearsal.from_json(data.get("rehearsal", data))
    return None
