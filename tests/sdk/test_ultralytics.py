"""Files that Ultralytics exported open without a spec: layouts and notes as its exporter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import ArtifactError, SpecError
from sdk import Predictor
from sdk.artifact import IMPORTED
from sdk.command import main
from sdk.foreign.propose import propose_spec
from sdk.foreign.ultralytics import read_note, split_engine
from tests.runtimes.tensorrt_stand_in import install, make_plan
from tests.sdk.foreign_models import (
    COCO_LIKE,
    FLOAT16,
    candidates_first,
    colour_classifier,
    detector,
    ultralytics_notes,
)

LABELS = ("person", "cat", "it's a dog")
TALL = np.zeros((128, 96, 3), np.uint8)
"""Into 96×64 it fits at half its size, 24 pixels from the left."""
CAT_XYXY = [28.0, 54.0, 68.0, 74.0]
"""(48, 32) of 20×10 pixels of the network's input, on `TALL`: ((48 - 10 - 24) / 0.5, (32 - 5) / 0.5, …)."""
CLOSE_PX = 1e-3
HALF_PX = 0.1
"""Of 68, with 10 bits of mantissa."""


def last_candidates() -> np.ndarray:
    """The same as YOLOv5 gives it: (1, M, 5 + K), an objectness before the classes."""
    first = candidates_first()
    objectness = np.full((1, 1, first.shape[2]), 0.5, np.float32)
    return np.concatenate([first[:, :4], objectness, first[:, 4:]], axis=1).transpose(0, 2, 1)


def rows() -> np.ndarray:
    """After suppression: (1, D, 6), rows of zeros at the end."""
    answer = np.zeros((1, 5, 6), np.float32)
    answer[0, 0] = [38, 27, 58, 37, 0.9, 1]
    return answer


def shares() -> np.ndarray:
    """RT-DETR's: (1, 300, 4 + K), centre and size as shares."""
    answer = np.zeros((1, 300, 7), np.float32)
    answer[0, 7] = [0.5, 0.5, 0.25, 0.5, 0.1, 0.2, 0.9]
    return answer


def test_detections_of_a_current_export(tmp_path: Path) -> None:
    path = detector(tmp_path / "yolo11n.onnx", candidates_first(), metadata=ultralytics_notes())
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)
        image = predictor.spec.input.to_json()
        assert predictor.manifest.evidence.status == IMPORTED

    assert found.labels == ("cat",)  # the one beside it is suppressed, and the dog lies on the grey border
    assert found.scores[0] == pytest.approx(0.9)
    np.testing.assert_allclose(found.boxes_xyxy[0], CAT_XYXY, atol=CLOSE_PX)
    assert (image["size_wh"], image["resize"], image["pad_colour"]) == ([96, 64], "letterbox", [114] * 3)
    assert (image["channels"], image["scale"], image["mean"]) == ("rgb", 1 / 255, [0.0] * 3)


@pytest.mark.parametrize(
    ("answer", "notes", "score"),
    [
        (rows(), ultralytics_notes(end2end=True), 0.9),
        (rows(), ultralytics_notes(args={"nms": True}), 0.9),
        (last_candidates(), {"stride": 32, "names": dict(COCO_LIKE)}, 0.45),
        (last_candidates(), {"stride": 32, "names": list(LABELS)}, 0.45),
    ],
    ids=["end to end", "nms in the graph", "YOLOv5", "YOLOv5, names as a list"],
)
def test_detections_of_other_exports(
    tmp_path: Path, answer: np.ndarray, notes: dict[str, Any], score: float
) -> None:
    path = detector(tmp_path / "m.onnx", answer, metadata=notes)
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)

    assert found.labels == ("cat",)
    assert found.scores[0] == pytest.approx(score)
    np.testing.assert_allclose(found.boxes_xyxy[0], CAT_XYXY, atol=CLOSE_PX)


def test_detections_of_rt_detr_stretch_the_picture(tmp_path: Path) -> None:
    path = detector(tmp_path / "m.onnx", shares(), metadata=ultralytics_notes(head="RTDETRDecoder"))
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)

    assert found.labels == ("it's a dog",)
    np.testing.assert_allclose(found.boxes_xyxy[0], [36, 32, 60, 96], atol=CLOSE_PX)


def test_half_precision_export_is_fed_half(tmp_path: Path) -> None:
    path = detector(tmp_path / "m.onnx", candidates_first(), metadata=ultralytics_notes(), dtype=FLOAT16)
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)

    np.testing.assert_allclose(found.boxes_xyxy[0], CAT_XYXY, atol=HALF_PX)


def test_classes_of_an_export(tmp_path: Path) -> None:
    notes = ultralytics_notes("classify", head="Classify", imgsz=[8, 8])
    path = colour_classifier(
        tmp_path / "yolo11n-cls.onnx", image="images", scores="output0", end="Softmax", metadata=notes
    )
    picture = np.zeros((8, 20, 3), np.uint8)
    picture[:, 6:14, 1] = 255  # what is left of it once the centre is cut out
    with Predictor(path) as predictor:
        found = predictor.predict(picture)
        image = predictor.spec.input.to_json()

    assert (found.label, found.index) == ("cat", 1)
    assert found.score == pytest.approx(np.exp(10) / (np.exp(10) + 2))
    assert (image["resize"], image["shortest_px"]) == ("shortest", 8)


def test_masks_are_given_as_arrays_of_a_letterboxed_picture(tmp_path: Path) -> None:
    path = detector(tmp_path / "m.onnx", np.ones((1, 39, 200)), metadata=ultralytics_notes("segment"))
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)
        assert predictor.spec.input.to_json()["resize"] == "letterbox"

    assert found["output0"].shape == (39, 200)
    assert "no typed result" in propose_spec(path).notes.certain["output"]


def test_draft_is_certain_of_what_the_notes_say(tmp_path: Path) -> None:
    path = detector(tmp_path / "m.onnx", candidates_first(), metadata=ultralytics_notes())
    proposal = propose_spec(path)
    with Predictor(path) as predictor:
        assert proposal.spec == predictor.spec
    assert not proposal.notes.guessed


def test_command_predicts_and_adopts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    path = detector(tmp_path / "m.onnx", candidates_first(), metadata=ultralytics_notes())
    picture = tmp_path / "p.png"
    Image.fromarray(TALL).save(picture)
    assert main(["predict", str(path), str(picture), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["detections"][0]["label"] == "cat"

    from sdk.foreign.adopt import adopt

    adopt(path, tmp_path / "ours.onnx", items=[picture])
    assert main(["verify", str(tmp_path / "ours.onnx")]) == 0
    with Predictor(tmp_path / "ours.onnx") as predictor:
        assert predictor.predict(picture).labels == ("cat",)


def write_engine(path: Path, notes: dict[str, Any], plan: bytes) -> Path:
    """As Ultralytics does: four bytes of length, JSON, the plan."""
    text = json.dumps(notes).encode()
    path.write_bytes(len(text).to_bytes(4, "little", signed=True) + text + plan)
    return path


ROWS_PLAN = {
    "inputs": [["images", "FLOAT", [1, 3, 64, 96]]],
    "outputs": [["output0", "FLOAT", [1, 5, 6]]],
    "profile": {},
    "matrix": [[0.0] * 6] * (3 * 64 * 96),
    "bias": [38, 27, 58, 37, 0.9, 1],
}


def test_engine_opens_by_its_json_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    path = write_engine(tmp_path / "yolo26n.engine", ultralytics_notes(end2end=True), make_plan(**ROWS_PLAN))
    with Predictor(path) as predictor:
        found = predictor.predict(TALL)

    assert set(found.labels) == {"cat"}
    np.testing.assert_allclose(found.boxes_xyxy[0], CAT_XYXY, atol=CLOSE_PX)


def test_engine_is_described_without_tensorrt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_engine(tmp_path / "m.engine", ultralytics_notes(), b"ptrt" + bytes(96))
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    for part in (
        "another tool wrote it",
        "100 bytes",
        "Ultralytics 8.4.190, task detect",
        "person, cat",
        "96×64",
    ):
        assert part in text


def test_engine_is_adopted_with_the_plan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sdk.foreign.adopt import adopt

    install(monkeypatch)
    plan = make_plan(**ROWS_PLAN)
    path = write_engine(tmp_path / "m.engine", ultralytics_notes(end2end=True), plan)
    assert adopt(path, tmp_path / "m.trt", items=[TALL]).payload == plan
    with Predictor(tmp_path / "m.trt") as predictor:
        assert predictor.verify().holds


def test_engine_of_another_tool_needs_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    path = tmp_path / "m.engine"
    path.write_bytes(make_plan(**ROWS_PLAN))
    with pytest.raises(ArtifactError, match="Copy it again if it was cut short"):
        Predictor(path)
    noted = write_engine(tmp_path / "n.engine", ultralytics_notes(end2end=True), make_plan(**ROWS_PLAN))
    with Predictor(noted) as predictor:
        spec = predictor.spec
    with Predictor(path, spec=spec) as predictor:
        assert set(predictor.predict(TALL).labels) == {"cat"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05\0\0\0{",
        b"\xff\xff\xff\xff{}",
        b'\x04\0\0\0{"a"',
        b"\x02\0\0\0[]",
        b"\x03\0\0\0{{{",
        b"ptrt{}",
    ],
    ids=["empty", "short", "huge length", "cut", "a list", "no json", "a plan"],
)
def test_engine_without_a_whole_header_is_none(data: bytes) -> None:
    assert split_engine(data) is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"names": "{0: 'a', 1: "}, "names"),
        ({"names": "{}"}, "names"),
        ({"names": "[i for i in range(9)]"}, "names"),
        ({"imgsz": "[0, 64]"}, "imgsz"),
        ({"imgsz": "['a', 'b']"}, "imgsz"),
        ({"channels": "three"}, "channels"),
    ],
)
def test_notes_that_cannot_be_read_are_named(changes: dict[str, str], what: str) -> None:
    notes = {key: str(value) for key, value in {**ultralytics_notes(), **changes}.items()}
    with pytest.raises(SpecError, match=rf"Ultralytics file 'm.onnx': got .*{what}"):
        read_note(notes, "m.onnx")


def test_notes_of_others_are_none() -> None:
    assert read_note({"names": "['a']", "author": "somebody"}, "m.onnx") is None
    assert read_note({"stride": "32"}, "m.onnx") is None


def test_notes_are_read_from_text_and_from_json_alike() -> None:
    notes = ultralytics_notes()
    as_text = read_note({key: str(value) for key, value in notes.items()}, "m")
    as_json = read_note(json.loads(json.dumps(notes)), "m")

    assert as_text == as_json
    assert as_text is not None
    assert (as_text.labels, as_text.size_wh, as_text.final) == (LABELS, (96, 64), False)
