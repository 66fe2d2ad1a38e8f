"""`edgewright import-darknet`: real weights become a checkpoint that finds what is on real photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdk import Predictor
from sdk.artifact import IMPORTED, read_artifact
from sdk.command import main
from sdk.outputs.boxes import YoloGridOutput
from sdk.results import Detections
from tests.train.networks.darknet_files import yolov3_config

KNOWN = {
    "astronaut.png": ("person", 0.625, (21, 21, 365, 490)),
    "chelsea.png": ("cat", 0.320, (0, 8, 451, 286)),
    "coffee.png": ("cup", 0.733, (135, 17, 448, 354)),
    "motorcycle_left.png": ("motorbike", 0.971, (87, 50, 666, 446)),
}
"""The best box on each photo at 288 pixels: what it is, its score, and where. Looked at."""
SCORE_STEP, BOX_STEP_PX = 0.02, 3.0
"""Other versions of Pillow and torch round otherwise; another preprocessing moves them by far more."""


@pytest.fixture(autouse=True)
def _openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets this for its own process; here it must not leak into other tests."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="module")
def darknet(shared_data: Path) -> Path:
    """The folder of the published weights."""
    return shared_data / "yolov3-tiny"


def _words(darknet: Path, out: Path, *more: str) -> list[str]:
    files = [str(darknet / name) for name in ("yolov3-tiny.cfg", "yolov3-tiny.weights")]
    return ["import-darknet", *files, "--labels", str(darknet / "coco.names"), "--out", str(out), *more]


@pytest.fixture(scope="module")
def checkpoint(darknet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights, imported at 288 pixels."""
    out = tmp_path_factory.mktemp("imported") / "tiny.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        assert main(_words(darknet, out, "--size", "288")) == 0
    return out


def test_import_finds_what_is_on_the_photos(checkpoint: Path, shared_data: Path) -> None:
    with Predictor(checkpoint) as predictor:
        for name, (label, score, box) in KNOWN.items():
            found: Detections = predictor.predict(shared_data / "photos" / name)
            assert found.labels[0] == label
            assert float(found.scores[0]) == pytest.approx(score, abs=SCORE_STEP)
            assert found.boxes_xyxy[0].tolist() == pytest.approx(box, abs=BOX_STEP_PX)
        assert len(predictor.predict(shared_data / "photos" / "rocket.jpg").scores) == 0


def test_import_writes_the_whole_contract(checkpoint: Path) -> None:
    artifact = read_artifact(checkpoint)
    spec, evidence = artifact.spec, artifact.manifest.evidence
    assert (spec.name, spec.task, spec.network.name) == ("tiny", "detection", "yolov3_tiny")
    assert spec.network.arguments == {"classes": 80, "anchors": 3}
    assert spec.input.size_wh == (288, 288)
    assert isinstance(spec.output, YoloGridOutput)
    assert spec.output.labels[:2] == ("person", "bicycle")
    assert spec.output.strides == (32, 16)
    assert [info.shape[1:] for info in spec.graph().outputs] == [(255, 9, 9), (255, 18, 18)]
    assert (evidence.status, evidence.metrics) == (IMPORTED, ())
    assert evidence.facts["imported"]["weights_sha256"].startswith("dccea06f59b7")


def test_imported_checkpoint_verifies(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(checkpoint)]) == 0
    assert "tiny.safetensors" in capsys.readouterr().out


def test_import_keeps_the_size_of_the_configuration_and_given_pictures(
    darknet: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.safetensors"
    photo = shared_data / "photos" / "rocket.jpg"
    assert main(_words(darknet, out, "--pictures", str(photo), "--score", "0.6")) == 0
    assert "yolov3_tiny: 80 classes, 8,852,366 parameters, 416x416 pixels" in capsys.readouterr().out
    artifact = read_artifact(out)
    assert len(artifact.manifest.samples) == 1
    assert artifact.spec.output.score_threshold == 0.6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "300"], "Option --size: got 300x300 pixels, expected multiples of 32"),
        (["--size", "big"], "Option --size: got 'big', expected such as 416 or 608x352"),
        (["--score", "1.5"], "spec.output.score_threshold: got 1.5"),
        (["--pictures", "missing.png"], "missing.png"),
    ],
    ids=["size", "words", "score", "picture"],
)
def test_import_refuses_options_in_one_line(
    darknet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    out = tmp_path / "tiny.safetensors"
    assert main(_words(darknet, out, *more)) == 2
    _assert_one_line(capsys, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("coco.names", b"person\ncat\n", "Labels 'coco.names': got 2 names, expected 80"),
        ("coco.names", b"cat\n" * 80, "File 'coco.names': got"),
        ("coco.names", b"\xff\xfe", "File 'coco.names': got 'utf-8' codec can't decode"),
        (
            "yolov3-tiny.weights",
            b"\0" * 5000,
            "Weights 'yolov3-tiny.weights': got 5,000 bytes, expected 35,434,95",
        ),
        (
            "yolov3-tiny.cfg",
            yolov3_config(filters=250).encode(),
            "250 channels before section 82 [yolo], expected 255",
        ),
    ],
    ids=["labels", "twice", "binary", "weights", "channels"],
)
def test_import_refuses_files_in_one_line(  # noqa: PLR0917 - fixtures and a case
    darknet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    for path in darknet.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "tiny.safetensors"
    assert main(_words(tmp_path, out)) == 2
    _assert_one_line(capsys, message)
    assert not out.exists()


def test_import_replaces_nothing_unasked(
    darknet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny.safetensors"
    out.write_bytes(b"precious")
    assert main(_words(darknet, out)) == 2
    _assert_one_line(capsys, "a file that is there already")
    assert out.read_bytes() == b"precious"
    assert main(_words(darknet, tmp_path / "tiny.onnx")) == 2
    _assert_one_line(capsys, "expected a name ending in .safetensors")


def _assert_one_line(capsys: pytest.CaptureFixture[str], message: str) -> None:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
