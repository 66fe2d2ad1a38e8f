"""predict, inspect and verify: what they print, and one line with exit code 2 for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.artifact import GoldenSample, write_artifact
from sdk.command import main
from tests.sdk.conftest import ROWS, fake_payload, image_input, make_manifest, make_spec, picture
from tests.sdk.test_image_decode import BAD_BYTES


@pytest.fixture
def shoe(tmp_path: Path) -> Path:
    path = tmp_path / "shoe.png"
    Image.fromarray(picture(1)).save(path)
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    """Run a command that must fail, and return its one line."""
    assert main([str(word) for word in words]) == code
    streams = capsys.readouterr()
    lines = streams.err.splitlines()
    assert len(lines) == 1, streams.err
    assert lines[0].startswith("edgewright: ")
    assert "Traceback" not in streams.err
    return lines[0]


def test_predict_prints_a_line_per_input(
    fake_artifact: Path, shoe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(fake_artifact), str(shoe), str(shoe)]) == 0
    streams = capsys.readouterr()
    assert streams.out == f"{shoe}: shoe 80.0%, shirt 10.0%\n" * 2
    assert streams.err == ""


def test_predict_json_is_stable(fake_artifact: Path, shoe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(fake_artifact), str(shoe), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert list(answer) == ["input", "label", "score", "index", "top"]
    assert (answer["label"], answer["index"]) == ("shoe", 1)


def test_predict_folder_in_name_order_and_pictures(
    fake_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for row, name in enumerate(("b.png", "a.png")):
        Image.fromarray(picture(row)).save(folder / name)
    np.save(folder / "c.npy", picture(2))
    assert main(["predict", str(fake_artifact), str(folder), "--out", str(tmp_path / "out")]) == 0
    assert [line.split(": ")[1].split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "shoe",
        "shirt",
        "bag",
    ]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_labelled.png", "b_labelled.png", "c_labelled.png"]


def test_predict_never_replaces_a_picture(
    fake_artifact: Path, shoe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(fake_artifact), str(shoe), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    line = refused(capsys, "predict", fake_artifact, shoe, "--out", tmp_path)
    assert "'shoe_labelled.png': got a file that is there already" in line


@pytest.mark.parametrize("name", sorted(BAD_BYTES))
def test_predict_bad_pictures(
    fake_artifact: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = BAD_BYTES[name]
    (tmp_path / "bad.png").write_bytes(data)
    assert "'bad.png': got" in refused(capsys, "predict", fake_artifact, tmp_path / "bad.png")


BAD_ARRAYS = {
    "float": np.zeros((4, 4, 3)),
    "nan": np.full((4, 4, 3), np.nan, np.float32),
    "batch": np.zeros((2, 4, 4, 3), np.uint8),
}


@pytest.mark.parametrize("name", sorted(BAD_ARRAYS))
def test_predict_bad_arrays(
    fake_artifact: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "bad.npy", BAD_ARRAYS[name])
    line = refused(capsys, "predict", fake_artifact, tmp_path / "bad.npy")
    assert f"got {BAD_ARRAYS[name].dtype}" in line


def test_predict_pickled_array_is_not_unpickled(
    fake_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "no plain .npy array" in refused(capsys, "predict", fake_artifact, tmp_path / "bad.npy")


def test_predict_missing_things(
    fake_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "No such file" in refused(capsys, "predict", tmp_path / "gone.onnx", "x.png")
    assert "No such file" in refused(capsys, "predict", fake_artifact, tmp_path / "gone.png")
    assert "got no files" in refused(capsys, "predict", fake_artifact, tmp_path / "empty")
    assert "a file ending in '.h5'" in refused(capsys, "predict", "model.h5", "x.png")
    assert "Runtime option 'threads'" in refused(capsys, "predict", fake_artifact, "x.png", "--threads", "2")


def test_inspect_needs_no_engine_and_shows_the_contract(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "product.trt"
    write_artifact(path, b"never parsed", make_manifest(make_spec()))
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "hashes hold",
        "image: uint8 (1+, 4, 4, 3) → scores: float32 (1+, 3)",
        "bilinear",
        "shirt",
    ):
        assert expected in text
    assert main(["inspect", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["spec"] == make_spec().to_json()
    assert document["evidence"]["status"] == "proved"


def test_inspect_altered_artifact(fake_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(fake_artifact.read_bytes())
    data[len(data) // 2] ^= 4
    fake_artifact.write_bytes(data)
    assert "do not match its own hash" in refused(capsys, "inspect", fake_artifact)


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (0.1, 1)])
def test_verify_exit_code_says_whether_it_holds(
    tmp_path: Path, shift: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "product.fake"
    item = image_input().encode(image_input().load(picture(0)).source)
    golden = GoldenSample.of(item, {"scores": np.asarray(ROWS[0], np.float32) + np.float32(shift)})
    write_artifact(path, fake_payload(), make_manifest(make_spec(), (golden,)))
    assert main(["verify", str(path)]) == code
    assert ("holds: worst" in capsys.readouterr().out) == (code == 0)
    assert main(["verify", str(path), "--json"]) == code
    (report,) = json.loads(capsys.readouterr().out)
    assert report["holds"] == (code == 0)
    assert report["worst_difference"] == pytest.approx(shift, abs=1e-6)


def test_command_overview_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    overview = capsys.readouterr().out
    for name in ("predict", "inspect", "verify", "build", "train", "export", "quickstart"):
        assert f"\n  {name} " in overview
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("edgewright ")
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--help"])
    assert stop.value.code == 0
    assert "Examples:" in capsys.readouterr().out


def test_command_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert "got 'predcit', expected one of" in refused(capsys, "predcit")
    with pytest.raises(SystemExit) as stop:
        main(["predict"])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "See `edgewright predict --help`" in lines[0]
