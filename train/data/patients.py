"""Who a picture is of, and dividing pictures so that nobody is in two parts.

Identities are hashed with a key that is drawn anew in every process, replaced by running numbers, and
dropped.
"""

from __future__ import annotations

import csv
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from runtimes import Array, DataError
from sdk.inputs.dicom_decode import SUFFIXES, quiet, read_elements

RULES = ("csv", "header", "folder", "prefix", "none")
TABLE = "patients.csv"
_SEPARATOR = re.compile(r"[_-](?=[^_-]*$)")
_KEY = secrets.token_bytes(32)


class Patients:
    """Numbers in place of people: the same number for the same person, in order of first appearance.

    Args:
        root: Folder of the data.
        rule: One of `RULES`: the table ``patients.csv`` with the columns ``file`` and ``patient``; the DICOM
            header's Patient ID; the folder inside the class folder; the file's name up to its last ``_`` or
            ``-``; or none: every picture is of somebody else.
    """

    def __init__(self, root: Path, rule: str) -> None:
        self._numbers: dict[bytes, int] = {}
        self._root = root
        table = _read_table(root) if rule == "csv" else {}
        ways: dict[str, Callable[[Path], str]] = {
            "csv": lambda path: _in_table(table, path, root),
            "header": _in_header,
            "folder": lambda path: _by_folder(path, root),
            "prefix": _by_prefix,
            "none": str,
        }
        self._identity = ways[rule]

    def numbers_of(self, paths: Sequence[Path]) -> Array:
        """A number per picture, int64 (N,).

        Raises:
            DataError: The rule says nothing of one of them.
        """
        return np.array([self._number(path) for path in paths], np.int64)

    def _number(self, path: Path) -> int:
        hashed = hashlib.blake2b(self._identity(path).encode(), key=_KEY).digest()
        return self._numbers.setdefault(hashed, len(self._numbers))


def likely_rule(root: Path, paths: Sequence[Path]) -> str:
    """The rule that the data itself suggests: its table, or its headers.

    Raises:
        DataError: There is no table, and some pictures have no header that could say it.
    """
    if (root / TABLE).is_file():
        return "csv"
    other = next((path for path in paths if path.suffix.lower() not in SUFFIXES), None)
    if other is None:
        return "header"
    raise DataError(
        f"Data {root.name!r}",
        got=f"pictures that do not say of whom they are, such as {other.relative_to(root).as_posix()}",
        expected="a patient for each, so that nobody is both learned from and judged on",
        fix=f"Add {TABLE} (columns file,patient), or say --patients folder, prefix, or none if each is of "
        "somebody else.",
    )


def require_no_leak(root: Path, parts: dict[str, tuple[Sequence[Path], Array]]) -> None:
    """Refuse parts that share a patient.

    Args:
        root: Folder of the data.
        parts: Pictures and their patients' numbers by part.

    Raises:
        DataError: Two parts do.
    """
    seen: dict[int, tuple[str, Path]] = {}
    for part, (paths, numbers) in parts.items():
        for path, number in zip(paths, numbers.tolist(), strict=True):
            first_part, first = seen.setdefault(number, (part, path))
            if first_part != part:
                raise DataError(
                    f"Data {root.name!r}",
                    got=f"one patient in both {first_part} and {part}: {_shown(first, root)} and "
                    f"{_shown(path, root)}",
                    expected="every patient in one part",
                    fix="Move all of a patient's pictures to one part: a model knows again whom it has seen.",
                )


def hold_out_patients(targets: Array, patients: Array, share: float, seed: int) -> Array:
    """Rows of whole patients, at least `share` of each class where that leaves one patient to learn from.

    Args:
        targets: Class indices, int64 (N,).
        patients: Patients' numbers, int64 (N,).
        share: Of each class's pictures.
        seed: Of the order in which patients are taken.

    Returns:
        Held-out rows, rising.

    Raises:
        DataError: All pictures of a class are of one patient.
    """
    order = np.random.default_rng(seed).permutation(np.unique(patients))
    held: set[int] = set()
    classes = np.unique(targets)
    for label in sorted(classes.tolist(), key=lambda label: int((targets == label).sum())):
        _require_two(label, np.unique(patients[targets == label]))
        for patient in order.tolist():
            of_class = targets == label
            if np.isin(patients[of_class], [*held]).mean() >= share:
                break
            left = ~np.isin(patients, [*held, patient])
            if (patients[of_class] == patient).any() and set(targets[left].tolist()) == set(classes.tolist()):
                held.add(patient)
    return np.flatnonzero(np.isin(patients, [*held]))


def hold_out_neighbours(targets: Array, patients: Array, share: float, seed: int) -> Array:
    """Rows of a run of neighbouring pictures of each patient and class; the others stay to be learned from.

    Arguments as for `hold_out_patients`; returns held-out rows, rising.
    """
    generator = np.random.default_rng(seed)
    held = []
    for label in np.unique(targets):
        for patient in np.unique(patients[targets == label]):
            rows = np.flatnonzero((targets == label) & (patients == patient))
            count = min(len(rows) - 1, max(1, round(share * len(rows))))
            start = int(generator.integers(0, len(rows) - count + 1))
            held.append(rows[start : start + count])
    return np.sort(np.concatenate(held))


def _require_two(label: int, patients: Array) -> None:
    if len(patients) < 2:
        raise DataError(
            f"Class {label}",
            got="pictures of a single patient",
            expected="at least two patients, one to learn from and one to validate on",
            fix="Add patients or a val folder; or, beside a test folder, say --hold-out neighbours to "
            "validate on other pictures of the same patients.",
        )


def _in_header(path: Path) -> str:
    with quiet():
        dataset = read_elements(path.read_bytes(), f"DICOM {path.name!r}", ("PatientID",))
    identity = str(dataset.get("PatientID") or "").strip()
    if not identity:
        raise DataError(
            f"Picture {path.parent.name}/{path.name}",
            got="no Patient ID in its header",
            expected="one in every DICOM file",
            fix=f"Add {TABLE} (columns file,patient), or say --patients folder or prefix.",
        )
    return identity


def _read_table(root: Path) -> dict[str, str]:
    try:
        with (root / TABLE).open(newline="", encoding="utf-8") as file:
            return {row["file"]: row["patient"].strip() for row in csv.DictReader(file)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"Table {TABLE}",
            got="no readable table with the columns file and patient",
            expected="a CSV file whose first line is file,patient",
            fix=f"Write it into {root.name}/, one line per picture.",
        ) from error


def _in_table(table: dict[str, str], path: Path, root: Path) -> str:
    name = _shown(path, root)
    if not table.get(name):
        raise DataError(f"Table {TABLE}", got=f"no patient for {name}", expected="a line per picture",
                        fix="Add the line, or remove the picture.")  # fmt: skip
    return table[name]


def _by_folder(path: Path, root: Path) -> str:
    """``…/CLASS/PATIENT/…/picture``: a class folder is one below the root, or below a part of it."""
    parts = path.relative_to(root).parts
    inside = parts[2:-1] if parts[0] in ("train", "val", "test") else parts[1:-1]
    if not inside:
        raise DataError(f"Picture {_shown(path, root)}", got="no folder of its patient",
                        expected="CLASS/PATIENT/picture",
                        fix="Move it, or choose another --patients.")  # fmt: skip
    return inside[0]


def _by_prefix(path: Path) -> str:
    found = _SEPARATOR.search(path.stem)
    if found is None or found.start() == 0:
        raise DataError(f"Picture {path.parent.name}/{path.name}", got="a name without _ or -",
                        expected="PATIENT_number, such as p017_003.png",
                        fix="Rename it, or choose another --patients.")  # fmt: skip
    return path.stem[: found.start()]


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
