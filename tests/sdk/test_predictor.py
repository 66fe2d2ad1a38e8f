"""`Predictor`: items to results, batches, threads, and what it refuses."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtimes import Dim, EngineError, EngineMissingError, InputError, SpecError, UsageError
from sdk import Predictor
from sdk.artifact import GoldenSample, write_artifact
from sdk.golden import make_golden_samples
from tests.sdk.conftest import (
    LABELS,
    ROWS,
    fake_payload,
    image_input,
    make_manifest,
    make_spec,
    picture,
)


def test_predict_one_item_and_a_list_keep_order(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor:
        assert predictor.predict(picture(1)).label == "shoe"
        results = predictor.predict([picture(i % 3) for i in range(70)])
    assert [r.label for r in results] == [LABELS[i % 3] for i in range(70)]
    assert predictor.runtime.calls[1:] == [(32, 4, 4, 3), (32, 4, 4, 3), (6, 4, 4, 3)]  # type: ignore[attr-defined]


def test_predict_empty_list_is_an_empty_list(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor:
        assert predictor.predict([]) == []


@pytest.mark.parametrize(
    ("batch", "asked", "calls"),
    [
        (Dim(1, 4), None, [4, 4, 2]),
        (Dim(1, 4), 3, [3, 3, 3, 1]),
        (Dim(4, 4), None, [4, 4, 4]),
        (Dim(1, 1), None, [1] * 10),
        (Dim(), 7, [7, 3]),
    ],
    ids=["bounded", "smaller", "fixed, last filled up", "one", "free"],
)
def test_predict_splits_to_what_the_artifact_allows(
    tmp_path: Path, batch: Dim, asked: int | None, calls: list[int]
) -> None:
    path = tmp_path / "product.fake"
    write_artifact(path, fake_payload(), make_manifest(make_spec(batch)))
    with Predictor(path, batch_size=asked) as predictor:
        results = predictor.predict([picture(i % 3) for i in range(10)])
        assert [shape[0] for shape in predictor.runtime.calls] == calls  # type: ignore[attr-defined]
    assert [r.label for r in results] == [LABELS[i % 3] for i in range(10)]


@pytest.mark.parametrize("asked", [0, -1, 5, 2.5])
def test_predictor_batch_size_outside_of_the_contract(tmp_path: Path, asked: int) -> None:
    path = tmp_path / "product.fake"
    write_artifact(path, fake_payload(), make_manifest(make_spec(Dim(1, 4))))
    with pytest.raises(UsageError, match=r"Option 'batch_size'.*expected 1\.\.4"):
        Predictor(path, batch_size=asked)


def test_predict_bad_item_in_a_list_is_named(fake_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    with Predictor(fake_artifact) as predictor:
        with pytest.raises(InputError, match=r"bad\.png"):
            predictor.predict([picture(0), tmp_path / "bad.png"])
        assert predictor.predict(picture(2)).label == "bag"


def test_predictor_after_close_is_an_error(fake_artifact: Path) -> None:
    predictor = Predictor(fake_artifact)
    predictor.close()
    with pytest.raises(EngineError, match=r"after close\(\)"):
        predictor.predict(picture(0))


def test_predictor_is_shared_between_threads(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: predictor.predict(picture(i % 3)).index, range(300)))
    assert results == [i % 3 for i in range(300)]


def test_outputs_are_activated_rows(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor:
        outputs = predictor.outputs([picture(2), picture(0)])
        np.testing.assert_allclose(outputs["scores"], [ROWS[2], ROWS[0]], rtol=1e-6)
        with pytest.raises(UsageError, match="got an empty list"):
            predictor.outputs([])


def test_measuring_batches_keep_no_pictures(fake_artifact: Path) -> None:
    with Predictor(fake_artifact, batch_size=2) as predictor:
        batches = list(predictor.measuring_batches([picture(i) for i in (0, 1, 2)]))
    assert [[r.index for r in results] for results, _, _ in batches] == [[0, 1], [2]]
    assert all(r.source is None for results, _, _ in batches for r in results)
    assert [outputs["scores"].shape for _, outputs, _ in batches] == [(2, 3), (1, 3)]


def _golden(row: int, shift: float) -> GoldenSample:
    item = image_input().encode(image_input().load(picture(row)).source)
    return GoldenSample.of(item, {"scores": np.asarray(ROWS[row], np.float32) + np.float32(shift)})


@pytest.mark.parametrize(
    ("shift", "holds"), [(0.0, True), (0.0009, True), (0.01, False), (float("nan"), False)]
)
def test_verify_holds_the_worst_difference_against_the_tolerance(
    tmp_path: Path, shift: float, holds: bool
) -> None:
    path = tmp_path / "product.fake"
    golden = (_golden(0, 0.0), _golden(1, shift))
    write_artifact(path, fake_payload(), make_manifest(make_spec(), golden, tolerance=1e-3))
    with Predictor(path) as predictor:
        found = predictor.verify()
    assert (found.holds, found.samples) == (holds, 2)


def test_verify_without_golden_samples_does_not_hold(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor:
        assert not predictor.verify().holds


def test_make_golden_samples_records_outputs_of_the_encoded_item(fake_artifact: Path) -> None:
    with Predictor(fake_artifact) as predictor:
        golden = make_golden_samples(predictor.spec, [picture(1), picture(2)], predictor.outputs)
        replayed = predictor.outputs([sample.item() for sample in golden])["scores"]
    stored = np.stack([sample.outputs["scores"].array() for sample in golden])
    np.testing.assert_array_equal(stored, replayed)


def test_predictor_graph_that_is_not_the_contracts(tmp_path: Path) -> None:
    path = tmp_path / "product.fake"
    payload = fake_payload().replace(b'"image"', b'"picture"')
    write_artifact(path, payload, make_manifest(make_spec()))
    with pytest.raises(SpecError, match=r"got a graph with \['picture: uint8"):
        Predictor(path)


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [
        (".onnx", "onnxruntime", r"edgewright\[onnx\]"),
        (".pte", "executorch", r"edgewright\[executorch\]"),
        (".safetensors", "torch", r"edgewright\[train\]"),
    ],
)
def test_predictor_missing_engine_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str, extra: str
) -> None:
    from tests.sdk.test_artifact import _payload

    monkeypatch.setitem(sys.modules, package, None)  # what an import of a missing package meets
    path = tmp_path / f"product{suffix}"
    write_artifact(path, _payload(suffix), make_manifest(make_spec()))
    with pytest.raises(EngineMissingError, match=f"pip install '{extra}'"):
        Predictor(path)


def test_onnx_provider_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from runtimes import DeviceError

    path = tmp_path / "product.onnx"
    write_artifact(path, b"never parsed", make_manifest(make_spec()))
    with pytest.raises(DeviceError, match=r"got CUDAExecutionProvider, expected only what"):
        Predictor(path, providers=("CUDAExecutionProvider", "CPUExecutionProvider"))


def test_altered_artifact_never_reaches_an_engine(
    fake_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(fake_artifact.read_bytes())
    data[-3] ^= 1
    fake_artifact.write_bytes(data)
    monkeypatch.setattr("sdk.graphs.open_runtime", lambda *a, **k: pytest.fail("a parser saw altered bytes"))
    with pytest.raises(Exception, match="do not match its own hash"):
        Predictor(fake_artifact)
