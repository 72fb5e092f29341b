"""The archive: what is kept, how a run is sealed, and what tampering looks like."""

from __future__ import annotations

import base64
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from runbook_lib import proving
from runbook_lib.artifacts import digest
from runbook_lib.config import Check, Environment, ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.errors import GateError, RunbookError, SafetyError
from runbook_lib.evidence import PhaseResult, RunFolder, locked
from runbook_lib.files import atomic_write
from runbook_lib.project import Project
from runbook_lib.scrub import scrub_for
from runbook_lib.seal import Sealed, seal
from runbook_lib.session import Phase
from runbook_lib.verification import VerifyResult, verify

SECRET = "Tr0ub4dor&3@x/y"
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda s: quote(s, safe=""),
    "percent plus": quote_plus,
    "percent twice": lambda s: quote(quote(s, safe=""), safe=""),
    "percent all": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 in a header": lambda s: base64.b64encode(f"app:{s}".encode()).decode(),
    "base64 url": lambda s: base64.urlsafe_b64encode(f"ap:{s}?".encode()).decode(),
    "base64 of a mail": lambda s: base64.encodebytes(b"-" * 50 + s.encode() + b"-" * 50).decode(),
    "hex": lambda s: s.encode().hex(),
    "hex capitals": lambda s: s.encode().hex().upper(),
    "hex colons": lambda s: s.encode().hex(":"),
    "json": json.dumps,
    "json twice": lambda s: json.dumps(json.dumps(s)),
    "json escapes": lambda s: "".join(f"\\u{ord(letter):04x}" for letter in s),
    "python escapes": lambda s: "".join(f"\\x{ord(letter):02x}" for letter in s),
    "html": html.escape,
    "html twice": lambda s: html.escape(html.escape(s)),
    "html numbers": lambda s: "".join(f"&#{ord(letter)};" for letter in s),
    "html spans": lambda s: "".join(f"<i>{html.escape(letter)}</i>" for letter in s),
    "python long escapes": lambda s: "".join(f"\\U{ord(letter):08x}" for letter in s),
    "escapes in braces": lambda s: "".join(f"\\u{{{ord(letter):x}}}" for letter in s),
    "octal": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "octal in part": lambda s: "".join(c if c.isalnum() else f"\\{ord(c):03o}" for c in s),
    "sql unicode": lambda s: "U&'" + "".join(f"\\{ord(letter):04x}" for letter in s) + "'",
    "sql unicode long": lambda s: "u&'" + "".join(f"\\+{ord(c):06x}" for c in s) + "'",
    "sql concatenated": lambda s: f"'{s[:7]}' || '{s[7:]}'",
    "bytea": lambda s: f"\\x{s.encode().hex()}",
    "hex in groups": lambda s: s.encode().hex(" ", -2),
    "bytes in a list": lambda s: str(list(s.encode())),
    "base64 twice": lambda s: packed(packed(f"app:{s}")),
    "base64 of json escapes": lambda s: packed(SPELLINGS["json escapes"](s)),
    "base64 of hex": lambda s: packed(s.encode().hex()),
    "hex of base64": lambda s: packed(s).encode().hex(),
    "gzip in base64": lambda s: base64.b64encode(gzip.compress(s.encode())).decode(),
    "quoted-printable": lambda s: "".join(f"={byte:02X}" for byte in s.encode()),
    "quoted-printable, broken": lambda s: f"{s[:6]}=\n{s[6:]}",
    "capitals": str.upper,
    "small letters": str.lower,
    "wrapped in a table": lambda s: f"| {s[:6]} |\n| {s[6:]} |",
    "wrapped by psql": lambda s: f"{s[:6]}.\n.{s[6:]}",
    "wrapped in a quotation": lambda s: f"> {s[:6]}\n> {s[6:]}",
    "wrapped in a comment": lambda s: f"-- {s[:6]}\n-- {s[6:]}",
    "repr": repr,
    "shell": lambda s: "".join(c if c.isalnum() else f"\\{c}" for c in s),
    "broken line": lambda s: f"{s[:6]}\n    {s[6:]}",
    "continued line": lambda s: f"{s[:6]}\\\n{s[6:]}",
    "colours": lambda s: f"{s[:6]}\x1b[0;31m{s[6:]}",
    "invisible": "\u200b".join,
    "backwards": lambda s: s[::-1],
    "items of a list": lambda s: json.dumps([s[:4], s[4:9], s[9:]], indent=2),
    "adjacent strings": lambda s: f"'{s[:7]}' '{s[7:]}'",
    "added strings": lambda s: f'"{s[:7]}" + "{s[7:]}"',
    "picture": lambda s: (
        "data:image/svg+xml;base64,"
        + base64.b64encode(f"<svg>{html.escape(s)}</svg>".encode()).decode()
    ),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32 in a header": lambda s: base64.b32encode(f"app:{s}!".encode()).decode(),
    "base32 in small letters": lambda s: base64.b32encode(s.encode()).decode().lower(),
    "base85": lambda s: base64.b85encode(f"a:{s}".encode()).decode(),
    "ascii85": lambda s: base64.a85encode(f"app:{s}".encode()).decode(),
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "chr in SQL": lambda s: "||".join(f"chr({ord(letter)})" for letter in s),
    "chr in Python": lambda s: " + ".join(f"chr({ord(letter)})" for letter in s),
    "gzip in base64 of a mail": lambda s: base64.encodebytes(
        gzip.compress(random.Random(1).randbytes(200).hex().encode() + s.encode())
    ).decode(),
    "a picture's comment": lambda s: f'{{"image/png": "{png(b"tEXt", f"Comment0{s}".encode())}"}}',
    "a picture's packed comment": lambda s: png(
        b"zTXt", b"Comment\0\0" + zlib.compress(f"it is {s}".encode())
    ),
    "utf-16 in base64": lambda s: base64.b64encode(s.encode("utf-16")).decode(),
    "its first half": lambda s: s[:8],
    "its last half": lambda s: s[-8:],
    "in two strings": lambda s: json.dumps({"one": s[:8], "two": s[8:]}),
    "utf-16": lambda s: "".join(f"{letter}\0" for letter in s),
    "utf-16 in Python": lambda s: repr(s.encode("utf-16le")),
}


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def png(kind: bytes, body: bytes) -> str:
    """The base64 of a picture with one more chunk in it, as tools leave their notes."""
    chunks = [(b"IHDR", bytes(13)), (kind, body), (b"IDAT", bytes(range(256))), (b"IEND", b"")]
    sealed = [
        len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)
        for name, data in chunks
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(sealed)).decode()


def zipped(data: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("empty.txt", "")
        archive.writestr("inside.txt", data)
    return whole.getvalue()


def tarred(data: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        member = tarfile.TarInfo("inside.txt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return whole.getvalue()


WEAK = (
    "postgres",
    "a",
    "1234",
    "true",
    "wallet",
    "abc123",
    "Transactions",
    "public.users",
    "2026-01-31",
)
DONE = PhaseResult(phase="02_audit", status="passed", sentence="8 revisions", seconds=1.2)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("WALLET_URL", "postgresql://app:Tr0ub4dor%263%40x%2Fy@db/wallet")
    return Environment(
        name="staging",
        project=ProjectSettings(),
        folder=tmp_path,
        outputs=tmp_path / "outputs",
        url_env="WALLET_URL",
    )


def sealed_run(environment: Environment, content: str = "proof") -> Sealed:
    folder = RunFolder.open(environment, "new")
    folder.write("02_audit", {"content": content})
    folder.write_text("repair.patch", "--- a\n+++ b\n")
    return seal(folder, verdict="repaired", phases=[DONE], scrub=scrub_for(environment))


def become_a_link(path: Path) -> None:
    """The whole run lies elsewhere, where others may write."""
    elsewhere = path.rename(path.parent.parent.parent / "elsewhere")
    path.symlink_to(elsewhere)


def only(results: tuple[VerifyResult, ...]) -> VerifyResult:
    (bad,) = [result for result in results if not result.ok]
    return bad


class TestRunFolder:
    def test_latest_is_the_newest_unsealed_run_else_a_new_one(
        self, environment: Environment
    ) -> None:
        first = RunFolder.open(environment)
        assert RunFolder.open(environment) == first
        seal(first, verdict="healthy", phases=[], scrub=scrub_for(environment))
        second = RunFolder.open(environment)
        assert second.name > first.name
        assert RunFolder.open(environment, first.name) == first

    def test_an_unknown_run_is_answered_with_the_near_ones(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        with pytest.raises(GateError, match=folder.name):
            RunFolder.open(environment, folder.name[:-1])

    def test_nothing_good_is_overwritten(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        for content in ("one", "two", "two", "three"):
            folder.write("02_audit", {"content": content})
        kept = sorted((folder.path / "superseded").iterdir())
        assert [json.loads(path.read_text())["content"] for path in kept] == ["one", "two"]
        assert folder.read("02_audit", dict) == {"content": "three"}

    def test_a_missing_artifact_names_the_file(self, environment: Environment) -> None:
        with pytest.raises(GateError, match=r"no 03_cleanup\.json yet"):
            RunFolder.open(environment).read("03_cleanup", dict)

    def test_a_sealed_run_takes_nothing_more(self, environment: Environment) -> None:
        folder = sealed_run(environment).folder
        with pytest.raises(SafetyError, match="is sealed"):
            folder.write("02_audit", {"content": "later"})

    def test_a_broken_last_event_is_left_out(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        folder.append_event("started", "01_backup")
        with (folder.path / "events.jsonl").open("a") as stream:
            stream.write('{"at": "2026-1')
        assert [event["event"] for event in folder.events()] == ["opened", "started"]


def hold(environment: Environment, ready: str) -> None:
    os.environ.pop("RUNBOOK_RUNNER_PID", None)
    with locked(environment):
        Path(ready).touch()
        time.sleep(30)


class TestLock:
    def test_two_runs_at_once_are_refused_naming_the_holder(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        process = multiprocessing.get_context("fork").Process(
            target=hold, args=(environment, str(tmp_path / "ready"))
        )
        process.start()
        try:
            while not (tmp_path / "ready").exists():
                assert process.is_alive()
            with pytest.raises(SafetyError, match=rf"process {process.pid} since 20"):
                RunFolder.open(environment)
            with pytest.raises(SafetyError, match=rf"process {process.pid}"), locked(environment):
                pass
        finally:
            process.kill()
            process.join()
        with locked(environment):
            assert RunFolder.open(environment).path.is_dir()


class TestAtomicWrite:
    def test_a_full_disk_leaves_the_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.json"
        path.write_text("older")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(RunbookError, match="no space left"):
                atomic_write(path, b"x" * 5000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_text() == "older"
        assert [item.name for item in tmp_path.iterdir()] == ["audit.json"]


class TestVerify:
    def test_an_untouched_archive_is_good(self, environment: Environment) -> None:
        runs = [sealed_run(environment), sealed_run(environment)]
        results = verify(environment.outputs)
        assert [result.ok for result in results] == [True, True]
        assert "all 3 files are as sealed, verdict repaired" in results[0].sentence
        assert runs[1].record.previous is not None
        assert runs[1].record.previous.run == runs[0].folder.name

    def test_the_archive_may_be_moved(self, environment: Environment, tmp_path: Path) -> None:
        sealed_run(environment)
        moved = tmp_path / "elsewhere"
        environment.outputs.rename(moved)
        assert all(result.ok for result in verify(moved))

    def test_the_statement_is_in_toto(self, environment: Environment) -> None:
        run = sealed_run(environment)
        statement = json.loads((run.folder.path / "run.json").read_text())
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicateType"] == "urn:alembic-runbook:run:v1"
        names = [item["name"] for item in statement["subject"]]
        assert names == ["02_audit.json", "events.jsonl", "repair.patch"]

    @pytest.mark.parametrize(
        ("tamper", "sentence"),
        [
            (lambda path: (path / "02_audit.json").write_text("{}"), "02_audit.json was changed"),
            (lambda path: (path / "repair.patch").unlink(), "repair.patch is missing"),
            (lambda path: (path / "more.txt").touch(), "more.txt is not in the seal"),
            (lambda path: (path / "run.json").unlink(), "its run.json is gone"),
            (lambda path: (path / "run.json").write_text("{}"), "run.json was changed"),
            (lambda path: shutil.rmtree(path), "the run is gone, though HEAD.json names it"),
            (lambda path: (path / "02_audit.json").symlink_to("x"), "symbolic link"),
            (become_a_link, ": the run "),
        ],
        ids=["changed", "missing", "extra", "unsealed", "no-seal", "dropped", "link", "linked"],
    )
    def test_tampering_with_the_newest_run_is_told(
        self, environment: Environment, tamper: Callable[[Path], object], sentence: str
    ) -> None:
        sealed_run(environment)
        path = sealed_run(environment).folder.path
        if sentence == "symbolic link":
            (path / "02_audit.json").unlink()
        tamper(path)
        assert sentence in only(verify(environment.outputs)).sentence

    def test_a_rewritten_verdict_is_told_by_the_next_run(self, environment: Environment) -> None:
        first, second = sealed_run(environment), sealed_run(environment)
        path = first.folder.path / "run.json"
        path.write_text(path.read_text().replace('"repaired"', '"healthy"'))
        bad = only(verify(environment.outputs))
        assert bad.name.endswith(first.folder.name)
        assert f"changed after {second.folder.name} recorded its digest" in bad.sentence

    def test_a_dropped_run_is_named(self, environment: Environment) -> None:
        runs = [sealed_run(environment) for _ in range(3)]
        shutil.rmtree(runs[1].folder.path)
        bad = only(verify(environment.outputs))
        assert bad.name.endswith(runs[1].folder.name)
        assert "gone" in bad.sentence

    def test_swapped_runs_are_named(self, environment: Environment, tmp_path: Path) -> None:
        first, second = sealed_run(environment, "a"), sealed_run(environment, "b")
        first.folder.path.rename(tmp_path / "aside")
        second.folder.path.rename(first.folder.path)
        (tmp_path / "aside").rename(second.folder.path)
        bad = [result for result in verify(environment.outputs) if not result.ok]
        assert len(bad) == 2
        assert all("swapped" in result.sentence for result in bad)

    def test_a_crash_before_the_head_moved_on_is_caught_up_with(
        self, environment: Environment
    ) -> None:
        head = sealed_run(environment).folder.path.parent / "HEAD.json"
        before = head.read_text()
        second = sealed_run(environment)
        head.write_text(before)
        assert all(result.ok for result in verify(environment.outputs))
        third = sealed_run(environment)
        assert third.record.previous is not None
        assert third.record.previous.run == second.folder.name
        assert all(result.ok for result in verify(environment.outputs))

    def test_a_lost_head_pointer_is_told(self, environment: Environment) -> None:
        (sealed_run(environment).folder.path.parent / "HEAD.json").unlink()
        assert all(result.ok for result in verify(environment.outputs)), "as after a crash"
        (sealed_run(environment).folder.path.parent / "HEAD.json").write_text("{")
        assert "HEAD.json is gone or was changed" in only(verify(environment.outputs)).sentence

    def test_a_second_run_behind_the_same_one_is_told(self, environment: Environment) -> None:
        first = sealed_run(environment)
        hidden = sealed_run(environment, "forged").folder.path
        aside = hidden.rename(environment.folder / hidden.name)
        head = hidden.parent / "HEAD.json"
        head.write_text(json.dumps({"run": first.folder.name, "sha256": first.sha256}))
        sealed_run(environment)
        aside.rename(hidden)
        bad = only(verify(environment.outputs))
        assert bad.name.endswith(hidden.name)
        assert "also names" in bad.sentence

    def test_an_unsealed_run_proves_nothing(self, environment: Environment) -> None:
        RunFolder.open(environment)
        assert "not sealed" in only(verify(environment.outputs)).sentence

    def test_runs_sealed_out_of_order_are_a_good_chain(self, environment: Environment) -> None:
        waiting = RunFolder.open(environment, "new")
        sealed_run(environment)
        seal(waiting, verdict="interrupted", phases=[], scrub=scrub_for(environment))
        assert [result.ok for result in verify(environment.outputs)] == [True, True]


class TestSecrets:
    @pytest.mark.parametrize("spelled", SPELLINGS, ids=SPELLINGS)
    def test_a_secret_blocks_the_seal_and_is_not_shown(
        self, environment: Environment, spelled: str
    ) -> None:
        folder = RunFolder.open(environment)
        form = SPELLINGS[spelled](SECRET)
        folder.write_text("notes.txt", f"it is {form}!")
        with pytest.raises(SafetyError, match=r"notes\.txt") as caught:
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))
        assert form not in str(caught.value)
        assert not folder.sealed

    def test_letters_with_marks_may_be_put_together_otherwise(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPASSWORD", unicodedata.normalize("NFC", "gemüse7Suppe"))
        assert scrub_for(environment).leaks(unicodedata.normalize("NFD", "gemüse7Suppe"))

    @pytest.mark.parametrize("secret", ["hunter2longenough", "it's\"Pä55\\w0rd%20!"])
    def test_plain_secrets_and_those_that_hold_escapes_are_found_too(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        monkeypatch.setenv("PGPASSWORD", secret)
        scrub = scrub_for(environment)
        for name in ("html numbers", "html spans", "broken line", "colours", "adjacent strings"):
            assert scrub.leaks(SPELLINGS[name](secret)), name

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped, tarred])
    def test_a_compressed_file_is_read_through(
        self, environment: Environment, pack: Callable[[bytes], bytes]
    ) -> None:
        folder = RunFolder.open(environment)
        folder.write_bytes("log.bin", pack(f"it is {SECRET}".encode()))
        with pytest.raises(SafetyError, match=r"log\.bin"):
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))
        cut = RunFolder.open(environment, "new")
        cut.write_bytes("log.bin", pack(b"nothing")[:-4])
        seal(cut, verdict="failed", phases=[], scrub=scrub_for(environment))

    def test_a_secret_in_a_name_is_not_shown(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        folder.write_text(f"{quote(SECRET, safe='')}.txt", "fine")
        with pytest.raises(SafetyError, match=r"the name of \*\*\*\.txt") as caught:
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))
        assert "Tr0ub4dor" not in str(caught.value)

    @pytest.mark.parametrize("password", WEAK)
    def test_a_weak_password_makes_no_false_alarm_and_is_noted(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch, password: str
    ) -> None:
        monkeypatch.setenv("WALLET_URL", f"postgresql://app:{password}@db/wallet")
        revision = "down_revision = None\nop.create_table('transactions', schema='public')\n# users"
        (environment.folder / "a_revision.py").write_text(revision)
        folder = RunFolder.open(environment)
        text = f"{' '.join(WEAK)} {digest(password)} table_{password}"
        folder.write_text("notes.txt", text)
        run = seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))
        assert "short or a common word" in run.record.notes[0]
        other = RunFolder.open(environment, "new")
        other.write_text("notes.txt", f"postgresql://app:{password}@db and password={password}")
        with pytest.raises(SafetyError, match=r"notes\.txt"):
            seal(other, verdict="failed", phases=[], scrub=scrub_for(environment))

    def test_a_word_that_no_report_has_is_found(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WALLET_URL", "postgresql://app:wombatgarden@db/wallet")
        (environment.folder / "settings.py").write_text("PASSWORD = 'wombatgarden'")
        folder = RunFolder.open(environment)
        folder.write_text("notes.txt", "it is wombatgarden, they say")
        with pytest.raises(SafetyError, match=r"notes\.txt"):
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))

    def test_home_folders_of_other_machines_name_nobody(self, environment: Environment) -> None:
        text = "File /home/ada/app/env.py, /Users/ada.l/x, /srv/home/x, see https://a.b/home/x"
        assert scrub_for(environment).clean(text) == (
            "File <home>/app/env.py, <home>/x, /srv/home/x, see https://a.b/home/x"
        )

    def test_the_cell_of_a_notebook_is_named(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        stream = {"output_type": "stream", "name": "stdout", "text": ["fine\n", SECRET]}
        cells = [
            {"cell_type": "markdown", "source": ["about"]},
            {"cell_type": "code", "source": [], "outputs": [stream]},
        ]
        folder.write_text("02_audit.ipynb", json.dumps({"cells": cells, "metadata": {}}))
        with pytest.raises(SafetyError, match=r"02_audit\.ipynb, cell 1 "):
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))

    def test_a_secret_behind_colours_is_found(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        folder.write_text("02_audit.html", f"<b>{SECRET[:5]}</b><i>{SECRET[5:9]}</i>{SECRET[9:]}")
        with pytest.raises(SafetyError, match=r"02_audit\.html"):
            seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("cut: ub4dor&3@x… and ub4dor&3@x", "cut: ***… and ***"),
            ('at "b4dor&3@x/y"', 'at "***"'),
            ("\x1b[1mTr0ub4\x1b[0mdor&3@x/y, of x/y", "***, of x/y"),
        ],
    )
    def test_a_part_is_masked_before_it_is_written(
        self, environment: Environment, text: str, shown: str
    ) -> None:
        scrub = scrub_for(environment)
        assert scrub.clean(text) == shown
        assert not scrub.leaks(scrub.clean(text))

    def test_what_a_phase_concludes_is_cleaned(self, environment: Environment) -> None:
        """A finding may quote what the database holds, such as a comment."""
        folder = RunFolder.open(environment)
        phase = Phase(name="02_audit", environment=environment, folder=folder)
        phase.conclude(DONE, f"drift: found 'log in with {SECRET}'")
        told = folder.read("02_audit.result", PhaseResult).sentence
        assert told == "drift: found 'log in with ***'"

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("'log in with ' || secret", "returned 'log in with ***'"),
            ("string_to_array(secret, NULL)", "(withheld, because it shows a secret)"),
        ],
    )
    def test_what_a_check_prints_never_keeps_a_run_from_its_seal(
        self, environment: Environment, database: Dsn, said: str, told: str
    ) -> None:
        """The target may be changed by then."""
        sql = f"SELECT {said} FROM (SELECT '{SECRET}'::text AS secret) AS s"
        checked = replace(environment, checks=(Check(name="talks", sql=sql),))
        project = Project(ProjectSettings(), environment.folder)
        (result,) = proving.run_checks(checked, project, database)
        assert (result.passed, result.output) == (True, told)

    def test_passwords_that_libpq_reads_by_itself_are_known(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("WALLET_URL", "postgresql://app@db/wallet?service=live")
        (tmp_path / "pgpass").write_text(
            "# a comment\nother:*:*:app:N0t-of-this-one\n*:5432:wallet:app:Gr33n\\:hat\\\\99!\n"
        )
        (tmp_path / "services").write_text("[live]\nhost=db\npassword=L0ng=winter=night\n")
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        scrub = scrub_for(environment)
        assert scrub.clean("is Gr33n:hat\\99! or L0ng=winter=night") == "is *** or ***"
        assert not scrub.leaks("N0t-of-this-one")

    @pytest.mark.parametrize("variable", ["DB_PASSWORD", "APP_SECRET_KEY", "CI_JOB_TOKEN"])
    def test_a_variable_that_is_named_as_a_secret_is_one(
        self, environment: Environment, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, "rosebud:sled/1941")
        scrub = scrub_for(environment)
        assert scrub.clean("it is rosebud:sled/1941") == "it is ***"
        assert scrub.clean("no rosebud and no sled") == "no rosebud and no sled"
        for other in ("https://auth.example.com", str(environment.folder), "false", "staging"):
            monkeypatch.setenv(variable, other)
            assert not scrub_for(environment).leaks(f"https {other} auth.example.com")

    def test_a_dump_in_custom_format_is_not_searched(self, environment: Environment) -> None:
        folder = RunFolder.open(environment)
        (folder.path / "full.dump").write_bytes(b"PGDMP" + SECRET.encode())
        assert seal(folder, verdict="healthy", phases=[], scrub=scrub_for(environment))

    def test_paths_of_the_machine_become_placeholders(self, environment: Environment) -> None:
        scrub = scrub_for(environment)
        text = f"{environment.folder}/versions/a.py and {sys.prefix}/bin and {Path.home()}/x"
        assert scrub.clean(text) == "<project>/versions/a.py and <python>/bin and <home>/x"
        other = f"/data{environment.folder}/a {environment.folder}-other/a"
        assert scrub.clean(other).startswith(f"/data{environment.folder}/a ")

    def test_a_path_behind_a_colour_is_replaced(self, environment: Environment) -> None:
        text = f"File \x1b[32m{environment.folder}/a.py\x1b[39m"
        assert scrub_for(environment).clean(text) == "File \x1b[32m<project>/a.py\x1b[39m"

    def test_placeholders_are_escaped_in_markup(self, environment: Environment) -> None:
        data = {
            "text/plain": f"{environment.folder}/a",
            "text/html": f"<b>{environment.folder}</b>",
        }
        assert scrub_for(environment).clean_data({"data": data})["data"] == {
            "text/plain": "<project>/a",
            "text/html": "<b>&lt;project&gt;</b>",
        }

    def test_a_path_in_an_artifact_is_noted_and_does_not_block(
        self, environment: Environment
    ) -> None:
        folder = RunFolder.open(environment)
        folder.write("02_audit", {"error": f"in {environment.folder}/a.py"})
        run = seal(folder, verdict="failed", phases=[], scrub=scrub_for(environment))
        assert run.record.notes == ("02_audit.json names a folder of the machine (<project>).",)


class TestSignature:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> tuple[Path, Path]:
        key = Ed25519PrivateKey.generate()
        private, public = tmp_path / "private.pem", tmp_path / "public.pem"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return private, public

    def test_a_signed_run_is_good_with_its_key_only(
        self,
        environment: Environment,
        keys: tuple[Path, Path],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(keys[0]))
        sealed_run(environment)
        (good,) = verify(environment.outputs, key=str(keys[1]))
        assert good.ok
        assert "the signature is good" in good.sentence
        other = tmp_path / "other.pem"
        other.write_bytes(
            Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        assert (
            "not signed by the given key"
            in only(verify(environment.outputs, key=str(other))).sentence
        )

    def test_openssl_agrees_with_the_signature(
        self, environment: Environment, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl is not installed")
        monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(keys[0]))
        path = sealed_run(environment).folder.path
        envelope = json.loads((path / "run.json.dsse").read_text())
        payload = (path / "run.json").read_bytes()
        kind = "application/vnd.in-toto+json"
        (path.parent / "pae").write_bytes(
            f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        )
        (path.parent / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        argv = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
        argv += ["-in", str(path.parent / "pae"), "-sigfile", str(path.parent / "sig")]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def test_an_unsigned_run_is_told_when_a_key_is_given(
        self, environment: Environment, keys: tuple[Path, Path]
    ) -> None:
        sealed_run(environment)
        assert "not signed" in only(verify(environment.outputs, key=str(keys[1]))).sentence
