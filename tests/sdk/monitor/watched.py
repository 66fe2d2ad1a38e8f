"""What tests of monitoring share: predictions of the light artifact on real pictures, and logs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from runtimes import Array
from sdk.artifact import read_artifact, write_artifact
from sdk.monitor.log_tables import MAIN
from sdk.monitor.prediction_log import Entry, PredictionLog, features_of
from sdk.monitor.reference import Reference, Row
from sdk.predictor import Predictor
from tests.light_artifact import write_light_artifact
from train.data.idx import read_idx

PICTURES = Path(__file__).resolve().parents[3] / "demos/data/fashion_mnist_sample/train-images-idx3-ubyte.gz"
REFERENCE_ROWS = 1000


@cache
def pictures() -> Array:
    """Real ones, uint8 (N, 28, 28), in an order that says nothing."""
    found = read_idx(PICTURES)
    return found[np.random.default_rng(0).permutation(len(found))]


def darker(items: Array) -> Array:
    """As after somebody turned a lamp off."""
    return (items * 0.8).astype(np.uint8)


def rows_of(path: Path, items: Sequence[Array] | Array) -> list[Row]:
    """Features of predictions."""
    return [features_of(entry.spec, entry.sample, entry.result) for entry in entries_of(path, items)]


def entries_of(
    path: Path, items: Sequence[Array] | Array, *, route: str = MAIN, at: float = 0.0
) -> list[Entry]:
    """Predictions as a log takes them, one request each, a second after another."""
    with Predictor(path, threads=1) as predictor:
        version = predictor.manifest.payload_sha256[:12]
        entries = []
        for number, item in enumerate(items):
            arrays, samples = predictor.prepare([item])
            result = predictor.finish(predictor.compute(arrays), samples)[0]
            entries.append(
                Entry("light", version, route, f"request{number}", 0, 2.0 + number % 3, predictor.spec,
                      samples[0], result, at + number)
            )  # fmt: skip
        return entries


def write_watched_artifact(path: Path) -> Path:
    """The light artifact with a reference of real pictures."""
    write_light_artifact(path)
    artifact = read_artifact(path)
    reference = Reference.of(rows_of(path, pictures()[:REFERENCE_ROWS]), "test")
    write_artifact(path, artifact.payload, replace(artifact.manifest, reference=reference))
    return path


def logged(where: Path, entries: Sequence[Entry]) -> Path:
    """A log file with these entries in it."""
    with PredictionLog(str(where)) as log:
        for at in range(0, len(entries), 500):
            log.add(entries[at : at + 500])
            assert log.flush(), "the log takes too long"
    return where
