"""Seal: close a run's folder with ``run.json``, an in-toto statement over every file in it."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from runbook_lib.artifacts import Artifact, file_digest, from_json, to_json
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.evidence import (
    SEAL,
    SIGNATURE,
    PhaseResult,
    RunFolder,
    now,
)
from runbook_lib.files import atomic_write, pretty, read_plain
from runbook_lib.forensics import Target
from runbook_lib.promotion import Approval
from runbook_lib.scrub import Scrub, find_leaks, find_paths

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:alembic-runbook:run:v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
HEAD = "HEAD.json"
SIGNING_VARIABLE = "RUNBOOK_SIGNING_KEY"
PUBLIC_VARIABLE = "RUNBOOK_PUBLIC_KEY"
_TOOLS = ("alembic-runbook", "papermill", "nbclient", "alembic", "sqlalchemy", "psycopg2-binary")

Verdict = Literal[
    "repaired", "healthy", "failed", "refused", "interrupted", "rolled-back", "dry-run"
]
MEANINGS: dict[Verdict, str] = {
    "repaired": "the plan was applied, and read back as promised",
    "healthy": "there was nothing to do",
    "failed": "a phase failed, or an audit without a deployment found errors",
    "refused": "going on could have harmed the target",
    "interrupted": "the run was left behind and sealed by the next one",
    "rolled-back": "a rollback was carried out",
    "dry-run": "a rollback was shown, and nothing was done",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Artifact):
    """A sealed run of the chain: its name, and the SHA-256 of its ``run.json``."""

    run: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(Artifact):
    """The statement's predicate: what one run was, for whom, and what came of it.

    Digests are SHA-256, times UTC (ISO 8601). ``previous`` is the environment's run before.
    ``errors`` counts the audit's findings of that severity, None without an audit. ``by_hand`` are
    the phases that a person stepped through, ``notes`` what an auditor should know.
    """

    environment: str
    run: str
    verdict: Verdict
    started: str
    ended: str
    phases: tuple[PhaseResult, ...] = ()
    target: Target | None = None
    tree_before: str = ""
    tree_after: str = ""
    plan_digest: str = ""
    approval: Approval | None = None
    errors: int | None = None
    by_hand: tuple[str, ...] = ()
    previous: Link | None = None
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed run as read from its ``run.json``: files are digests by relative name."""

    folder: RunFolder
    record: RunRecord
    files: Mapping[str, str]
    sha256: str


def seal(
    folder: RunFolder,
    *,
    verdict: Verdict,
    phases: Sequence[PhaseResult],
    scrub: Scrub,
    target: Target | None = None,
    tree_before: str = "",
    tree_after: str = "",
    plan_digest: str = "",
    approval: Approval | None = None,
    errors: int | None = None,
    by_hand: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Sealed:
    """Write ``run.json``, the last file, and move the environment's head pointer to it.

    Raises SafetyError, and seals nothing, when a file holds a secret or the run is sealed.
    """
    folder.require_open()
    _require_no_secret(folder, scrub)
    folder.append_event("sealed", verdict=verdict)
    record = RunRecord(
        environment=folder.environment,
        run=folder.name,
        verdict=verdict,
        started=_started(folder),
        ended=now(),
        phases=tuple(phases),
        target=target,
        tree_before=tree_before,
        tree_after=tree_after,
        plan_digest=plan_digest,
        approval=approval,
        errors=errors,
        by_hand=tuple(by_hand),
        previous=_tip(folder),
        notes=(*notes, *_weak_notes(scrub), *_path_notes(folder, scrub)),
        versions=_versions(),
    )
    _write(folder, record)
    return read_sealed(folder)


def _write(folder: RunFolder, record: RunRecord) -> None:
    payload = pretty(statement(folder, record))
    signature = _sign(payload)
    if signature:
        atomic_write(folder.path / SIGNATURE, pretty(signature))
    atomic_write(folder.path / SEAL, payload)
    link = Link(run=folder.name, sha256=file_digest(folder.path / SEAL))
    atomic_write(folder.path.parent / HEAD, pretty(link))


def statement(folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    """Return the in-toto Statement v1 over every file that the folder has now."""
    subject = [
        {"name": name, "digest": {"sha256": file_digest(folder.path / name)}}
        for name in list_files(folder)
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": to_json(record),
    }


def list_files(folder: RunFolder) -> tuple[str, ...]:
    """Every file of the run but the seal itself, relative, sorted. Raises SafetyError on links."""
    return tuple(sorted(_walk(folder.path)))


def _walk(top: Path) -> Iterator[str]:
    for path in (top, *top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            kind = "a symbolic link" if path.is_symlink() else "no plain file"
            raise SafetyError(
                f"{f'{_shown(name)} in ' if path != top else ''}the run {top.name} is {kind}.",
                "Evidence has to be in the folder itself: replace it by the file.",
            )
        if path.is_file() and name not in (SEAL, SIGNATURE):
            _require_readable_name(name, top)
            yield name


def _require_readable_name(name: str, top: Path) -> None:
    if name != _shown(name) or not name.isprintable():
        raise SafetyError(
            f"The run {top.name} has a file whose name cannot be written down: {_shown(name)!r}.",
            "Give it a name in UTF-8 without control characters.",
        )


def _shown(name: str) -> str:
    return name.encode(errors="replace").decode()


def _require_no_secret(folder: RunFolder, scrub: Scrub) -> None:
    leaks = find_leaks(folder.path, list_files(folder), scrub)
    if leaks:
        raise SafetyError(
            f"A secret of the environment {folder.environment} stands in "
            f"{'; '.join(map(str, leaks))} of the run {folder.name}, so it is not sealed.",
            "Take it out of where it comes from (what a cell prints, a comment or a default in the "
            "database), change it if anybody may have seen it, delete these files, and run again.",
        )


def _weak_notes(scrub: Scrub) -> tuple[str, ...]:
    words = (
        "A secret of this environment is short or a common word, so it was looked for only where "
        "it is shown as one (:WORD@, password=WORD)."
    )
    return (words,) if scrub.weak else ()


def _path_notes(folder: RunFolder, scrub: Scrub) -> tuple[str, ...]:
    """One sentence for each JSON or text file that names a folder of this machine."""
    notes = []
    for name in list_files(folder):
        if name.endswith((".json", ".jsonl", ".html", ".ipynb", ".patch")):
            found = find_paths(folder.path / name, scrub)
            if found:
                notes.append(f"{name} names a folder of the machine ({', '.join(found)}).")
    return tuple(notes)


def _started(folder: RunFolder) -> str:
    events = folder.events()
    return str(events[0]["at"]) if events else now()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def read_sealed(folder: RunFolder) -> Sealed:
    """Read a run's seal. Raises ConfigurationError when it is not one of ours."""
    path = folder.path / SEAL
    try:
        text = read_plain(path)
        data = json.loads(text)
        if data["_type"] != STATEMENT_TYPE or data["predicateType"] != PREDICATE_TYPE:
            raise KeyError("predicateType")
        if pretty(data) != text:  # a key twice, a number that is none: readers would differ
            raise ValueError("not as the runbook writes it")
        files = {item["name"]: item["digest"]["sha256"] for item in data["subject"]}
        record = from_json(RunRecord, data["predicate"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{SEAL} of the run {folder.name} cannot be read as a seal.",
            "It was changed, or written by something else.",
        ) from error
    return Sealed(
        folder=folder, record=record, files=files, sha256=hashlib.sha256(text).hexdigest()
    )


def sealed_runs(home: Path) -> tuple[Sealed, ...]:
    """Every readable sealed run below ``outputs/<environment>``, the oldest first."""
    found = []
    for folder in RunFolder.all(home):
        if folder.sealed:
            try:
                found.append(read_sealed(folder))
            except ConfigurationError:
                continue
    return tuple(found)


def read_head(home: Path) -> Link | None:
    """Read the environment's head pointer. Raises ConfigurationError when it is not one."""
    try:
        return from_json(Link, json.loads(read_plain(home / HEAD)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{HEAD} of {home.name} is not JSON.", "It was changed."
        ) from error


def _tip(folder: RunFolder) -> Link | None:
    """The run to chain to: the head, or a run that was sealed just before a crash kept the head
    pointer from moving on to it."""
    home = folder.path.parent
    tip = read_head(home)
    for run in sealed_runs(home):
        if run.record.previous == tip and run.folder.name != (tip.run if tip else ""):
            tip = Link(run=run.folder.name, sha256=run.sha256)
    return tip


def pae(payload: bytes) -> bytes:
    """Return the DSSE v1 pre-authentication encoding of an in-toto payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def require_key() -> None:
    """Raise ConfigurationError at once when a signing key is named that cannot sign."""
    path = os.environ.get(SIGNING_VARIABLE, "")
    if path:
        _load_private(Path(path))


def _sign(payload: bytes) -> dict[str, Any] | None:
    path = os.environ.get(SIGNING_VARIABLE, "")
    if not path:
        return None
    key = _load_private(Path(path))
    signature = {"keyid": key_id(key.public_key()), "sig": _b64(key.sign(pae(payload)))}
    return {"payloadType": PAYLOAD_TYPE, "payload": _b64(payload), "signatures": [signature]}


def check_signature(envelope: bytes, payload: bytes, key: Ed25519PublicKey | None) -> str:
    """Return "" when the envelope signs ``payload`` (by ``key``, if given), else what is wrong."""
    try:
        data = json.loads(envelope)
        signed = base64.b64decode(data["payload"])
        signatures = [base64.b64decode(item["sig"]) for item in data["signatures"]]
    except (ValueError, KeyError, TypeError):
        return f"{SIGNATURE} is not a DSSE envelope"
    if signed != payload or data.get("payloadType") != PAYLOAD_TYPE:
        return f"{SIGNATURE} signs another {SEAL}"
    if key is not None and not any(_valid(key, item, payload) for item in signatures):
        return f"{SIGNATURE} is not signed by the given key"
    return ""


def _valid(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, pae(payload))
    except InvalidSignature:
        return False
    return True


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _load_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"The file that {SIGNING_VARIABLE} names is not an Ed25519 private key.",
            "Make one with: openssl genpkey -algorithm ed25519 -out FILE",
        )
    return key


def load_public(path: Path) -> Ed25519PublicKey:
    """Read an Ed25519 public key (PEM). Raises ConfigurationError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            f"{path.name} is not an Ed25519 public key.",
            "Make it with: openssl pkey -in PRIVATE -pubout -out FILE",
        )
    return key


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
