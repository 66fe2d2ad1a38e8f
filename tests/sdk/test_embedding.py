"""Embedding: unit length, results, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import EngineError, SpecError
from sdk import Predictor
from sdk.kinds import OutputKind, Sample
from sdk.outputs.embedding import EmbeddingOutput, unit_length
from sdk.results import Embedding
from tests.light_embedding import direction_of, plain, write_light_embedding

# float32 keeps seven digits; a handful of products and a root lose one.
ROUNDING = 1e-6


def samples(count: int) -> list[Sample]:
    return [Sample({}, Image.new("RGB", (20, 10), (200, 0, 0)), {}) for _ in range(count)]


def test_activate_scales_to_length_one() -> None:
    given = np.array([[3.0, 4.0], [-2.0, 0.0]], np.float32)
    vectors = EmbeddingOutput(2).activate({"embedding": given}, ())["embedding"]
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [-1.0, 0.0]], atol=ROUNDING)
    assert vectors.dtype == np.float32


def test_activate_leaves_to_the_graph_what_the_graph_does() -> None:
    given = np.array([[3.0, 4.0]], np.float32)
    assert EmbeddingOutput(2).activate({"embedding": given}, ("unit_length",))["embedding"] is given


def test_unit_length_of_zeros_is_zeros() -> None:
    np.testing.assert_array_equal(unit_length(np.zeros((1, 3), np.float32)), np.zeros((1, 3)))


def test_read_scales_what_an_average_or_rounding_shortened() -> None:
    (result,) = EmbeddingOutput(2).read({"embedding": np.array([[0.3, 0.4]], np.float32)}, samples(1))
    np.testing.assert_allclose(result.vector, [0.6, 0.8], atol=ROUNDING)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_read_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(EngineError, match="Output 'embedding': got NaN or infinity"):
        EmbeddingOutput(2).read({"embedding": np.array([[bad, 1.0]], np.float32)}, samples(1))


def test_one_dimension_is_no_embedding() -> None:
    with pytest.raises(SpecError, match=r"spec\.output\.dimensions: got 1"):
        EmbeddingOutput(1)


def test_kind_survives_json() -> None:
    output = EmbeddingOutput(64)
    assert OutputKind.from_json(json.loads(json.dumps(output.to_json())), "spec.output") == output


def test_predictor_gives_unit_vectors(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 0, 255), (200, 190, 180)]
    with Predictor(write_light_embedding(tmp_path / "e.onnx")) as predictor:
        results = predictor.predict([plain(colour) for colour in colours])
    for colour, result in zip(colours, results, strict=True):
        assert isinstance(result, Embedding)
        np.testing.assert_allclose(result.vector, direction_of(colour), atol=ROUNDING)
    # (1, -1, -1) and (-1, -1, 1), each of length √3.
    assert results[0].similarity(results[1]) == pytest.approx(-1 / 3, abs=ROUNDING)


def test_result_is_frozen_and_cannot_be_written_into() -> None:
    (result,) = EmbeddingOutput(2).read({"embedding": np.array([[3.0, 4.0]], np.float32)}, samples(1))
    with pytest.raises(ValueError, match="read-only"):
        result.vector[0] = 1.0
    with pytest.raises(AttributeError):
        result.vector = None
    assert "0.6" not in repr(result)


def test_result_to_dict_and_summary() -> None:
    vector = np.array([0.5, -0.5, 0.5, 0.5, 0.0], np.float32)
    result = Embedding(vector, None)
    assert json.loads(json.dumps(result.to_dict())) == {"vector": [0.5, -0.5, 0.5, 0.5, 0.0]}
    assert result.summary() == "5 dimensions: +0.500, -0.500, +0.500, +0.500, …"


@pytest.mark.parametrize("dimensions", [2, 64, 1000])
def test_result_plot_shows_picture_and_bars(dimensions: int) -> None:
    vector = np.linspace(-1, 1, dimensions).astype(np.float32)
    pixels = np.asarray(Embedding(vector, Image.new("RGB", (20, 10), (200, 0, 0))).plot()).astype(int)
    assert (pixels == (200, 0, 0)).all(axis=2).sum() > 10_000, "the picture itself"
    above, below = ((pixels == colour).all(axis=2).sum() for colour in ((37, 99, 235), (217, 119, 6)))
    assert above > 500
    # The same numbers with both signs: as many pixels up as down, but for rounding of each bar.
    assert below == pytest.approx(above, rel=0.1)
