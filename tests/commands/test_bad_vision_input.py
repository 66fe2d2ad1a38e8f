"""Bad pictures, labels and videos, through the command as a person gives them: one line that names what is
wrong and where, exit code 2, and nothing written.

What native libraries print counts as well: both streams are read at the file descriptor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.inputs.dicom import DicomInput
from sdk.outputs.boxes import YoloGridOutput
from sdk.spec import Graph
from tests.commands.conftest import Refused
from tests.light_artifact import light_spec, write_light_artifact
from tests.train.box_sets import SIDE_PX, draw_picture, random_boxes, write_coco, write_voc, write_yolo

EVIDENCE = Evidence(PROVED, "2025-01-01T00:00:00Z", None, {}, 0.0, None, (), {})
QUICK = ["--epochs", "1", "--batch-size", "4", "--threads", "1", "--device", "cpu"]
JPEG_2000, MPEG2 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.100"

# --- DICOM ------------------------------------------------------------------------------------------------


@pytest.fixture
def medical_artifact(tmp_path: Path) -> Path:
    """The model of bright and dark pictures, fed with DICOM files too."""
    light = write_light_artifact(tmp_path / "light.onnx")
    plain = light_spec()
    kept = {f.name: getattr(plain.input, f.name) for f in fields(plain.input)}
    medical = DicomInput(**kept, window="full", window_centre=None, window_width=None, frame="only")
    payload = _payload(light)
    path = tmp_path / "medical.onnx"
    write_artifact(path, payload, Manifest(MANIFEST_VERSION, replace(plain, input=medical), (), EVIDENCE, ""))
    return path


def _payload(path: Path) -> bytes:
    from sdk import read_artifact

    return read_artifact(path).payload


def _dicom(case: str, path: Path) -> Path:
    """A DICOM file that cannot be predicted on."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
    from tests.small_dicom import dicom_dataset

    path.parent.mkdir(parents=True, exist_ok=True)
    if case == "no pixels":
        real = Path(pydicom.__file__).parent / "data" / "test_files" / "rtplan.dcm"
        path.write_bytes(real.read_bytes())
        return path
    dataset = dicom_dataset(np.zeros((8, 8), np.uint16), PatientName="Doe^Jane", PatientID="p1")
    if case in (JPEG_2000, MPEG2):
        from pydicom.encaps import encapsulate

        dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(64)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = case
    dataset.save_as(path, enforce_file_format=True)
    if case == "cut":
        path.write_bytes(path.read_bytes()[:-60])
    return path


DICOM_CASES = {
    "no pixels": "DICOM 'bad.dcm': got no pixel data, expected a DICOM file with a picture",
    JPEG_2000: "the package pylibjpeg-openjpeg",
    MPEG2: "transfer syntax MPEG2",
    "cut": "DICOM 'bad.dcm': got",
}


@pytest.mark.parametrize("case", DICOM_CASES, ids=["no pixels", "package missing", "no package", "cut"])
def test_predict_refuses_dicom(
    case: str, medical_artifact: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _dicom(case, tmp_path / "bad.dcm")
    _without_plugins(monkeypatch, case)
    said = refused("predict", medical_artifact, path)
    assert DICOM_CASES[case] in said
    assert "bad.dcm" in said
    assert "Doe" not in said


@pytest.mark.parametrize(
    "case", ["no pixels", JPEG_2000, MPEG2], ids=["no pixels", "package missing", "no package"]
)
def test_training_refuses_dicom(
    case: str, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.small_dicom import write_medical_folder

    data = write_medical_folder(tmp_path / "scans", slices=1)
    _dicom(case, data / "above" / "bad.dcm")
    _without_plugins(monkeypatch, case)
    said = refused("train", "medical", "--data", data, "--out", tmp_path / "run", *QUICK)
    assert said.startswith("edgewright: Picture above/bad.dcm: got ")
    assert DICOM_CASES[case].removeprefix("DICOM 'bad.dcm': ") in said
    if case == JPEG_2000:
        assert "pip install 'edgewright[medical]'" in said


def _without_plugins(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """As on a machine without the packages that decompress."""
    if case == JPEG_2000:
        from pydicom.pixels.decoders.base import Decoder

        there = property(lambda decoder: not decoder.UID.is_compressed)
        monkeypatch.setattr(Decoder, "is_available", there)


# --- boxes ------------------------------------------------------------------------------------------------


class BadBox(NamedTuple):
    """One thing wrong with a set, and what must be said of it.

    Attributes:
        line: The second line of the second picture's label file; None removes the file.
        where: What the message begins with.
        got: What it says was given.
    """

    line: str | None
    where: str
    got: str


YOLO_CASES = {
    "above one": BadBox("0 0.5 0.5 1.2 0.2", "Label file 'b.txt', line 2", "1.2"),
    "below zero": BadBox("0 -0.1 0.5 0.2 0.2", "Label file 'b.txt', line 2", "-0.1"),
    "not a number": BadBox("0 nan 0.5 0.2 0.2", "Label file 'b.txt', line 2", "nan"),
    "class past the list": BadBox("2 0.5 0.5 0.2 0.2", "Label file 'b.txt', line 2", "class 2"),
    "negative class": BadBox("-1 0.5 0.5 0.2 0.2", "Label file 'b.txt', line 2", "class -1"),
    "no area": BadBox("0 0.5 0.5 0.2 0", "Label file 'b.txt', line 2", "a box without area"),
    "four numbers": BadBox("0 0.5 0.5 0.2", "Label file 'b.txt', line 2", "4 numbers"),
    "no label file": BadBox(None, "Picture images/b.png", "no label file"),
}


def _pictures() -> dict[str, Any]:
    return {name: random_boxes(at) for at, name in enumerate("abcd")}


@pytest.mark.parametrize("case", YOLO_CASES)
def test_training_refuses_yolo_labels(case: str, tmp_path: Path, refused: Refused) -> None:
    data = write_yolo(tmp_path / "set", "train", _pictures())
    bad = YOLO_CASES[case]
    file = data / "train" / "labels" / "b.txt"
    if bad.line is None:
        file.unlink()
    else:
        file.write_text(f"0 0.5 0.5 0.2 0.2\n{bad.line}\n")
    said = refused("train", "detection", "--data", data, "--out", tmp_path / "run", *QUICK)
    assert said.startswith(f"edgewright: {bad.where}: got {bad.got}"), said


COCO_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no area": ({"bbox": [5, 5, 0, 10]}, "got a box without area"),
    "outside": ({"bbox": [SIDE_PX + 1, 5, 10, 10]}, "got a box outside its picture"),
    "class past the list": ({"category_id": 999}, "999"),
    "no such picture": ({"image_id": 999}, "got a box of picture 999"),
    "text": ({"bbox": "everywhere"}, "got bbox 'everywhere'"),
}


@pytest.mark.parametrize("case", COCO_CASES)
def test_training_refuses_coco_annotations(case: str, tmp_path: Path, refused: Refused) -> None:
    data = write_coco(tmp_path / "set", "train", _pictures())
    change, message = COCO_CASES[case]
    file = data / "annotations" / "instances_train.json"
    tree = json.loads(file.read_text())
    tree["annotations"][3] |= change
    file.write_text(json.dumps(tree))
    said = refused("train", "detection", "--data", data, "--out", tmp_path / "run", *QUICK)
    assert message in said
    assert "instances_train.json" in said


VOC_CASES = {
    "no area": ("<xmax>", "got a box without area"),
    "no label file": (None, "got no label file"),
    "cut": ("</annotation>", "Annotation 'b.xml'"),
}


@pytest.mark.parametrize("case", VOC_CASES)
def test_training_refuses_voc_annotations(case: str, tmp_path: Path, refused: Refused) -> None:
    data = write_voc(tmp_path / "set", {"train": _pictures()})
    mark, message = VOC_CASES[case]
    file = data / "Annotations" / "b.xml"
    if mark is None:
        file.unlink()
    elif mark == "<xmax>":
        start, rest = file.read_text().split("<xmin>", 1)
        left, rest = rest.split("</xmin>", 1)
        between, rest = rest.split("<xmax>", 1)
        # Pixels count from 1 and both ends belong to the box: a right end left of the left one has no area.
        file.write_text(
            f"{start}<xmin>{left}</xmin>{between}<xmax>{float(left) - 1}{rest[rest.index('<') :]}"
        )
    else:
        file.write_text(file.read_text().replace(mark, ""))
    said = refused("train", "detection", "--data", data, "--out", tmp_path / "run", *QUICK)
    assert message in said
    assert "b." in said


def test_training_refuses_a_picture_that_is_none(tmp_path: Path, refused: Refused) -> None:
    data = write_yolo(tmp_path / "set", "train", _pictures())
    (data / "train" / "images" / "b.png").write_text("not a picture")
    said = refused("train", "detection", "--data", data, "--out", tmp_path / "run", *QUICK)
    assert "Picture images/b.png" in said


# --- anchors ----------------------------------------------------------------------------------------------


def test_training_refuses_anchors_that_the_maps_cannot_share(tmp_path: Path, refused: Refused) -> None:
    data = write_yolo(tmp_path / "set", "train", _pictures())
    (tmp_path / "anchors.txt").write_text("10,14\n23,27\n37,58\n81,82\n135,169\n")
    words = ["--data", data, "--out", tmp_path / "run", "--anchors", tmp_path / "anchors.txt", *QUICK]
    said = refused("train", "detection", *words)
    assert "Anchors: got 5, expected a multiple of 2, the number of the network's maps" in said


def test_import_refuses_anchors_that_do_not_divide_the_channels(tmp_path: Path, refused: Refused) -> None:
    from tests.train.networks.darknet_files import yolov3_config

    (tmp_path / "yolo.cfg").write_text(yolov3_config(filters=250))
    (tmp_path / "yolo.weights").write_bytes(bytes(64))
    (tmp_path / "names").write_text("\n".join(f"class {number}" for number in range(80)))
    files = [tmp_path / name for name in ("yolo.cfg", "yolo.weights")]
    out = tmp_path / "yolo.safetensors"
    said = refused("import-darknet", *files, "--labels", tmp_path / "names", "--out", out)
    assert "got 250 channels before section" in said
    assert "expected 255: 3 anchors of 5 + 80 channels" in said
    assert "yolo.cfg" in said


def test_predict_refuses_anchors_that_do_not_divide_the_channels(tmp_path: Path, refused: Refused) -> None:
    picture = tmp_path / "a.png"
    draw_picture(picture, random_boxes(0))
    said = refused("predict", _four_anchors_for_three(tmp_path / "yolo.onnx"), picture)
    assert "Output 'map_0': got 21 channels for 4 anchors, expected 28: 4 times 5 and 2 classes" in said


def _four_anchors_for_three(path: Path) -> Path:
    """A map of 3 * (5 + 2) channels, and a contract that speaks of four anchors."""
    light, channels = light_spec(), 3 * (5 + 2)
    output = YoloGridOutput(
        labels=("disc", "square"),
        score_threshold=0.25,
        score_floor=0.01,
        iou_threshold=0.45,
        max_detections=10,
        multi_label=False,
        anchors_wh=(((8.0, 8.0), (12.0, 8.0), (8.0, 12.0), (20.0, 20.0)),),
        strides=(7,),
    )
    image = TensorInfo("image", "uint8", (Dim(), 28, 28, 1))
    raw = TensorInfo("map_0", "float32", (Dim(), channels, 4, 4))
    spec = replace(
        light,
        task="detection",
        output=output,
        graphs=(Graph("main", (image,), (raw,)),),
        baked=light.input.bakeable,
    )
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernels"], ["map_0"], kernel_shape=[7, 7], strides=[7, 7]),
    ]
    graph = helper.make_graph(
        nodes,
        "grid",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28, 1])],
        [helper.make_tensor_value_info("map_0", TensorProto.FLOAT, ["batch", channels, 4, 4])],
        [numpy_helper.from_array(np.zeros((channels, 1, 7, 7), np.float32), "kernels")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    payload = bytes(model.SerializeToString())
    write_artifact(path, payload, Manifest(MANIFEST_VERSION, spec, (), EVIDENCE, ""))
    return path


# --- video ------------------------------------------------------------------------------------------------


def _video(case: str, path: Path) -> Path:
    pytest.importorskip("av", reason="av is not installed")
    from tests.sdk.stream.numbered import write_video

    if case == "text":
        path.write_text("not a video\n" * 50)
        return path
    # The index in front, so that what is cut off or zeroed are pictures.
    write_video(path, range(100), container={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    if case == "zeros inside":
        data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    else:
        data = data[: {"cut": -1500, "only a header": 200, "empty": 0}[case]]
    path.write_bytes(data)
    return path


VIDEO_CASES = ("text", "empty", "only a header", "cut", "zeros inside")


@pytest.mark.parametrize("case", VIDEO_CASES)
def test_predict_refuses_a_corrupted_video(case: str, tmp_path: Path, refused: Refused) -> None:
    path = _video(case, tmp_path / "bad.mp4")
    light = write_light_artifact(tmp_path / "light.onnx")
    said = refused("predict", light, path, "--out", tmp_path / "annotated.mp4")
    assert "Video 'bad.mp4': got " in said


# --- as its own process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["video", "DICOM"])
def test_a_process_of_its_own_says_no_more(what: str, medical_artifact: Path, tmp_path: Path) -> None:
    """Logs and warnings that a test runner would catch have nothing to hide behind here."""
    bad = _video("zeros inside", tmp_path / "bad.mp4") if what == "video" else None
    bad = bad or _dicom("no pixels", tmp_path / "bad.dcm")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "sdk.command", "predict", str(medical_artifact), str(bad), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"edgewright: {'Video' if what == 'video' else 'DICOM'} 'bad.")
