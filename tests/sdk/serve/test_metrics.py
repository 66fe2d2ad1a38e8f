"""What a server measures, as a scraper sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from runtimes import InputError, UsageError
from sdk.monitor.drift import DriftReport, FeatureDrift, Limits
from sdk.serve.batching import Answer, BatchRecord, Work
from sdk.serve.exchanges import Exchange
from sdk.serve.metric_families import FAMILIES, HISTOGRAM, REASONS
from sdk.serve.metrics import SCRAPE_TYPE, Metrics
from sdk.serve.problems import TITLES
from sdk.serve.shared_metrics import SHARED_FOLDER, forget_replica, shared_metrics, summed
from tests.served import running

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
ONE = """
import sys
from sdk.serve.metrics import SCRAPE_TYPE, Metrics
from sdk.serve import metric_families as families
metrics = Metrics()
metrics.refused("queue_full", "shop")
metrics.of(families.READY).set(1)
metrics.of(families.BATCH_ITEMS, "shop", "aa").observe(4)
if "drift" in sys.argv:
    metrics.of(families.DRIFTED, "shop", "aa").set(5)
if "tell" in sys.argv:
    print(metrics.scraped().decode())
"""
ENDED = 40
SETTLED_S = 10.0
REFUSED = ("edgewright_rejections_total", {"model": "shop", "reason": "queue_full"})


def read(text: str) -> Series:
    """Every series of a scrape, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(series: Series, name: str, **labels: str) -> float:
    """The sum of all series of a name that have these labels."""
    return sum(value for (found, has), value in series.items() if found == name and labels.items() <= has)


def scraped(metrics: Metrics) -> Series:
    return read(metrics.scraped().decode())


@pytest.fixture(scope="module")
def connection(light_artifact: Path) -> Iterator[HTTPConnection]:
    with running({"light": light_artifact}) as server:
        connection = HTTPConnection(*server.place, timeout=30)
        yield connection
        connection.close()


def ask(connection: HTTPConnection, path: str, body: bytes | None = None) -> tuple[int, str]:
    kind = {"Content-Type": "image/png"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, body, kind)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def picture() -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((28, 28), 250, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_scrape_counts_what_was_asked_and_answered(connection: HTTPConnection, picture: bytes) -> None:
    before = read(ask(connection, "/metrics")[1])

    for body in (picture, picture, b"no picture"):
        ask(connection, "/v1/models/light:predict", body)
    ask(connection, "/v1/models/none")

    after = before

    def more(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    until = time.monotonic() + SETTLED_S  # a batch is counted when its answers are out already
    while more("edgewright_items_total", model="light") < 3 and time.monotonic() < until:
        after = read(ask(connection, "/metrics")[1])

    assert more("edgewright_requests_total", model="light", endpoint="predict", status="200") == 2
    assert more("edgewright_requests_total", model="light", endpoint="predict", status="422") == 1
    assert more("edgewright_rejections_total", model="light", reason="unusable") == 1
    assert more("edgewright_rejections_total", model="", reason="not_found") == 1
    assert more("edgewright_items_total", model="light", outcome="answered") == 2
    assert more("edgewright_items_total", model="light", outcome="unusable") == 1
    assert more("edgewright_batch_items_sum", model="light") == 2
    assert more("edgewright_phase_seconds_count", model="light", phase="queue") == 3
    assert more("edgewright_request_seconds_count", model="light", endpoint="predict") == 3
    assert more("edgewright_phase_seconds_sum", model="light", phase="compute") > 0


def test_scrape_tells_the_state_of_the_server(connection: HTTPConnection, light_artifact: Path) -> None:
    series = read(ask(connection, "/metrics")[1])

    assert total(series, "edgewright_ready_replicas") == 1
    assert total(series, "edgewright_version_replicas", model="light", runtime="onnxruntime") == 1
    assert total(series, "edgewright_queue_limit_items", model="light") == 512
    assert total(series, "edgewright_requests_in_flight") == 1
    assert 10e6 < total(series, "edgewright_resident_memory_bytes") < 10e9
    assert total(series, "edgewright_cpu_seconds_total") > 0


@pytest.mark.parametrize("accepts", ["application/openmetrics-text;version=x", "*/*"])
def test_scrape_has_one_form_whatever_is_accepted(connection: HTTPConnection, accepts: str) -> None:
    connection.request("GET", "/metrics", headers={"Accept": accepts})
    answer = connection.getresponse()

    assert (answer.status, answer.getheader("Content-Type")) == (200, SCRAPE_TYPE)
    assert answer.read().startswith(b"# HELP edgewright_")


def test_words_of_clients_do_not_become_labels(connection: HTTPConnection, picture: bytes) -> None:
    def size() -> int:
        return len(read(ask(connection, "/metrics")[1]))

    for path, body in (("/v1/models/first:predict", picture), ("/v1/models/first", None), ("/first", None)):
        ask(connection, path, body)
    ask(connection, "/metrics")
    before = size()
    for number in range(20):
        ask(connection, f"/v1/models/m{number}:predict", picture)
        ask(connection, f"/v1/models/m{number}")
        ask(connection, f"/elsewhere/{number}")
    text = ask(connection, "/metrics")[1]

    assert "m19" not in text and "elsewhere" not in text
    assert size() == before


def test_every_metric_is_scraped_with_its_help() -> None:
    text = Metrics().scraped().decode()

    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n" in text
    assert "_created" not in text


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_metric_is_named_after_its_unit(family: Any) -> None:
    assert (family.kind == "counter") == family.name.endswith("_total")
    assert (family.kind == HISTOGRAM) == bool(family.buckets)
    assert list(family.buckets) == sorted(set(family.buckets))


def test_every_problem_has_a_reason() -> None:
    assert set(REASONS) == set(TITLES)
    assert len(set(REASONS.values())) == len(REASONS)


@pytest.mark.parametrize(("status", "reason"), [(429, "queue_full"), (504, "deadline"), (401, "no_key")])
def test_refused_request_is_counted_by_its_reason(status: int, reason: str) -> None:
    metrics = Metrics()

    metrics.request(Exchange("POST", "/x", "predict", "shop", "", status, 0.1, 1, 1, ""))

    assert total(scraped(metrics), "edgewright_rejections_total", model="shop", reason=reason) == 1


def test_batch_is_counted_by_item_and_by_phase() -> None:
    metrics, version = Metrics(), _version("shop", "aa")
    works = [Work(entered_s=at) for at in (1.0, 1.5, 2.0)]
    outcomes = [Answer(None, {}, b""), InputError("a", got="b", expected="c", fix="d"), RuntimeError()]

    metrics.batch(version, BatchRecord(works, outcomes, 2, 0.1, 0.2, 0.3, 2.0))

    series = scraped(metrics)
    assert total(series, "edgewright_phase_seconds_sum", phase="queue") == pytest.approx(1.5)
    for phase, seconds in (("load", 0.1), ("compute", 0.2), ("finish", 0.3)):
        assert total(series, "edgewright_phase_seconds_sum", phase=phase) == pytest.approx(seconds)
    for outcome in ("answered", "unusable", "failed"):
        assert total(series, "edgewright_items_total", version="aa", outcome=outcome) == 1


def test_replaced_version_is_shown_with_no_process() -> None:
    metrics = Metrics()

    metrics.sample([_version("shop", "old", waiting=7)], True, 512)
    metrics.sample([_version("shop", "new", waiting=2)], True, 512)

    series = scraped(metrics)
    assert total(series, "edgewright_version_replicas", version="old") == 0
    assert total(series, "edgewright_version_replicas", version="new", precision="int8") == 1
    assert total(series, "edgewright_queue_items", model="shop") == 2


def test_what_alerts_are_about_begins_at_zero() -> None:
    metrics = Metrics()

    metrics.sample([_version("shop", "aa")], True, 512)

    text = metrics.scraped().decode()
    assert 'edgewright_swaps_total{model="shop",outcome="refused"} 0.0' in text
    assert 'edgewright_rejections_total{model="shop",reason="engine"} 0.0' in text


def test_swaps_restarts_and_rows_of_the_log_are_counted() -> None:
    metrics = Metrics()

    metrics.swapped("shop", True)
    metrics.swapped("shop", False)
    metrics.restarted()
    metrics.logged({"written": 5, "dropped": 1})
    metrics.logged({"written": 9, "dropped": 1})

    series = scraped(metrics)
    assert total(series, "edgewright_swaps_total", outcome="swapped") == 1
    assert total(series, "edgewright_swaps_total", outcome="refused") == 1
    assert total(series, "edgewright_replica_restarts_total") == 1
    assert total(series, "edgewright_prediction_log_rows_total", outcome="written") == 9
    assert total(series, "edgewright_prediction_log_rows_total", outcome="dropped") == 1


def test_drift_is_shown_by_feature() -> None:
    metrics = Metrics()
    shifted = FeatureDrift("input.brightness", "number", 0.9, 0.4, 0.001, 500, 1000, True)
    still = FeatureDrift("output.label", "word", 0.01, None, 1.0, 500, 1000, False)

    metrics.drift(DriftReport("shop", "aa", 500, None, None, "test", Limits(), (shifted, still)))

    series = scraped(metrics)
    assert total(series, "edgewright_drifted_features", model="shop", version="aa") == 1
    assert total(series, "edgewright_drift_score", feature="input.brightness", statistic="psi") == 0.9
    assert total(series, "edgewright_drift_score", feature="input.brightness", statistic="ks") == 0.4
    assert total(series, "edgewright_drift_score", feature="output.label") == 0.01


def test_replicas_add_up_and_the_dead_only_count(root: Path) -> None:
    with shared_metrics() as variables:
        folder = Path(variables[SHARED_FOLDER])
        first = _replica(root, variables)
        second = _replica(root, variables, "tell")
        forget_replica(folder, first.pid)
        forget_replica(folder, second.pid)
        third = _replica(root, variables, "tell")
        files = {path.name for path in folder.glob("*.db") if str(third.pid) not in path.name}

    two, three = read(second.said), read(third.said)
    assert total(two, "edgewright_rejections_total", reason="queue_full") == 2
    assert total(two, "edgewright_ready_replicas") == 2
    assert total(three, "edgewright_rejections_total", reason="queue_full") == 3
    assert total(three, "edgewright_batch_items_count") == 3
    assert total(three, "edgewright_batch_items_sum") == 12
    assert total(three, "edgewright_ready_replicas") == 1
    assert files == {"counter_ended.db", "histogram_ended.db"}
    assert not folder.exists()


def test_scrape_counts_nothing_twice_while_replicas_end(root: Path) -> None:
    with shared_metrics() as variables:
        folder = Path(variables[SHARED_FOLDER])
        model = _replica(root, variables)
        for number in range(1, ENDED):
            shutil.copy(folder / f"counter_{model.pid}.db", folder / f"counter_{number}.db")
        forgetting = threading.Thread(
            target=lambda: [forget_replica(folder, number) for number in range(1, ENDED)]
        )
        found = set()
        forgetting.start()
        while forgetting.is_alive():
            with summed(folder) as registry:
                found.add(registry.get_sample_value(*REFUSED))
        forgetting.join()
        with summed(folder) as registry:
            found.add(registry.get_sample_value(*REFUSED))

    assert found == {ENDED}


def test_newest_drift_outlives_the_replica_that_measured_it(root: Path) -> None:
    with shared_metrics() as variables:
        measured = _replica(root, variables, "drift")
        forget_replica(Path(variables[SHARED_FOLDER]), measured.pid)
        other = _replica(root, variables, "tell")

    assert total(read(other.said), "edgewright_drifted_features", model="shop") == 5


def test_shared_folder_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_FOLDER, "/nowhere")

    with pytest.raises(UsageError, match="PROMETHEUS_MULTIPROC_DIR: got /nowhere, expected a folder that is"):
        Metrics()


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(UsageError, match=r"pip install 'edgewright\[serve,onnx\]'"):
        Metrics()


def _version(model: str, label: str, waiting: int = 0) -> Any:
    evidence = SimpleNamespace(precision={"requested": "int8"})
    predictor = SimpleNamespace(
        runtime=SimpleNamespace(name="onnxruntime"),
        spec=SimpleNamespace(task="product"),
        manifest=SimpleNamespace(evidence=evidence),
    )
    batcher = SimpleNamespace(waiting=waiting)
    return SimpleNamespace(model=model, label=label, predictor=predictor, batcher=batcher)


def _replica(root: Path, variables: Any, *arguments: str) -> Any:
    """Run a process that counts one refusal, to its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", ONE, *arguments],
        env={**os.environ, **variables, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return SimpleNamespace(pid=process.pid, said=said)
