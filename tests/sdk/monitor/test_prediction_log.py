"""The prediction log: what is in it, and what it does under pressure."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import EngineMissingError, UsageError
from sdk.monitor import prediction_log
from sdk.monitor.log_reading import models_in, read_log
from sdk.monitor.log_tables import MAIN, SHADOW, open_tables
from sdk.monitor.prediction_log import Entry, PredictionLog, sampled
from sdk.predictor import Predictor
from tests.sdk.monitor.watched import entries_of, logged, pictures


@pytest.fixture(scope="module")
def entries(watched_artifact: Path) -> list[Entry]:
    return entries_of(watched_artifact, pictures()[:40], at=1000.0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    with PredictionLog(str(tmp_path / "log.db")) as found:
        yield found


def test_log_holds_features_and_answers(entries: list[Entry], tmp_path: Path) -> None:
    tables = open_tables(str(logged(tmp_path / "log.db", entries)), create=False)
    rows = read_log(tables)
    assert [row.request for row in rows] == [entry.request for entry in entries], "oldest first"
    first, entry = rows[0], entries[0]
    assert (first.at, first.version, first.route, first.item) == (1000.0, entry.version, MAIN, 0)
    assert first.features["output.label"] == entry.result.label
    assert first.features["output.score"] == pytest.approx(entry.result.score, rel=1e-6)
    assert first.features["input.brightness"] == pytest.approx(pictures()[0].mean() / 255, rel=1e-5)
    assert list(models_in(tables)) == [("light", entry.version, 40)]
    tables.engine.dispose()


def test_log_can_be_read_in_part(entries: list[Entry], log: PredictionLog) -> None:
    log.add([*entries[:10], *(entry._replace(route=SHADOW) for entry in entries[10:20])])
    assert log.flush()
    asked = {
        "last": (read_log(log.tables, last=3), [1007, 1008, 1009]),
        "since": (read_log(log.tables, since=1008.0), [1008, 1009]),
        "until": (read_log(log.tables, until=1002.0), [1000, 1001]),
        "route": (read_log(log.tables, routes=(SHADOW,), last=1), [1019]),
        "model": (read_log(log.tables, "another"), []),
        "version": (read_log(log.tables, "light", "another"), []),
    }
    assert {name: [row.at for row in rows] for name, (rows, _) in asked.items()} == {
        name: expected for name, (_, expected) in asked.items()
    }


def test_log_holds_no_payload(watched_artifact: Path, tmp_path: Path) -> None:
    """Pixels that would be recognised are neither in the file nor in what SQLite keeps beside it."""
    secret = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)
    path = logged(tmp_path / "log.db", entries_of(watched_artifact, [secret] * 5))
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"input.brightness" in kept
    assert secret.tobytes()[:32] not in kept
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(edgewright_predictions)")]
    connection.close()
    assert columns == [
        "id", "at", "model", "version", "route", "request", "item", "latency_ms", "features",
    ]  # fmt: skip


def test_log_that_cannot_keep_up_drops_and_counts(
    entries: list[Entry], log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "MOST_WAITING", 5)
    go = threading.Event()
    write = log._write
    monkeypatch.setattr(log, "_write", lambda rows: (go.wait(10), write(rows))[1])
    log.add(entries)
    log.add(entries)
    go.set()
    assert log.flush()
    assert log.dropped + log.rows == 2 * len(entries)
    assert 5 <= log.rows <= 10


def test_log_bounds_the_memory_it_holds(
    entries: list[Entry], log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "MOST_WAITING_BYTES", 3 * 2700)
    log.add(entries)
    assert log.flush()
    assert (log.rows, log.dropped) == (3, 37), "a picture of 28 × 28, its source, and a kB"


def test_log_that_fails_goes_on(
    entries: list[Entry], log: PredictionLog, caplog: pytest.LogCaptureFixture
) -> None:
    with log.tables.engine.begin() as connection:
        log.tables.predictions.drop(connection)
    log.add(entries[:4])
    assert log.flush()
    assert (log.rows, log.failed) == (0, 4)
    assert caplog.records[-1].fields["rows_lost"] == 4  # type: ignore[attr-defined]
    log.tables.predictions.create(log.tables.engine)
    log.add(entries[:3])
    assert log.flush()
    assert (log.rows, log.failed) == (3, 4)


def test_program_without_a_server_writes_the_same(watched_artifact: Path, log: PredictionLog) -> None:
    with Predictor(watched_artifact, batch_size=4) as predictor:
        results = log.predict(predictor, list(pictures()[:10]), "shop")
        again = predictor.predict(list(pictures()[:10]))
        version = predictor.manifest.label
    assert log.flush()
    rows = read_log(log.tables, "shop", version)
    assert results == again
    assert [row.item for row in rows] == list(range(10))
    assert len({row.request for row in rows}) == 1
    assert [row.features["output.label"] for row in rows] == [result.label for result in results]


def test_closed_log_takes_nothing(entries: list[Entry], tmp_path: Path) -> None:
    log = PredictionLog(str(tmp_path / "log.db"))
    log.add(entries[:2])
    log.close()
    log.add(entries[:2])
    assert (log.rows, log.dropped) == (2, 2), "what was handed over before is written"


def test_log_whose_database_hangs_is_given_up(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "CLOSE_S", 0.1)
    log, go, hung = PredictionLog(str(tmp_path / "log.db")), threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hung.set()
        go.wait(20)

    monkeypatch.setattr(log, "_write", hang)
    log.add(entries[:2])
    assert hung.wait(10)
    log.add(entries[:5])
    log.close()
    assert log.failed == 5, "those that were never handed to the database"
    go.set()
    log._thread.join(10)
    assert not log._thread.is_alive()
    log.tables.engine.dispose()


def test_two_writers_may_share_one_log(entries: list[Entry], tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with PredictionLog(str(path)) as one, PredictionLog(str(path)) as other:
        for _ in range(5):
            one.add(entries)
            other.add(entries)
        assert one.flush()
        assert other.flush()
        assert len(read_log(one.tables)) == 10 * len(entries)
        assert one.failed == other.failed == 0


def test_replicas_may_make_a_log_at_the_same_moment(tmp_path: Path) -> None:
    for attempt in range(10):
        start, made = threading.Barrier(6), []

        def make(where: str, start: threading.Barrier = start, made: list[Any] = made) -> None:
            start.wait(10)
            made.append(open_tables(where, create=True))

        where = str(tmp_path / f"log{attempt}.db")
        threads = [threading.Thread(target=make, args=(where,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 6
        for tables in made:
            tables.engine.dispose()


def test_share_of_requests_is_the_same_everywhere(entries: list[Entry], tmp_path: Path) -> None:
    with PredictionLog(str(tmp_path / "log.db"), share=0.5) as log:
        log.add(entries)
        assert log.flush()
        kept = [row.request for row in read_log(log.tables)]
    assert kept == [entry.request for entry in entries if sampled(entry.request, 0.5)]
    assert 0.45 < np.mean([sampled(f"request{at}", 0.5) for at in range(4000)]) < 0.55
    assert not any(sampled(f"request{at}", 0.0) for at in range(100))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("{folder}/gone/log.db", "Log: got a database that cannot be opened"),
        ("nothing://here", "Log: got a database that cannot be opened"),
        ("://", "Log: got a database that cannot be opened"),
    ],
)
def test_log_that_cannot_be_opened(tmp_path: Path, where: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        PredictionLog(where.format(folder=tmp_path))
    assert "\n" not in str(caught.value)


def test_log_of_a_database_without_its_driver() -> None:
    with pytest.raises(
        EngineMissingError, match="Prediction log: got no usable the database's driver|driver"
    ):
        PredictionLog("oracle+cx_oracle://somewhere/db")


def test_log_without_sqlalchemy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy.exc", None)
    with pytest.raises(EngineMissingError, match=r"pip install 'edgewright\[serve\]'"):
        PredictionLog(str(tmp_path / "log.db"))


@pytest.mark.parametrize(
    "content", [None, b"", b"no database at all" * 100], ids=["missing", "empty", "other"]
)
def test_log_to_read_has_to_be_there(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "log.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="^Log: got"):
        open_tables(str(path), create=False)
