"""Go through a run as the notebooks do, cell by cell, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runbook_lib import phases
from runbook_lib.config import load_environment
from runbook_lib.evidence import RunFolder
from runbook_lib.promotion import Deployment
from runbook_lib.session import Phase


@dataclass(kw_only=True)
class Journey:
    """One run of one environment; ``config`` is its runbook.toml."""

    config: Path
    environment: str
    run: str = "new"

    def __post_init__(self) -> None:
        loaded = load_environment(self.environment, str(self.config))
        self.run = RunFolder.open(loaded, self.run).name

    def phase(self, name: str) -> Phase:
        """Open a phase afresh, as every notebook's kernel does."""
        loaded = load_environment(self.environment, str(self.config))
        return Phase(name=name, environment=loaded, folder=RunFolder.open(loaded, self.run))

    @property
    def folder(self) -> RunFolder:
        return self.phase("00_current_state").folder

    def rehearse(self) -> str:
        """Run 00 to 04; return the digest of the plan that is proven."""
        first = self.phase("00_current_state")
        phases.finish(first, phases.current_state(first))
        backup = self.phase("01_backup")
        phases.finish(backup, phases.back_up(backup))
        audit = self.phase("02_audit")
        phases.finish(audit, phases.audit(audit))
        cleanup = self.phase("03_cleanup")
        plan, rehearsal = phases.rehearse(cleanup, phases.candidates(cleanup))
        phases.finish(cleanup, phases.cleanup(plan, rehearsal))
        validation = self.phase("04_validation")
        phases.finish(validation, phases.validate(validation))
        return plan.digest if plan else ""

    def deploy(self, approve: str = "", by: str = "") -> Deployment:
        """Run 05. Raises what its gate raises."""
        phase = self.phase("05_deployment")
        checklist = phases.checklist(phase)
        approval = phases.require_approval(phase, checklist, approve=approve, by=by)
        done = phases.read_back(phase, phases.deploy(phase, approval))
        phases.finish(phase, done)
        return done

    def go_back(self, way: str) -> None:
        """Run 90 for real, by the digest that its dry run shows."""
        phase = self.phase("90_rollback")
        proposed = phases.propose_rollback(phase, way=way)
        approval = phases.require_rollback_approval(
            phase, proposed, approve=proposed.digest, by="a tester"
        )
        done = phases.read_back_rollback(phase, phases.roll_back(phase, proposed, approval))
        phases.finish(phase, done)
