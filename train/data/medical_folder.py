"""Folders of medical pictures, divided so that no patient is in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from runtimes import Array, DataError, InputError
from sdk.inputs import dicom_decode
from train.data import image_folder
from train.data.image_folder import ImageFolder
from train.data.labelled_items import LabelledItems
from train.data.patients import (
    Patients,
    hold_out_neighbours,
    hold_out_patients,
    likely_rule,
    require_no_leak,
)
from train.options import require

HOLD_OUTS = ("patients", "neighbours")
HELD_OUT_SHARE = 0.2
HELD_OUT_SEED = 20170825
"""Fixed, whatever the run's seed: `export` must find the same validation split again."""


class MedicalFolder(ImageFolder):
    """As `ImageFolder`, with DICOM files among the pictures.

    Where there is no ``val`` folder, part of ``train`` is held out for it.

    Args:
        root: The folder.
        patients: One of `train.data.patients.RULES`; None is what the data suggests.
        hold_out: ``patients``: whole patients. ``neighbours``: neighbouring pictures of every patient, where
            there are too few patients to hold one back; only beside a ``test`` folder.
        positive: The class that comes last; None leaves them in the order of their names.

    Raises:
        UsageError: There is no class `positive`.
        DataError: As `ImageFolder`; or a picture's patient is not known, or is in two parts.
    """

    suffixes = (*image_folder.SUFFIXES, *dicom_decode.SUFFIXES)

    def __init__(self, root: Path, patients: str | None, hold_out: str, positive: str | None = None) -> None:
        super().__init__(root)
        if positive is not None:
            require("--positive", positive, positive in self._labels, f"one of {', '.join(self._labels)}")
            self._labels = (*(label for label in self._labels if label != positive), positive)
        own = {name: super(MedicalFolder, self).read(name) for name in self.splits}
        paths = [path for images in own.values() for path in images.items]
        self.rule = patients or likely_rule(root, paths)
        self._registry = Patients(root, self.rule)
        numbers = {name: self._registry.numbers_of(images.items) for name, images in own.items()}
        require_no_leak(root, {name: (own[name].items, numbers[name]) for name in own})
        if hold_out == "neighbours" and "test" not in own and "val" not in own:
            raise DataError(
                f"Data {root.name!r}",
                got="--hold-out neighbours without a test folder",
                expected="other patients to judge the result on",
                fix="Add a test folder with patients of its own, or leave --hold-out out.",
            )
        self._own, self._patients, self._hold_out = own, numbers["train"], hold_out
        self._own_val = "val" in own
        self.splits = tuple(name for name in image_folder.SPLITS if name in own or name == "val")

    def require_picture(self, path: Path) -> None:
        """Read a file's header, and refuse what is no picture."""
        if path.suffix.lower() not in dicom_decode.SUFFIXES:
            super().require_picture(path)
            return
        try:
            dicom_decode.require_picture(path)
        except InputError as error:
            subject = f"Picture {path.parent.name}/{path.name}"
            # Not `from error`: nothing behind it may quote the header.
            raise DataError(subject, got=error.got, expected=error.expected, fix=error.fix) from None

    def read(self, split: str) -> LabelledItems:
        """Paths with their classes, sorted by class and name."""
        if split == "test" or self._own_val:
            return self._own[split]
        held, train = self._held_out, self._own["train"]
        return train.take(held if split == "val" else np.setdiff1d(np.arange(len(train.targets)), held))

    def patients_of(self, paths: Sequence[Path]) -> Array:
        """The number of each picture's patient, int64 (N,): the same for the same person."""
        return self._registry.numbers_of(paths)

    @cached_property
    def _held_out(self) -> Array:
        hold_out = hold_out_patients if self._hold_out == "patients" else hold_out_neighbours
        return hold_out(self._own["train"].targets, self._patients, HELD_OUT_SHARE, HELD_OUT_SEED)
