"""Nothing of a DICOM header leaves the reader: not into artifacts, logs, reports or on the screen."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from sdk import read_artifact
from sdk.command import main

pytest.importorskip("pydicom", reason="pydicom is not installed")

from tests.small_dicom import write_dicom, write_medical_folder

# One word a field, so that a failure says which one got out. Dates and UIDs are told by their digits.
WORDS = {
    "PatientName": "ROSALINDZWEI^BLUM",
    "PatientID": "ID77031XQ",
    "OtherPatientNames": "OLDNAMEXQ",
    "PatientBirthDate": "19310417",
    "PatientAddress": "LINDENXQWEG 4",
    "PatientComments": "COMMENTXQ",
    "PatientTelephoneNumbers": "0049555731XQ",
    "InstitutionName": "SANKTXQSPITAL",
    "ReferringPhysicianName": "REFERRERXQ^ANNA",
    "OperatorsName": "OPERATORXQ^KURT",
    "AccessionNumber": "ACC88XQ",
    "StudyID": "STUDYXQ9",
    "StudyDescription": "DESCRIBEDXQ",
    "StudyDate": "20190823",
    "StudyInstanceUID": "1.2.3.990017734",
    "SeriesInstanceUID": "1.2.3.990017735",
    "DeviceSerialNumber": "SERIALXQ12",
    "StationName": "STATIONXQ",
}
NEEDLES = {field: word.split("^")[0].split(" ")[0] for field, word in WORDS.items()}


class Told(NamedTuple):
    """All that a run wrote and said."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Train, export, predict, explain and inspect on files full of identifiers."""
    root = tmp_path_factory.mktemp("private")
    data = write_medical_folder(root / "data", patients=3, slices=2, side_px=24, identify=_identified)
    lines, log = io.StringIO(), logging.StreamHandler(stream := io.StringIO())
    logging.getLogger().addHandler(log)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    run, slice_ = root / "run", next((data / "above").iterdir())
    try:
        with redirect_stdout(lines), redirect_stderr(lines), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _do(["train", "medical", "--data", data, "--out", run, "--model", "compact_cnn", "--epochs", "1",
                 "--image-size", "16", "--batch-size", "4", "--threads", "1", "--num-workers", "0",
                 "--device", "cpu"])  # fmt: skip
            checkpoint = run / "medical.safetensors"
            _do(["export", checkpoint, "--to", "onnx", "--class-maps", "--max-drop", "100"])
            for artifact in (checkpoint, run / "medical.onnx"):
                _do(
                    [
                        "predict",
                        artifact,
                        slice_,
                        "--json",
                        "--explain",
                        "--out",
                        root / f"out{artifact.suffix}",
                    ]
                )
                _do(["inspect", artifact, "--json"])
            for bad in _bad_files(root / "bad"):
                assert main(["predict", str(checkpoint), str(bad)]) == 2
    finally:
        logging.getLogger().removeHandler(log)
        logging.getLogger().setLevel(level)
    said = lines.getvalue() + stream.getvalue() + "".join(str(warning.message) for warning in caught)
    return Told(root, said)


def _do(words: list[Any]) -> None:
    assert main([str(word) for word in words]) == 0


def _identified(patient: str) -> dict[str, Any]:
    """Every field; only the ID tells patients apart, as in a clinic."""
    return {**WORDS, "PatientID": f"{NEEDLES['PatientID']}{patient}"}


def _bad_files(folder: Path) -> list[Path]:
    """Files that are refused, each for another reason."""
    pixels = np.zeros((8, 8), np.uint16)
    whole = write_dicom(folder / "a.dcm", pixels, **WORDS)
    (folder / "b.dcm").write_bytes(whole.read_bytes()[:-9])
    report = write_dicom(folder / "c.dcm", None, **WORDS)
    return [whole, folder / "b.dcm", report]


def _written(told: Told) -> dict[Path, bytes]:
    """Every file that the commands made, with the pictures inside artifacts unpacked."""
    files = {
        path: path.read_bytes()
        for path in told.folder.rglob("*")
        if path.is_file() and not path.is_relative_to(told.folder / "data")
        and not path.is_relative_to(told.folder / "bad")
    }  # fmt: skip
    for path in [path for path in files if path.suffix in (".onnx", ".safetensors")]:
        if path.parent.name != "checkpoints":
            for at, sample in enumerate(read_artifact(path).manifest.samples):
                files[path / f"sample {at}"] = sample.item()
    return files


def test_everything_that_is_searched_is_there(told: Told) -> None:
    names = {path.name for path in _written(told)}
    wanted = {"run.json", "metrics.json", "medical.safetensors", "medical.onnx", "last.safetensors",
              "confusion_matrix.png", "reliability.png", "curves.png", "sample 0"}  # fmt: skip
    assert wanted <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert "medical: " in told.said and "accuracy" in told.said and '"method": "Grad-CAM"' in told.said


def test_files_do_hold_what_is_searched_for(told: Told) -> None:
    data = next((told.folder / "data" / "above").iterdir()).read_bytes()
    assert all(word.encode() in data for word in NEEDLES.values())


@pytest.mark.parametrize("field", NEEDLES)
def test_identifier_is_nowhere(told: Told, field: str) -> None:
    word = NEEDLES[field]
    assert word not in told.said
    for path, data in _written(told).items():
        for encoding in ("utf-8", "utf-16-le"):
            assert word.encode(encoding) not in data, path.name


def test_golden_samples_are_bare_pictures(told: Told) -> None:
    for name in ("medical.safetensors", "medical.onnx"):
        samples = read_artifact(told.folder / "run" / name).manifest.samples
        assert samples
        for sample in samples:
            with Image.open(io.BytesIO(sample.item())) as picture:
                assert picture.format == "PNG" and not picture.info and not picture.getexif()
