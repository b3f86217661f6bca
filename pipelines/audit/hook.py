"""Who is told: a command that reads the verdict from its standard input.

It is called once for each verdict. What it answered is kept beside the verdict, and never changes
it.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime

from pipelines.audit.series import Series
from pipelines.audit.settings import Notify
from pipelines.io.urls import redact

LAST_LINES = 20
MOST_BYTES = 1 << 16


def deliver(series: Series, name: str, notify: Notify, secrets: Iterable[str]) -> str:
    """Call the command for an audit's verdict, if it is to be told and has not been.

    Returns "", or in few words why it could not be told. `secrets` are blotted out of what is
    kept of the command's output.
    """
    verdict = series.folder.read("audits", name, "verdict.json")
    crossed = (series.verdict(name) or {})["state"] == "crossed"
    if not notify.command or (notify.when == "crossed" and not crossed):
        return ""
    known = hashlib.sha256(verdict).hexdigest()
    before = series.load("audits", name, "hook.json") or {}
    if before.get("verdict_sha256") == known and before.get("exit_code") == 0:
        return ""
    code, output = _call(notify, verdict)
    why = "" if code == 0 else _why(code, notify)
    kept = {
        "verdict_sha256": known,
        "exit_code": code,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "failed": why,
        "last_lines": redact(output, secrets).splitlines()[-LAST_LINES:],
    }
    series.save(kept, "audits", name, "hook.json")
    return why


def _call(notify: Notify, verdict: bytes) -> tuple[int | None, str]:
    """Its exit code (None: not started, or out of time) and the end of what it said.

    Output goes to a file, because a pipe stays open as long as any child of the command lives.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                notify.command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return None, f"it could not be started: {error}"
        code: int | None
        try:
            process.communicate(verdict, timeout=notify.timeout)
            code = process.returncode
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        said.seek(max(0, said.seek(0, os.SEEK_END) - MOST_BYTES))
        return code, said.read().decode(errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and its children, if they still run."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _why(code: int | None, notify: Notify) -> str:
    name = os.path.basename(notify.command[0])
    if code is None:
        return f"{name} could not be started, or did not end within {notify.timeout:g} s"
    return f"{name} ended with {code}"
