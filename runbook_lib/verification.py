"""Verification: re-compute an archive's digests and its chain, from the archive alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runbook_lib.artifacts import Artifact, file_digest
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.evidence import SEAL, SIGNATURE, RunFolder, holder
from runbook_lib.seal import (
    HEAD,
    PUBLIC_VARIABLE,
    Link,
    Sealed,
    check_signature,
    list_files,
    load_public,
    read_head,
    read_sealed,
    sealed_runs,
)
from runbook_lib.testimony import contradiction


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult(Artifact):
    """``name`` is ``environment/run``; the sentence says what is good, or first what is not."""

    name: str
    ok: bool
    sentence: str


def verify(
    outputs: Path,
    environment: str | None = None,
    run: str | None = None,
    key: str = "",
    expect: Sequence[str] = (),
) -> tuple[VerifyResult, ...]:
    """Check every run (or one environment's, or one run): its files, its seal, its place in the
    chain, its signature, and whether its files tell one story.

    ``key`` (or $RUNBOOK_PUBLIC_KEY) names a public key; every run then has to be signed by it.
    ``expect`` are SHA-256 of ``run.json`` files that were kept elsewhere: each has to be that of a
    good run. Raises ConfigurationError when there is nothing of that name, the key cannot be read
    or a digest is none.
    """
    public = _public_key(key)
    results = [item for home in _homes(outputs, environment) for item in _verify_home(home, public)]
    pinned = [_expected(outputs, environment, digest, results) for digest in expect]
    if run is not None:
        results = [item for item in results if item.name.endswith(f"/{run}")]
    if not results and not pinned:
        wanted = run or environment or ""
        raise ConfigurationError(
            f"The archive {outputs.name}/ holds no run{f' {wanted!r}' if wanted else ''}.",
            "Run: runbook run",
        )
    return (*results, *pinned)


def _expected(
    outputs: Path, environment: str | None, digest: str, results: Sequence[VerifyResult]
) -> VerifyResult:
    """Look for the run whose ``run.json`` has a digest that was kept outside of the archive."""
    if not re.fullmatch("[0-9a-f]{12,64}", digest.lower()):
        raise ConfigurationError(
            f"{digest!r} is no digest to expect.",
            "Give the SHA-256 of its run.json that a run prints at its end, 12 digits at least.",
        )
    good = {item.name for item in results if item.ok}
    for home in _homes(outputs, environment):
        runs = sealed_runs(home)
        for number, run in enumerate(runs):
            name = f"{home.name}/{run.folder.name}"
            if run.sha256.startswith(digest.lower()) and name in good:
                later = len(runs) - 1 - number
                words = f"the expected run {name} is there, {later} later."
                return VerifyResult(name=digest, ok=True, sentence=f"{digest[:12]}: {words}")
    words = "no good run has this digest: the chain was rewritten, or its newest runs are gone."
    return VerifyResult(name=digest, ok=False, sentence=f"{digest[:12]}: {words}")


def advice(
    results: Sequence[VerifyResult], outputs: Path, environment: str | None = None
) -> tuple[str, ...]:
    """Say what to do about runs that are not good: those that were only not sealed yet are told
    apart from what somebody may have done.
    """
    homes = _homes(outputs, environment)
    left = [run for home in homes for run in RunFolder.all(home) if not run.sealed]
    names = {f"{run.environment}/{run.name}": run for run in left}
    told = [_way_on(names[item.name]) for item in results if not item.ok and item.name in names]
    if all(item.ok or item.name in names for item in results):
        return tuple(told)
    return (
        "What is marked ✗ proves nothing as it stands. Compare it with a copy that was kept "
        "elsewhere (CI keeps artifacts), and find out who could write here.",
        *told,
    )


def _stage(run: RunFolder) -> str:
    """Say what an unsealed run waits for: its own end, an approval, or ""."""
    if since := _at_work(run):
        return f"it is still at work, since {since}: "
    return "it waits for approval: " if run.waits else ""


def _at_work(run: RunFolder) -> str:
    """Say since when, and in which process, a run is at work: it is the newest that is open."""
    home = run.path.parent
    found = holder(home)
    (*_, newest) = (folder for folder in RunFolder.all(home) if not folder.sealed)
    return f"{found.since} (process {found.pid})" if found and run == newest else ""


def _way_on(run: RunFolder) -> str:
    name = run.environment
    if _at_work(run):
        return f"{run.name} seals itself at its end: wait for that, then verify again."
    if run.waits:
        return (
            f"{run.name} goes on with --approve DIGEST, or is left behind by: runbook run -e {name}"
        )
    return (
        f"{run.name} is closed by: runbook seal -e {name}, or left behind by: runbook run -e {name}"
    )


def caveat(outputs: Path, environment: str | None = None, key: str = "") -> str:
    """Say what no archive can tell of itself, and which digests to keep elsewhere for that."""
    heads = {home.name: _head(home) for home in _homes(outputs, environment)}
    pins = [f"{name} {head.sha256}" for name, head in sorted(heads.items()) if head]
    rewriting = "" if _public_key(key) else ", or that all of it was rewritten (sign it)"
    return (
        f"No archive can show by itself that its newest runs were dropped{rewriting}. Keep its "
        "last digests elsewhere, and give them to --expect: " + ", ".join(pins)
    )


def _public_key(named: str = "") -> Ed25519PublicKey | None:
    path = named or os.environ.get(PUBLIC_VARIABLE, "")
    return load_public(Path(path)) if path else None


def fault_of(folder: RunFolder) -> str:
    """Return what is wrong within one sealed run, "" when it is as sealed (and rightly signed)."""
    try:
        run = read_sealed(folder)
    except ConfigurationError as error:
        return error.message.rstrip(".")
    return _name_fault(run) or _run_fault(run, _public_key())


def _homes(outputs: Path, environment: str | None) -> tuple[Path, ...]:
    if environment is not None:
        return (outputs / environment,)
    if not outputs.is_dir():
        return ()
    return tuple(sorted(item for item in outputs.iterdir() if item.is_dir()))


def _verify_home(home: Path, key: Ed25519PublicKey | None) -> Iterator[VerifyResult]:
    folders = {folder.name: folder for folder in RunFolder.all(home)}
    sealed = _readable(folders)
    chain = _chain_faults(home, folders, sealed)
    for name in sorted({*folders, *chain}):
        if name not in folders:
            fault = chain[name]
        elif not folders[name].sealed:
            fault = (
                chain.get(name)
                or f"{_stage(folders[name])}it is not sealed, so it proves nothing yet"
            )
        elif name not in sealed:
            fault = f"{SEAL} was changed: it cannot be read as a seal"
        else:
            fault = (
                _name_fault(sealed[name]) or chain.get(name, "") or _run_fault(sealed[name], key)
            )
        good = _praise(sealed[name], key) if not fault else ""
        label = _plain(f"{home.name}/{name}")
        yield VerifyResult(name=label, ok=not fault, sentence=f"{label}: {_plain(fault or good)}.")


def _plain(text: str) -> str:
    """Return a name or a sentence as one line that does nothing to a terminal."""
    kept = text.encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in kept)


def _readable(folders: dict[str, RunFolder]) -> dict[str, Sealed]:
    found = {}
    for name, folder in folders.items():
        try:
            found[name] = read_sealed(folder)
        except ConfigurationError:
            continue
    return found


def _praise(run: Sealed, key: Ed25519PublicKey | None) -> str:
    signed = (run.folder.path / SIGNATURE).exists()
    signature = ", the signature is good" if key else ", signed (no key given to check it)"
    by_hand = ", stepped through by hand" if run.record.by_hand else ""
    files = "its only file is" if len(run.files) == 1 else f"all {len(run.files)} files are"
    return f"{files} as sealed, verdict {run.record.verdict}{by_hand}{signature if signed else ''}"


def _name_fault(run: Sealed) -> str:
    if run.record.run != run.folder.name or run.record.environment != run.folder.environment:
        return (
            f"the folder was swapped or renamed: its seal is that of "
            f"{run.record.environment}/{run.record.run}"
        )
    return ""


def _run_fault(run: Sealed, key: Ed25519PublicKey | None) -> str:
    """Return the first thing that is wrong within the run's own folder, or ""."""
    try:
        return _file_fault(run) or _signature_fault(run, key) or contradiction(run)
    except OSError as error:
        file = Path(str(error.filename or SEAL)).name
        return f"{file} cannot be read: {error.strerror}"


def _file_fault(run: Sealed) -> str:
    try:
        present = set(list_files(run.folder))
    except SafetyError as error:
        return error.message.rstrip(".")
    missing = sorted(set(run.files) - present)
    if missing:
        return f"{_named(missing, 'is', 'are')} missing"
    extra = sorted(present - set(run.files))
    if extra:
        return f"{_named(extra, 'is', 'are')} not in the seal: added after it"
    changed = [n for n, sha in sorted(run.files.items()) if file_digest(run.folder.path / n) != sha]
    return f"{_named(changed, 'was', 'were')} changed after the seal" if changed else ""


def _named(files: list[str], one: str, several: str) -> str:
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return f"{shown} {one if len(files) == 1 else several}"


def _signature_fault(run: Sealed, key: Ed25519PublicKey | None) -> str:
    path = run.folder.path / SIGNATURE
    if not path.exists():
        return "it is not signed, though a key was given" if key else ""
    return check_signature(path.read_bytes(), (run.folder.path / SEAL).read_bytes(), key)


def _chain_faults(
    home: Path, folders: dict[str, RunFolder], sealed: dict[str, Sealed]
) -> dict[str, str]:
    """Say, by run, where what later runs (and the head pointer) remember is not what is there."""
    faults: dict[str, str] = {}
    for link, witness in _memories(home, sealed):
        if link.run not in folders:
            faults[link.run] = f"the run is gone, though {witness} names it: the chain is broken"
        elif not folders[link.run].sealed:
            faults[link.run] = f"its {SEAL} is gone, though {witness} names it"
        elif link.run not in sealed or sealed[link.run].sha256 != link.sha256:
            faults[link.run] = f"{SEAL} was changed after {witness} recorded its digest"
    return {**_order_faults(home, sealed), **faults}


def _memories(home: Path, sealed: dict[str, Sealed]) -> Iterator[tuple[Link, str]]:
    for name, run in sealed.items():
        if run.record.previous is not None:
            yield run.record.previous, name
    head = _head(home)
    if head is not None:
        yield head, HEAD


def _head(home: Path) -> Link | None:
    try:
        return read_head(home)
    except ConfigurationError:
        return None


def _order_faults(home: Path, sealed: dict[str, Sealed]) -> dict[str, str]:
    """Say which sealed runs the chain that ends at the head does not reach, and why."""
    if _head(home) is None and len(sealed) > 1:
        return {max(sealed): f"{HEAD} is gone or was changed, so nothing tells the last run"}
    reached, whole = _walk_back(_newest(home, sealed), sealed)
    heirs = {_before(sealed[name]): name for name in reached}
    faults: dict[str, str] = {}
    for name in sorted(set(sealed) - reached):
        before = _before(sealed[name])
        if before in heirs:
            faults[name] = (
                f"it is not on the chain: {heirs[before]} also names {before or 'no run'} as the "
                "one before it"
            )
        elif whole:
            faults[name] = f"it is not on the chain that ends at {HEAD}"
    return faults


def _before(run: Sealed) -> str:
    return run.record.previous.run if run.record.previous else ""


def _newest(home: Path, sealed: dict[str, Sealed]) -> str:
    """The head pointer may lag by one run: a crash between the seal and the pointer."""
    head = _head(home)
    name = head.run if head else ""
    return next((other for other, run in sorted(sealed.items()) if _before(run) == name), name)


def _walk_back(name: str, sealed: dict[str, Sealed]) -> tuple[set[str], bool]:
    """Return the runs on the chain that ends at ``name``, and whether it has its beginning."""
    reached: set[str] = set()
    while name in sealed and name not in reached:
        reached.add(name)
        name = _before(sealed[name])
    return reached, not name
