"""The hook: once per crossing, whoever sees it and however often."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtimes import UsageError
from sdk.artifact import read_artifact
from sdk.monitor.drift import DRIFT, DriftReport, Limits, measure_drift
from sdk.monitor.hook import Alarm, Hook
from sdk.monitor.log_tables import LogTables, open_tables
from sdk.monitor.prediction_log import Entry, PredictionLog
from sdk.monitor.reference import Reference
from sdk.monitor.watch import DriftWatch
from tests.sdk.monitor.watched import REFERENCE_ROWS, darker, entries_of, pictures

WINDOW = 200


class _Fired:
    """A hook that remembers."""

    def __init__(self, failures: int = 0) -> None:
        self.told: list[dict[str, Any]] = []
        self.failures = failures

    def fire(self, told: dict[str, Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("not now")
        self.told.append(told)


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[LogTables]:
    found = open_tables(str(tmp_path / "log.db"), create=True)
    yield found
    found.engine.dispose()


@pytest.fixture(scope="module")
def reports() -> dict[str, Any]:
    """Windows: calm, drifted, and between the two."""
    reference = Reference.of([{"output.label": "ab"[at % 2]} for at in range(1000)], "test")
    assert reference is not None
    shares = {"calm": 50, "between": 70, "drifted": 90, "few": 90}
    return {
        name: measure_drift(
            reference,
            [
                {"output.label": "a" if at % 100 < share else "b"}
                for at in range(100 if name == "few" else 1000)
            ],
            model="light",
            version="abc",
        )
        for name, share in shares.items()
    }


@pytest.mark.parametrize(
    ("course", "fired"),
    [
        ("calm calm", 0),
        ("drifted drifted drifted", 1),
        ("drifted calm drifted", 2),
        ("drifted between drifted between drifted", 1),
        ("drifted few drifted", 1),
        ("few few", 0),
        ("between calm drifted calm calm drifted drifted", 2),
    ],
)
def test_alarm_fires_once_per_crossing(
    tables: LogTables, reports: dict[str, Any], course: str, fired: int
) -> None:
    hook = _Fired()
    alarm = Alarm(tables, hook)  # type: ignore[arg-type]
    seen = [alarm.see(reports[name]) for name in course.split()]
    assert seen.count(True) == len(hook.told) == fired
    assert alarm.raised("light", "abc") == (fired > 0)


def test_replicas_and_restarts_fire_once_together(tmp_path: Path, reports: dict[str, Any]) -> None:
    hook = _Fired()
    where = str(tmp_path / "log.db")
    start = threading.Barrier(8)

    def replica() -> None:
        mine = open_tables(where, create=True)
        start.wait(10)
        Alarm(mine, hook).see(reports["drifted"])  # type: ignore[arg-type]
        mine.engine.dispose()

    open_tables(where, create=True).engine.dispose()
    threads = [threading.Thread(target=replica) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.told) == 1
    again = open_tables(where, create=True)
    Alarm(again, hook).see(reports["drifted"])  # type: ignore[arg-type]
    again.engine.dispose()
    assert len(hook.told) == 1, "a restart does not raise it again"


def test_versions_have_alarms_of_their_own(tables: LogTables, reports: dict[str, Any]) -> None:
    from dataclasses import replace

    hook = _Fired()
    alarm = Alarm(tables, hook)  # type: ignore[arg-type]
    for version in ("abc", "def", "abc"):
        alarm.see(replace(reports["drifted"], version=version))
    assert [told["version"] for told in hook.told] == ["abc", "def"]


def test_hook_that_fails_is_tried_again(tables: LogTables, reports: dict[str, Any]) -> None:
    hook = _Fired(failures=1)
    alarm = Alarm(tables, hook)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="not now"):
        alarm.see(reports["drifted"])
    assert not alarm.raised("light", "abc")
    assert [alarm.see(reports["drifted"]) for _ in range(3)] == [True, False, False]


def test_command_gets_the_report(tmp_path: Path, reports: dict[str, Any]) -> None:
    out = tmp_path / "told.json"
    program = tmp_path / "retrain.py"
    program.write_text("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())")
    hook = Hook(shlex.join([sys.executable, str(program), str(out)]))
    hook.fire(reports["drifted"].to_dict())
    hook.wait()
    told = json.loads(out.read_text())
    assert (told["event"], told["status"], told["model"]) == ("drift", DRIFT, "light")
    assert told["drifted"] == ["output.label"]


def test_command_that_ends_badly_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(f"{sys.executable} -c 'raise SystemExit(3)'")
    hook.fire({})
    hook.wait()
    assert caplog.records[-1].fields == {"exit_code": 3}  # type: ignore[attr-defined]


class _Answering(HTTPServer):
    """Answers with a status and remembers what it was sent."""

    status = 200

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Answering

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Not on stderr."""


@pytest.fixture
def webhook() -> Iterator[_Answering]:
    with _Answering() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_webhook_is_posted_the_report(
    webhook: _Answering, tables: LogTables, reports: dict[str, Any]
) -> None:
    alarm = Alarm(tables, Hook(f"http://127.0.0.1:{webhook.server_port}/hook"))
    assert [alarm.see(reports["drifted"]) for _ in range(2)] == [True, False]
    assert [body["drifted"] for body in webhook.bodies] == [["output.label"]]


def test_webhook_that_refuses_is_tried_again(
    webhook: _Answering, tables: LogTables, reports: dict[str, Any]
) -> None:
    alarm = Alarm(tables, Hook(f"http://127.0.0.1:{webhook.server_port}/hook"))
    webhook.status = 500
    with pytest.raises(OSError, match="500"):
        alarm.see(reports["drifted"])
    webhook.status = 204
    assert alarm.see(reports["drifted"])


@pytest.mark.parametrize("what", ["no-such-program-anywhere --now", "'unbalanced", "", "  "])
def test_hook_that_is_none(what: str) -> None:
    with pytest.raises(UsageError, match="Option --on-drift: got"):
        Hook(what)


@pytest.fixture(scope="module")
def entries(watched_artifact: Path) -> dict[str, list[Entry]]:
    some = pictures()[REFERENCE_ROWS : REFERENCE_ROWS + 800]
    return {
        "unshifted": entries_of(watched_artifact, some),
        "shifted": entries_of(watched_artifact, darker(some)),
    }


class _Watched:
    """A log under watch, as a server has it."""

    def __init__(self, path: Path, artifact: Path, hook: _Fired) -> None:
        self.told: list[DriftReport] = []
        self.log = PredictionLog(str(path), written=self._written)
        manifest = read_artifact(artifact).manifest
        self._watch = DriftWatch(
            self.log.tables,
            window=WINDOW,
            limits=Limits(fewest=WINDOW),
            hook=hook,  # type: ignore[arg-type]
            told=self.told.append,
        )
        self._watch.know("light", manifest.payload_sha256[:12], manifest.reference)

    def _written(self, counts: Mapping[tuple[str, str], int]) -> None:
        self._watch.written(counts)

    def feed(self, entries: list[Entry]) -> None:
        for at in range(0, len(entries), 100):
            self.log.add(entries[at : at + 100])
            assert self.log.flush()


def test_watch_fires_once_for_a_stream_that_shifts(
    watched_artifact: Path, entries: dict[str, list[Entry]], tmp_path: Path
) -> None:
    hook, path = _Fired(), tmp_path / "log.db"
    watched = _Watched(path, watched_artifact, hook)
    watched.feed(entries["unshifted"])
    assert not hook.told
    watched.feed(entries["shifted"])
    watched.log.close()
    assert len(hook.told) == 1
    after_restart = _Watched(path, watched_artifact, hook)
    after_restart.feed(entries["shifted"])
    after_restart.log.close()
    assert len(hook.told) == 1
    statuses = [report.status for report in (*watched.told, *after_restart.told)]
    assert statuses.count(DRIFT) > 10, "it was seen many times"


def test_watch_survives_a_hook_that_fails(
    watched_artifact: Path, entries: dict[str, list[Entry]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = _Fired(failures=2)
    watched = _Watched(tmp_path / "log.db", watched_artifact, hook)
    watched.feed(entries["shifted"])
    watched.log.close()
    assert watched.log.rows == 800
    assert len(hook.told) == 1
    failed = [record.fields for record in caplog.records if record.message == "drift_check_failed"]  # type: ignore[attr-defined]
    assert [fields["reason"] for fields in failed] == ["not now", "not now"]
