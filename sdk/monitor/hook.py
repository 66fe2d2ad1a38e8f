"""What is done when a model drifts: a command or a webhook, once per crossing.

Whether an alarm was raised is kept in the log's database, in one row that is changed by a conditional update:
of several replicas that see the same drift one raises it, and a restart does not raise it again.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import subprocess
import tempfile
import threading
from typing import Any

from runtimes import UsageError
from runtimes.errors import first_line
from sdk.monitor.drift import DRIFT, DriftReport
from sdk.monitor.log_tables import LogTables
from sdk.monitor.prediction_log import now

QUIET, RAISED = "quiet", "raised"
WEBHOOK_TIMEOUT_S = 10.0

_log = logging.getLogger("edgewright.monitor")


class Hook:
    """A command or a webhook.

    A command is run without a shell, in a session of its own (it may train for hours, and outlives a server
    that ends), with the report as JSON on its standard input. A webhook is sent the report by POST.

    Args:
        what: An ``http://`` or ``https://`` address, or a command line.

    Raises:
        UsageError: There is no such program.
    """

    def __init__(self, what: str) -> None:
        self._waiting: threading.Thread | None = None
        self.address = what if what.startswith(("http://", "https://")) else None
        try:
            self.command = [] if self.address else shlex.split(what)
        except ValueError as error:
            raise _unusable(what, first_line(error)) from error
        if not self.address and (not self.command or shutil.which(self.command[0]) is None):
            raise _unusable(what, "no such program")

    def fire(self, told: dict[str, Any]) -> None:
        """Start the command, or call the webhook.

        Raises:
            OSError: It cannot be started, or the webhook did not answer with success.
        """
        body = json.dumps({"event": "drift", **told}).encode()
        if self.address:
            _post(self.address, body)
            return
        with tempfile.TemporaryFile() as given:  # a pipe would need somebody who writes into it
            given.write(body)
            given.seek(0)
            process = subprocess.Popen(
                self.command, stdin=given, stdout=subprocess.DEVNULL, start_new_session=True
            )
        self._waiting = threading.Thread(target=_attend, args=(process,), name="drift-hook", daemon=True)
        self._waiting.start()

    def wait(self) -> None:
        """Until the command that was started last has ended."""
        if self._waiting is not None:
            self._waiting.join()


class Alarm:
    """Fires a hook when drift begins, and is ready again when it is over.

    Args:
        tables: Of the log, which remembers.
        hook: What to do; None only remembers.
    """

    def __init__(self, tables: LogTables, hook: Hook | None) -> None:
        self._tables, self._hook = tables, hook

    def see(self, report: DriftReport) -> bool:
        """Take note of a window.

        Returns:
            Whether the hook was fired now.

        Raises:
            OSError: The hook failed; the next window tries again.
        """
        subject = f"{report.model}/{report.version}"[:200]
        if report.status == DRIFT:
            if not self._change(subject, QUIET, RAISED):
                return False
            try:
                if self._hook is not None:
                    self._hook.fire(report.to_dict())
            except OSError:
                self._change(subject, RAISED, QUIET)
                raise
            return True
        if report.over:
            self._change(subject, RAISED, QUIET)
        return False

    def raised(self, model: str, version: str) -> bool:
        """Whether an alarm stands."""
        import sqlalchemy as sa

        table = self._tables.alarms
        query = sa.select(table.c.state).where(table.c.subject == f"{model}/{version}"[:200])
        with self._tables.engine.connect() as connection:
            return bool(connection.execute(query).scalar() == RAISED)

    def _change(self, subject: str, before: str, after: str) -> bool:
        """Change the state from `before` to `after`; whether it was us who did."""
        import sqlalchemy as sa

        table, engine = self._tables.alarms, self._tables.engine
        try:
            with engine.begin() as connection:
                known = sa.select(table.c.subject).where(table.c.subject == subject)
                if connection.execute(known).first() is None:
                    row = {"subject": subject, "state": QUIET, "changed_at": now()}
                    connection.execute(table.insert(), row)
        except sa.exc.IntegrityError:
            pass  # somebody else was as quick
        change = (
            sa.update(table)
            .where(table.c.subject == subject, table.c.state == before)
            .values(state=after, changed_at=now())
        )
        with engine.begin() as connection:
            return bool(connection.execute(change).rowcount == 1)


def _post(address: str, body: bytes) -> None:
    import http.client  # few servers call anybody, and all start sooner without it
    import urllib.request

    request = urllib.request.Request(
        address, body, {"Content-Type": "application/json", "User-Agent": "edgewright"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S) as answer:
            answer.read(1)
    except http.client.HTTPException as error:
        raise OSError(f"no proper answer ({first_line(error)})") from error


def _attend(process: subprocess.Popen[bytes]) -> None:
    """Wait: a process that nobody waits for stays in the system's table."""
    if process.wait():
        _log.error("drift_hook_failed", extra={"fields": {"exit_code": process.returncode}})


def _unusable(what: str, why: str) -> UsageError:
    return UsageError("Option --on-drift", got=f"{what!r} ({why})", expected="a command, or an address",
                      fix="Name a program that is there.")  # fmt: skip
