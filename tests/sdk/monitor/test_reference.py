"""What artifacts remember of the predictions they were proved with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtimes import SpecError
from sdk.artifact import read_artifact, write_artifact
from sdk.artifact.manifest import Manifest
from sdk.monitor.reference import MOST_CATEGORIES, OTHER, POINTS, NumberReference, Reference, WordReference
from sdk.predictor import Predictor


def test_reference_comes_back_out_of_the_artifact(watched_artifact: Path) -> None:
    reference = read_artifact(watched_artifact).manifest.reference
    assert reference is not None
    assert (reference.split, reference.rows) == ("test", 1000)
    assert set(reference.words) == {"output.label"}
    assert {"input.brightness", "output.score"} <= set(reference.numbers)
    with Predictor(watched_artifact) as predictor:
        assert predictor.manifest.reference == reference


def test_reference_is_read_when_asked_for(watched_artifact: Path) -> None:
    manifest = read_artifact(watched_artifact).manifest
    assert "reference" not in vars(manifest)
    assert manifest.reference is not None
    assert "reference" in vars(manifest)


def test_manifest_without_a_reference(light_artifact: Path) -> None:
    assert read_artifact(light_artifact).manifest.reference is None


def test_manifest_of_the_version_before_is_read(watched_artifact: Path) -> None:
    tree = json.loads(read_artifact(watched_artifact).manifest.to_bytes())
    del tree["reference"]
    manifest = Manifest.from_bytes(json.dumps({**tree, "version": 3}).encode(), "old")
    assert manifest.reference is None
    assert Manifest.from_bytes(manifest.to_bytes(), "written again").reference is None
    with pytest.raises(SpecError, match="no key 'reference'"):
        Manifest.from_bytes(json.dumps(tree).encode(), "old")


def test_reference_that_holds_nothing_is_refused(tmp_path: Path, light_artifact: Path) -> None:
    artifact = read_artifact(light_artifact)
    tree = json.loads(replace(artifact.manifest, reference=Reference("test", 1, {}, {})).to_bytes())
    tree["reference"]["numbers"]["input.brightness"] = {"quantiles": "AAA", "count": 3}
    manifest = Manifest.from_bytes(json.dumps(tree).encode(), "artifact")
    with pytest.raises(SpecError, match=r"reference\.numbers\.input\.brightness: got no numbers"):
        manifest.reference  # noqa: B018
    path = tmp_path / "light.onnx"
    write_artifact(path, artifact.payload, artifact.manifest)
    with Predictor(path) as predictor:  # predicting does not look at it
        predictor.predict(np.zeros((28, 28), np.uint8))


def test_numbers_are_kept_as_quantiles() -> None:
    draw = np.random.default_rng(0)
    sample = draw.normal(size=5000)
    kept = NumberReference.of(sample)
    values = kept.values()
    assert (kept.count, len(values)) == (5000, POINTS)
    shares = np.searchsorted(np.sort(sample), values) / len(sample)
    assert np.abs(shares - (np.arange(POINTS) + 0.5) / POINTS).max() < 1 / POINTS
    assert NumberReference.of([3.0, 1.0]).values().tolist() == [1.0, 3.0], "few are all kept"


def test_words_beyond_the_most_frequent_are_others() -> None:
    words = [f"word{at}" for at in range(60) for _ in range(60 - at)]
    kept = WordReference.of(words)
    assert len(kept.counts) == MOST_CATEGORIES + 1
    assert kept.count == len(words)
    assert kept.counts[OTHER] == sum(range(1, 11))
    assert kept.tally(["word0", "word59", "never seen"]) == {"word0": 1, OTHER: 2}


def test_words_that_a_complete_reference_lacks_stay_themselves() -> None:
    assert WordReference.of(["a", "b"]).tally(["a", "c"]) == {"a": 1, "c": 1}


def test_reference_of_nothing_is_none() -> None:
    assert Reference.of([], "test") is None
    assert Reference.of([{}], "test") is None
