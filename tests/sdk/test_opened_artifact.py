"""An artifact opened by its descriptor: nothing altered gets in, whatever happens to the path or the file."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from runtimes import ArtifactError, SpecError
from sdk import Predictor, read_artifact
from sdk.artifact import write_artifact
from sdk.artifact.opened import opened_artifact
from tests.sdk.conftest import make_manifest, make_spec

BODY = random.Random(5).randbytes(300)


@pytest.fixture(params=[".onnx", ".trt"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"product{request.param}"
    write_artifact(path, BODY, make_manifest(make_spec()))
    return path


def test_opened_artifact_is_the_one_that_is_read(written: Path) -> None:
    with opened_artifact(written) as (artifact, program):
        found = Path(program.path).read_bytes() if program.path else program.data
        assert program.read() in (found, BODY)
    assert artifact == read_artifact(written)
    assert found == (written.read_bytes() if written.suffix == ".onnx" else BODY)
    assert (artifact.payload, artifact.parts) == (BODY, None)


def test_opened_artifact_any_flipped_bit_or_missing_end_is_noticed(written: Path) -> None:
    data, generator = written.read_bytes(), random.Random(11)
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << generator.randrange(8)
        for changed in (altered, data[:at]):
            written.write_bytes(changed)
            with pytest.raises((ArtifactError, SpecError)) as caught, opened_artifact(written):
                pytest.fail("an engine would have seen altered bytes")
            assert "\n" not in str(caught.value)


def test_opened_artifact_stays_itself_when_the_path_gets_another_file(tmp_path: Path) -> None:
    path = tmp_path / "product.onnx"
    write_artifact(path, BODY, make_manifest(make_spec()))
    with opened_artifact(path) as (artifact, program):
        before = Path(str(program.path)).read_bytes()
        write_artifact(path, BODY[::-1], make_manifest(make_spec()))  # by renaming, as all that we write
        assert Path(str(program.path)).read_bytes() == before
    with pytest.raises(ArtifactError, match="do not match its own hash"):
        _ = artifact.payload  # the path holds another one by now


def test_opened_artifact_written_into_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "product.onnx"
    write_artifact(path, BODY, make_manifest(make_spec()))
    opened = opened_artifact(path)
    opened.__enter__()
    with path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match="do not match its own hash"):
        opened.__exit__(None, None, None)


def test_predictor_of_an_onnx_file_keeps_no_copy_and_reads_it_again(light_artifact: Path) -> None:
    with Predictor(light_artifact) as predictor:
        assert predictor.artifact.parts is None
        assert predictor.artifact.payload == read_artifact(light_artifact).payload
        (result,) = predictor.predict([np.full((28, 28), 200, np.uint8)])
    assert result.label == "bright"
