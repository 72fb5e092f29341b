"""Alerts reach a real webhook and a real command, and say what came of it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from runbook_lib.config import Alerts, Environment, ProjectSettings
from runbook_lib.errors import ConfigurationError
from runbook_lib.findings import finding
from runbook_lib.prevention import schedule, send_alerts

FOUND = (finding("phantom", "r1", "r1 is recorded. None of its effects is there."),)


def environment(folder: Path, alerts: Alerts) -> Environment:
    return Environment(
        name="staging", project=ProjectSettings(), folder=folder, outputs=folder, alerts=alerts
    )


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A server on 127.0.0.1 that keeps what it is sent; its address is in $ALERTS."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ALERTS", f"http://127.0.0.1:{server.server_port}/hook")
    yield received
    server.shutdown()
    server.server_close()


def test_both_get_the_findings_as_json(tmp_path: Path, webhook: list[bytes]) -> None:
    keep = "import sys, pathlib; pathlib.Path('alert.json').write_text(sys.stdin.read())"
    alerts = Alerts(webhook_env="ALERTS", command=(sys.executable, "-c", keep))
    said = send_alerts(environment(tmp_path, alerts), FOUND)
    assert said[0] == "The webhook of ALERTS answered 204."
    assert said[1].endswith("ended with exit code 0.")
    for body in (webhook[0].decode(), (tmp_path / "alert.json").read_text()):
        sent = json.loads(body)
        assert sent["environment"] == "staging"
        assert [item["code"] for item in sent["findings"]] == ["phantom"]


def test_nothing_is_sent_when_nothing_was_found(tmp_path: Path, webhook: list[bytes]) -> None:
    send_alerts(environment(tmp_path, Alerts(webhook_env="ALERTS")), ())
    assert webhook == []


def test_a_webhook_that_is_down_is_said_and_does_not_end_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERTS", "http://127.0.0.1:9/")
    (said,) = send_alerts(environment(tmp_path, Alerts(webhook_env="ALERTS")), FOUND)
    assert said.startswith("The webhook of ALERTS could not be reached")


def test_a_webhook_without_an_address_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NOT_THERE"):
        send_alerts(environment(tmp_path, Alerts(webhook_env="NOT_THERE")), FOUND)


def test_the_schedule_runs_the_monitor_everywhere(tmp_path: Path) -> None:
    snippets = schedule(environment(tmp_path, Alerts()))
    assert set(snippets) == {"cron", "GitHub Actions", "GitLab CI"}
    assert all("runbook monitor -e staging" in text for text in snippets.values())
    assert not any("secret" in text for text in snippets.values())


def test_the_schedule_gives_the_monitor_the_variables_that_it_reads(tmp_path: Path) -> None:
    live = replace(environment(tmp_path, Alerts(webhook_env="HOOK")), url_env="LIVE_URL")
    snippets = schedule(live)
    github = yaml.safe_load(snippets["GitHub Actions"])
    assert {name: github["env"][name] for name in ("LIVE_URL", "HOOK")} == {
        "LIVE_URL": "${{ secrets.LIVE_URL }}",
        "HOOK": "${{ secrets.HOOK }}",
    }
    assert github["jobs"]["audit-staging"]["steps"][2]["run"] == "runbook monitor -e staging"
    gitlab = yaml.safe_load(snippets["GitLab CI"])
    assert gitlab["audit-staging"]["script"][-1] == "runbook monitor -e staging"
    assert all("LIVE_URL, HOOK" in snippets[name] for name in ("GitLab CI", "cron"))
