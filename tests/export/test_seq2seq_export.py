"""An encoder and a decoder in every runtime: one file, the same texts, greedy and with beams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.pipeline import export_artifacts
from export.recipe import Recipe
from sdk import Predictor, read_artifact
from sdk.artifact import NOT_RUN, PROVED
from sdk.outputs.decoded_text import PROBABILITIES
from tests.train.small_pairs import QUICK_PAIRS, write_number_pairs
from train.loop import train
from train.options import make_options

FP32_TOLERANCE = 1e-5
"""Of probabilities: sums of float32 products in another order, through some dozen steps."""
TEXTS = ["three one four", "two", "four four", "one two three four", "five"]
"""Longer and shorter than what was learned from, and with an unknown word."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_number_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def model(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learned a little, and reads four words at most."""
    out = tmp_path_factory.mktemp("seq2seq")
    options = make_options("seq2seq", pairs, out, **{**QUICK_PAIRS, "epochs": 4, "max_source_tokens": 4})
    return train(options).checkpoint


@pytest.mark.slow
def test_every_runtime_writes_the_same_texts(model: Path, pairs: Path, tmp_path: Path) -> None:
    exported = export_artifacts(model, ["onnx", "pte"], data=pairs, out=tmp_path)
    with Predictor(model) as predictor:
        wanted = predictor.predict(TEXTS)
        probabilities = predictor.outputs(TEXTS)[PROBABILITIES]
        wide = predictor.generate(TEXTS, beams=3)
    for made in exported:
        assert made.evidence.status == PROVED
        assert made.evidence.parity.agreement == 1.0
        with Predictor(made.path) as predictor:
            found = predictor.predict(TEXTS)
            apart = np.abs(predictor.outputs(TEXTS)[PROBABILITIES] - probabilities).max()
            assert [one.text for one in found] == [one.text for one in wanted], made.path.name
            assert apart < FP32_TOLERANCE, made.path.name
            np.testing.assert_allclose(
                found[0].attention.weights, wanted[0].attention.weights, atol=FP32_TOLERANCE
            )
            # More beams than the batch that some of these artifacts end at.
            again = predictor.generate(TEXTS, beams=3)
            assert [(one.text, *(o.text for o in one.alternatives)) for one in again] == [
                (one.text, *(o.text for o in one.alternatives)) for one in wide
            ], made.path.name
            assert predictor.verify().holds


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-weights"])
def test_decoder_is_compressed_as_a_whole(model: Path, pairs: Path, tmp_path: Path, precision: str) -> None:
    (made,) = export_artifacts(
        model, ["onnx"], recipe=Recipe(precision), data=pairs, out=tmp_path, max_drop=100
    )
    weights = made.evidence.precision["weights"]
    assert weights["int8"] > weights.get("float32", 0)
    with Predictor(made.path) as predictor:
        assert len(predictor.predict(TEXTS)) == len(TEXTS)
        assert {graph.name for graph in predictor.spec.graphs} == {"main", "step"}


@pytest.mark.slow
def test_engine_of_both_graphs_is_built(model: Path, pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: no builder here")
    (made,) = export_artifacts(model, ["trt"], data=pairs, out=tmp_path)
    built = read_artifact(made.path)
    assert built.manifest.evidence.status in (NOT_RUN, PROVED)
    assert [graph.name for graph in built.spec.graphs] == ["main", "step"]
