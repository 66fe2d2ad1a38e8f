"""Command-line options of task ``medical``. Their defaults live in `MedicalOptions`."""

from __future__ import annotations

import argparse
from typing import Any


def add_medical_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; each default is None: not given."""
    _add_files(parser.add_argument_group("medical files"))
    _add_patients(parser.add_argument_group("patients"))
    _add_answers(parser.add_argument_group("answers"))


def _add_files(files: Any) -> None:
    files.add_argument(
        "--window",
        metavar="HOW",
        help="how DICOM values become grey levels: header (the file's own window; files without one are "
        "refused), full (darkest to brightest), or CENTRE/WIDTH such as 40/400; with a negative centre write "
        "--window=-600/1500. Default: header",
    )
    files.add_argument(
        "--frame",
        choices=("only", "first", "middle"),
        help="of DICOM files with several frames; only refuses them. Default: only",
    )
    files.add_argument("--channels", choices=("grey", "rgb"), help="what the network takes. Default: grey")


def _add_patients(patients: Any) -> None:
    patients.add_argument(
        "--patients",
        choices=("csv", "header", "folder", "prefix", "none"),
        help="whose a picture is: patients.csv in the data (columns file,patient); the DICOM header's "
        "Patient ID, which is kept nowhere; the folder inside the class folder; the file's name up to its "
        "last _ or -; or none: each is of somebody else. Default: csv where there is one, header where all "
        "files are DICOM",
    )
    patients.add_argument(
        "--hold-out",
        choices=("patients", "neighbours"),
        help="for validation, where there is no val folder: whole patients; or, beside a test folder, "
        "runs of neighbouring pictures of every patient, which choose the epoch but say nothing of new "
        "patients. Default: patients",
    )


def _add_answers(answers: Any) -> None:
    answers.add_argument(
        "--positive",
        metavar="CLASS",
        help="of two classes, the one whose sensitivity and specificity are meant. Default: the last by name",
    )
    answers.add_argument(
        "--temperature",
        choices=("fitted", "none"),
        help="fitted: divide scores by the number that makes probabilities right most nearly as often "
        "as they say, fitted on the validation part; the spec holds it. Default: fitted",
    )
