"""Whose a picture is, and that nobody is in two parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtimes import DataError, UsageError
from train.data.medical_folder import MedicalFolder
from train.data.patients import Patients, hold_out_neighbours, hold_out_patients, likely_rule

pytest.importorskip("pydicom", reason="pydicom is not installed")

from tests.small_dicom import write_dicom, write_medical_folder
from tests.train.small_data import write_pictures

GREY = (90, 90, 90)


def _paths(root: Path, *names: str) -> list[Path]:
    return [root / name for name in names]


@pytest.mark.parametrize(
    ("rule", "names", "numbers"),
    [
        ("folder", ("a/p1/x.png", "b/p1/deep/y.png", "a/p2/x.png"), [0, 0, 1]),
        ("folder", ("train/a/p1/x.png", "test/a/p2/x.png", "train/b/p2/y.png"), [0, 1, 1]),
        ("prefix", ("a/p1_001.png", "b/p1_002.png", "a/p-1-7.png", "a/p-1-8.png"), [0, 0, 1, 1]),
        ("none", ("a/p1_001.png", "a/p1_002.png"), [0, 1]),
    ],
    ids=["folder", "folder in parts", "prefix", "none"],
)
def test_names_tell_patients_apart(
    tmp_path: Path, rule: str, names: tuple[str, ...], numbers: list[int]
) -> None:
    assert Patients(tmp_path, rule).numbers_of(_paths(tmp_path, *names)).tolist() == numbers


def test_header_tells_patients_apart(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2), np.uint16)
    paths = [
        write_dicom(tmp_path / f"{at}.dcm", pixels, PatientID=name)
        for at, name in enumerate(("x", "y", "x "))
    ]
    assert Patients(tmp_path, "header").numbers_of(paths).tolist() == [0, 1, 0]


def test_table_tells_patients_apart(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("file,patient\na/1.png,x\nb/2.png,y\na/3.png,x\n")
    paths = _paths(tmp_path, "a/1.png", "b/2.png", "a/3.png")
    assert Patients(tmp_path, "csv").numbers_of(paths).tolist() == [0, 1, 0]
    assert likely_rule(tmp_path, paths) == "csv"


@pytest.mark.parametrize(
    ("rule", "name", "table", "message"),
    [
        ("folder", "a/x.png", None, "got no folder of its patient"),
        ("prefix", "a/x.png", None, "got a name without _ or -"),
        ("csv", "a/x.png", "file,patient\n", "got no patient for a/x.png"),
        ("csv", "a/x.png", "a,b\n1,2\n", "no readable table with the columns file and patient"),
        ("csv", "a/x.png", None, "no readable table"),
    ],
    ids=["folder", "prefix", "no line", "other columns", "no table"],
)
def test_unknown_patient_is_refused(
    tmp_path: Path, rule: str, name: str, table: str | None, message: str
) -> None:
    if table is not None:
        (tmp_path / "patients.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        Patients(tmp_path, rule).numbers_of(_paths(tmp_path, name))


def test_empty_patient_id_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((2, 2), np.uint16), PatientID="")
    with pytest.raises(DataError, match="no Patient ID in its header"):
        Patients(tmp_path, "header").numbers_of([path])


def test_pictures_without_patients_are_asked_about(tmp_path: Path) -> None:
    for label in ("a", "b"):
        write_pictures(tmp_path / label, GREY, 3, seed=1)
    with pytest.raises(DataError, match=r"pictures that do not say of whom they are, such as a/000\.png"):
        MedicalFolder(tmp_path, None, "patients")
    assert MedicalFolder(tmp_path, "none", "patients").splits == ("train", "val")


def test_whole_patients_are_held_out_of_each_class() -> None:
    targets = np.repeat([0, 1], 20)
    patients = np.concatenate([np.repeat(np.arange(5), 4), np.repeat(np.arange(5, 9), 5)])
    held = hold_out_patients(targets, patients, 0.2, 1)
    kept = np.setdiff1d(np.arange(40), held)
    assert not set(patients[held]) & set(patients[kept])
    for label in (0, 1):
        assert 4 <= (targets[held] == label).sum() <= 8
        assert (targets[kept] == label).any()
    assert held.tolist() == hold_out_patients(targets, patients, 0.2, 1).tolist()
    assert held.tolist() != hold_out_patients(targets, patients, 0.2, 2).tolist()


def test_patient_with_both_classes_stays_whole() -> None:
    targets = np.array([0, 1] * 6)
    patients = np.repeat(np.arange(6), 2)
    held = hold_out_patients(targets, patients, 0.2, 0)
    assert all(len(set(patients[[row]]) & set(np.delete(patients, held))) == 0 for row in held)
    assert sorted(targets[held].tolist()) == [0] * (len(held) // 2) + [1] * (len(held) // 2)


def test_single_patient_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="Class 1: got pictures of a single patient.*--hold-out neighbours"):
        hold_out_patients(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), 0.2, 0)


def test_neighbours_are_held_out_of_every_patient() -> None:
    targets, patients = np.zeros(20, np.int64), np.repeat([0, 1], 10)
    held = hold_out_neighbours(targets, patients, 0.2, 3)
    for patient in (0, 1):
        rows = held[patients[held] == patient]
        assert len(rows) == 2 and rows[1] - rows[0] == 1


def test_folder_divides_by_patient_and_always_alike(tmp_path: Path) -> None:
    root = write_medical_folder(tmp_path / "data", parts=("train", "test"))
    folder = MedicalFolder(root, None, "patients")
    assert folder.splits == ("train", "val", "test") and folder.rule == "header"
    of = {part: {p.stem.split("_")[0] for p in folder.read(part).items} for part in folder.splits}
    assert not of["train"] & of["val"] and len(of["val"]) == 2 and len(of["train"]) == 6
    again = MedicalFolder(root, None, "patients")
    assert [again.read(part).sha256() for part in again.splits] == [
        folder.read(part).sha256() for part in folder.splits
    ]


def _same_person_in_test(root: Path) -> None:
    write_dicom(root / "test" / "above" / "other.dcm", np.ones((4, 4), np.uint16), PatientID="above00")


def _same_person_in_val(root: Path) -> None:
    for label in ("above", "below"):
        write_dicom(root / "val" / label / f"{label}.dcm", np.ones((4, 4), np.uint16), PatientID=f"{label}00")


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        (
            _same_person_in_test,
            "one patient in both train and test: train/above/above00_00.dcm and test/above/ot",
        ),
        (_same_person_in_val, "one patient in both train and val"),
    ],
    ids=["test", "val"],
)
def test_leak_is_refused_and_names_files_not_people(
    tmp_path: Path, leak: Callable[[Path], None], message: str
) -> None:
    root = write_medical_folder(tmp_path / "data", parts=("train", "test"))
    leak(root)
    with pytest.raises(DataError, match=message):
        MedicalFolder(root, None, "patients")


def test_neighbours_without_a_test_part_are_refused(tmp_path: Path) -> None:
    root = write_medical_folder(tmp_path / "data", patients=1)
    with pytest.raises(DataError, match="--hold-out neighbours without a test folder"):
        MedicalFolder(root, None, "neighbours")


def test_positive_class_comes_last(tmp_path: Path) -> None:
    root = write_medical_folder(tmp_path / "data", patients=2, slices=1)
    assert MedicalFolder(root, None, "patients", "above").read("train").labels == ("below", "above")
    with pytest.raises(UsageError, match="Option --positive: got 'left'"):
        MedicalFolder(root, None, "patients", "left")


def test_file_without_pixels_is_named_before_training(tmp_path: Path) -> None:
    root = write_medical_folder(tmp_path / "data", patients=2, slices=1)
    write_dicom(root / "above" / "report.dcm", None, PatientID="x")
    with pytest.raises(DataError, match=r"Picture above/report\.dcm: got no pixel data"):
        MedicalFolder(root, None, "patients")


def test_missing_decoder_is_named_with_its_extra_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom import dcmread
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import RLELossless

    root = write_medical_folder(tmp_path / "data", patients=2, slices=1)
    path = next((root / "below").iterdir())
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: RLELossless != self.UID))
    with pytest.raises(
        DataError, match=r"Picture below/.*need the package pylibjpeg-rle.*edgewright\[medical\]"
    ):
        MedicalFolder(root, None, "patients")
