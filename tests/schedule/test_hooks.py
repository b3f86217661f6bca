"""The example hooks, fed a verdict as `nhd audit` writes it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.schedule.scripted import SCHEDULE

HOOKS = SCHEDULE / "hooks"
VERDICT = {
    "audit": "web <images> & more",
    "name": "2026-W09",
    "state": "crossed",
    "sentence": 'yellow grew "much"',
    "causes": [{"text": "yellow", "since": "2026-W09", "effect": 0.5}],
    "page": "s3://bucket/audits/2026-W09/index.html",
}
needs_jq = pytest.mark.skipif(
    not (shutil.which("jq") and shutil.which("curl")), reason="jq and curl are not installed"
)


@pytest.fixture
def webhook() -> Iterator[HTTPServer]:
    """A server on loopback that keeps what it is sent, and answers with its `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.received.append((self.path, self.headers["Content-Type"], body))  # type: ignore[attr-defined]
            self.send_response(self.server.answer)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.answer = [], 200  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def slack(server: HTTPServer, verdict: str) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{server.server_port}/services/secret"
    return subprocess.run(
        [HOOKS / "slack.sh"], input=verdict, env={**os.environ, "NHD_WEBHOOK_URL": url},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@needs_jq
def test_the_webhook_gets_one_readable_message(webhook: HTTPServer) -> None:
    found = slack(webhook, json.dumps(VERDICT))
    assert found.returncode == 0, found.stderr
    [(path, kind, body)] = webhook.received  # type: ignore[attr-defined]
    assert path == "/services/secret" and kind == "application/json"
    text = json.loads(body)["text"]
    assert 'yellow grew "much"' in text
    assert "• yellow, since 2026-W09" in text and "2026-W09/index.html" in text
    assert "<" not in text and "web &lt;images&gt; &amp; more" in text  # data makes no links


@needs_jq
@pytest.mark.parametrize(("answer", "verdict"), [(404, json.dumps(VERDICT)), (200, "no JSON")])
def test_a_message_that_did_not_arrive_is_a_failure(
    webhook: HTTPServer, answer: int, verdict: str
) -> None:
    webhook.answer = answer  # type: ignore[attr-defined]
    found = slack(webhook, verdict)
    assert found.returncode != 0 and found.stderr
    assert "secret" not in found.stdout + found.stderr


@needs_jq
def test_without_an_address_it_says_what_is_missing() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NHD_WEBHOOK_URL"}
    found = subprocess.run(
        [HOOKS / "slack.sh"], input="{}", env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode != 0 and "NHD_WEBHOOK_URL" in found.stderr


@needs_jq
def test_verdicts_are_filed_whole_and_inside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    for name in ("2026-W09", "../../escape", "2026-W10"):
        text = json.dumps({**VERDICT, "name": name})
        subprocess.run([HOOKS / "file.sh", folder], input=text, text=True, check=True)
    names = {path.name for path in folder.iterdir()}
    assert {"2026-W09.json", "2026-W10.json", "latest.json"} < names and len(names) == 4
    assert json.loads((folder / "latest.json").read_text())["name"] == "2026-W10"
    assert json.loads((folder / "2026-W09.json").read_text()) == VERDICT
    assert not (tmp_path / "escape.json").exists()
    broken = subprocess.run([HOOKS / "file.sh", folder], input="{", text=True, check=False)
    assert broken.returncode != 0
    assert {path.name for path in folder.iterdir()} == names
