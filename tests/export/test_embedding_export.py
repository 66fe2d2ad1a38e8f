"""An embedding model in every runtime: trained, exported, proved, and one gallery for all of its files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from export.bakers.embedding import UnitLength
from export.pipeline import export_artifacts
from export.pruning import prune_checkpoint
from export.recipe import Recipe
from sdk import Predictor, read_artifact
from sdk.artifact import NOT_RUN, PROVED
from sdk.gallery import Gallery
from sdk.outputs.embedding import EMBEDDING, unit_length
from train.data.idx import IdxFolder
from train.loop import train
from train.options import make_options

# Sums of float32 products in another order, through eight layers, scaled to length one.
FP32_TOLERANCE = 1e-5
NEIGHBOURS = 3


@pytest.fixture(scope="module")
def model(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after one epoch on 1,500 pictures."""
    out = tmp_path_factory.mktemp("embedding")
    options = make_options("embedding", small_data, out, epochs=1, dimensions=16, threads=1, device="cpu")
    return train(options).checkpoint


def test_baked_scaling_is_the_formula_of_the_host() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32) * 100
    vectors[3] = 0.0
    baked = UnitLength()(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(baked, unit_length(vectors), atol=1e-6)
    np.testing.assert_array_equal(baked[3], 0.0)


def test_one_gallery_serves_every_file_of_the_model(model: Path, small_data: Path, tmp_path: Path) -> None:
    exported = export_artifacts(model, ["onnx", "pte"], out=tmp_path)
    shelf = IdxFolder(small_data).read("train")
    queries = list(IdxFolder(small_data).read("test").items[:20])
    with Predictor(model) as predictor:
        gallery = Gallery.of(predictor.artifact)
        for label, embedding in zip(
            shelf.targets[:200], predictor.predict(list(shelf.items[:200])), strict=True
        ):
            gallery.add(shelf.labels[label], embedding)
        expected = predictor.outputs(queries)[EMBEDDING]
    wanted = [gallery.match(vector, top_k=NEIGHBOURS) for vector in expected]
    stored = Gallery.load(gallery.save(tmp_path / "shelf.npz"))

    for made in exported:
        evidence = made.evidence
        assert (evidence.status, evidence.metrics[0].name) == (PROVED, "recall@1")
        assert evidence.parity is not None
        assert evidence.parity.agreement == 1.0
        assert made.artifact.spec.baked[-1] == "unit_length"
        with Predictor(made.path) as predictor:
            stored.require_model(predictor.artifact)
            found = predictor.outputs(queries)[EMBEDDING]
            results = predictor.predict(queries)
        np.testing.assert_allclose(found, expected, atol=FP32_TOLERANCE)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=FP32_TOLERANCE)
        for result, matches in zip(results, wanted, strict=True):
            near = stored.match(result, top_k=NEIGHBOURS)
            assert [m.similarity for m in near] == pytest.approx([m.similarity for m in matches], abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_tensorrt_engine_is_built(model: Path, tmp_path: Path) -> None:
    (made,) = export_artifacts(model, ["trt"], recipe=Recipe(precision="fp16"), out=tmp_path)
    assert made.evidence.status in (NOT_RUN, PROVED)
    (output,) = read_artifact(made.path).spec.graph().outputs
    assert (output.name, output.dtype, output.shape[1:]) == (EMBEDDING, "float32", (16,))
    assert made.evidence.precision["layers"]["CONVOLUTION"] == {"float16": 9}


@pytest.mark.slow
def test_views_are_averaged_alike_in_the_graph(small_data: Path, tmp_path: Path) -> None:
    options = make_options(
        "embedding", small_data, tmp_path, epochs=1, dimensions=16, tta=("mirror",), threads=1, device="cpu"
    )
    (made,) = export_artifacts(train(options).checkpoint, ["onnx"])
    assert made.evidence.parity is not None
    assert made.evidence.parity.worst_difference < FP32_TOLERANCE
    with Predictor(made.path) as predictor:
        vector = predictor.predict(IdxFolder(small_data).read("test").items[0]).vector
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=FP32_TOLERANCE)


@pytest.mark.slow
def test_pruned_model_keeps_its_dimensions(model: Path, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned.safetensors"
    prune_checkpoint(model, 0.3, data=small_data, out=out, epochs=1, threads=1)
    before, after = read_artifact(model), read_artifact(out)
    assert after.spec.output == before.spec.output
    assert after.size_bytes < 0.7 * before.size_bytes
    assert "distillation" in after.manifest.evidence.facts, "it learned from the whole model's vectors"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "pte"])
def test_int8_keeps_what_is_found(model: Path, tmp_path: Path, target: str) -> None:
    (made,) = export_artifacts(model, [target], recipe=Recipe(precision="int8"), out=tmp_path, max_drop=3.0)
    assert made.evidence.status == PROVED
    assert made.evidence.parity is not None
    assert made.evidence.parity.agreement > 0.9
