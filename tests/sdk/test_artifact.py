"""Artifact files: round trip in every format, and no altered byte gets past the hash."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import ArtifactError, SpecError, UsageError
from sdk.artifact import (
    GoldenSample,
    Manifest,
    StoredArray,
    onnx_file,
    pte_file,
    read_artifact,
    write_artifact,
)
from sdk.artifact.evidence import LARGEST_VALUES, SPREAD_VALUES
from tests.sdk.conftest import make_manifest, make_spec

HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


def _payload(suffix: str) -> bytes:
    body = random.Random(5).randbytes(300)
    if suffix == ".pte":
        return body + pte_file.reserve(3000).encode() + body[::-1]
    if suffix == ".safetensors":
        return struct.pack("<Q", len(HEADER)) + HEADER + b"\x00\x01\x02\x03\x04\x05\x06\x07"
    return body


SUFFIXES = [".onnx", ".pte", ".trt", ".engine", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"product{request.param}"
    golden = GoldenSample.of(b"png", {"scores": np.array([0.25, 0.75], np.float32)})
    write_artifact(path, _payload(request.param), make_manifest(make_spec(), (golden,)))
    return path


def test_artifact_round_trip(written: Path) -> None:
    artifact = read_artifact(written)
    assert artifact.spec == make_spec()
    assert artifact.size_bytes == written.stat().st_size
    (sample,) = artifact.manifest.samples
    assert sample.item() == b"png"
    np.testing.assert_array_equal(sample.outputs["scores"].array(), np.array([0.25, 0.75], np.float32))


def test_artifact_written_twice_is_the_same_file(written: Path, tmp_path: Path) -> None:
    artifact = read_artifact(written)
    again = tmp_path / f"again{artifact.suffix}"
    write_artifact(again, artifact.payload, artifact.manifest)
    assert again.read_bytes() == written.read_bytes()


def test_artifact_any_flipped_bit_is_noticed(written: Path) -> None:
    data = written.read_bytes()
    generator = random.Random(11)
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << generator.randrange(8)
        written.write_bytes(altered)
        with pytest.raises((ArtifactError, SpecError)) as caught:
            read_artifact(written)
        assert "\n" not in str(caught.value)


def test_artifact_any_truncation_is_noticed(written: Path) -> None:
    data = written.read_bytes()
    for length in range(0, len(data), 17):
        written.write_bytes(data[:length])
        with pytest.raises((ArtifactError, SpecError)):
            read_artifact(written)


def test_artifact_appended_bytes_are_noticed(written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"more")
    with pytest.raises(ArtifactError, match="Copy it again"):
        read_artifact(written)


def test_artifact_onnx_contract_is_read_by_the_onnx_package(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from tests.runtimes.conformance_subjects import onnx_program

    path = tmp_path / "product.onnx"
    artifact = write_artifact(path, onnx_program().data, make_manifest(make_spec()))
    model = onnx.load(path)
    onnx.checker.check_model(model)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert Manifest.from_bytes(found["edgewright"].encode(), "x") == artifact.manifest


def test_artifact_onnx_second_contract_replaces_the_first(tmp_path: Path) -> None:
    first = write_artifact(tmp_path / "a.onnx", b"model", make_manifest(make_spec()))
    whole = (tmp_path / "a.onnx").read_bytes()
    second = write_artifact(tmp_path / "b.onnx", whole, first.manifest)
    assert second.payload == b"model"
    assert onnx_file.canonical(whole) == b"model"


def test_artifact_safetensors_is_read_by_the_safetensors_package(tmp_path: Path) -> None:
    numpy_loader = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "product.safetensors"
    payload = numpy_loader.save({"w": np.arange(5, dtype=np.float32), "b": np.ones((2, 3), np.float16)})
    write_artifact(path, payload, make_manifest(make_spec()))
    found = numpy_loader.load_file(path)
    np.testing.assert_array_equal(found["w"], np.arange(5, dtype=np.float32))
    assert found["b"].shape == (2, 3)


def test_artifact_pte_manifest_too_large_for_its_blank(tmp_path: Path) -> None:
    payload = b"program" + pte_file.reserve(50).encode()
    with pytest.raises(ArtifactError, match="expected at most 50. Export again with fewer"):
        write_artifact(tmp_path / "a.pte", payload, make_manifest(make_spec()))
    assert list(tmp_path.iterdir()) == []


def test_artifact_pte_without_a_blank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="got no blank for the contract"):
        write_artifact(tmp_path / "a.pte", b"program", make_manifest(make_spec()))


@pytest.mark.parametrize("name", ["product.tflite", "product", "product.ONNX.zip"])
def test_artifact_unknown_suffix_names_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"expected one of \.onnx, \.pte, \.trt, \.engine, \.safetensors"):
        read_artifact(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_artifact_empty_and_missing_files(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        read_artifact(tmp_path / f"gone{suffix}")
    (tmp_path / f"empty{suffix}").write_bytes(b"")
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / f"empty{suffix}")


def test_artifact_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "a.trt"
    write_artifact(path, b"plan", replace(make_manifest(make_spec()), version=99))
    with pytest.raises(SpecError, match="manifest.version: got 99, expected 4"):
        read_artifact(path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool"])
def test_stored_array_round_trip(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = StoredArray.of(array).array()
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_stored_array_keeps_the_largest_values_of_a_large_one_and_some_of_all() -> None:
    array = np.random.default_rng(0).random((50, 2000)).astype(np.float32)
    stored = StoredArray.of(array)
    kept = stored.array()
    assert stored.shape == (50, 2000)
    assert kept.size <= LARGEST_VALUES + SPREAD_VALUES
    np.testing.assert_array_equal(stored.of_same_place(array), kept)
    np.testing.assert_array_equal(
        np.sort(array, axis=None)[-LARGEST_VALUES:], np.sort(kept)[-LARGEST_VALUES:]
    )
    assert np.abs(stored.of_same_place(array[:, ::-1]) - kept).max() > 0.5
    rows = np.zeros_like(array)
    for row in range(50):
        rows[row] = row
    assert set(stored.of_same_place(rows)) == set(range(50)), "every part of the array is looked at"


def test_write_artifact_into_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory.*Create the folder"):
        write_artifact(tmp_path / "no" / "a.trt", b"plan", make_manifest(make_spec()))


_WRITER = """
import sys
from sdk.atomic_write import atomic_write
while True:
    for letter in b"ab":
        atomic_write(sys.argv[1], bytes([letter]) * 4_000_000)
        print("written", flush=True)
"""


def test_atomic_write_killed_leaves_a_whole_file(tmp_path: Path, root: Path) -> None:
    target = tmp_path / "file.bin"
    for delay in (0.0, 0.003, 0.011, 0.02):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(target)], cwd=root, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            writer.wait(timeout=delay or 0.001)
        except subprocess.TimeoutExpired:
            writer.kill()
        writer.stdout.close()
        writer.wait()
        data = target.read_bytes()
        assert data in (b"a" * 4_000_000, b"b" * 4_000_000)


def test_manifest_reads_its_proof_when_asked_and_as_strictly(written: Path) -> None:
    manifest = read_artifact(written).manifest
    assert not {"samples", "evidence"} & set(vars(manifest))
    golden = GoldenSample.of(b"png", {"scores": np.array([0.25, 0.75], np.float32)})
    assert manifest.samples == (golden,)
    assert manifest.evidence == make_manifest(make_spec()).evidence
    assert manifest == read_artifact(written).manifest


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "samples",
            [{"item_base64": "", "outputs": {}, "more": 1}],
            r"manifest.samples\[0\]: got unknown key",
        ),
        ("evidence", {}, "manifest.evidence: got no key"),
    ],
)
def test_manifest_with_a_proof_that_does_not_fit_is_refused(key: str, value: Any, message: str) -> None:
    tree = json.loads(make_manifest(make_spec()).to_bytes())
    manifest = Manifest.from_bytes(json.dumps({**tree, key: value}).encode(), "x")
    with pytest.raises(SpecError, match=message):
        getattr(manifest, key)


@pytest.mark.parametrize(
    ("change", "message"), [({"more": 1}, "unknown key 'more'"), ({"payload_sha256": 3}, "got 3")]
)
def test_manifest_itself_is_read_strictly_at_once(change: dict[str, Any], message: str) -> None:
    tree = json.loads(make_manifest(make_spec()).to_bytes())
    with pytest.raises(SpecError, match=message):
        Manifest.from_bytes(json.dumps({**tree, **change}).encode(), "x")
