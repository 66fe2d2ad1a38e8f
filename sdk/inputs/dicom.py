"""Medical pictures: DICOM files and ordinary ones through one spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from runtimes import SpecError
from sdk.inputs.dicom_decode import FRAMES, DicomRules, decode_dicom, dicom_bytes
from sdk.inputs.dicom_window import WINDOWS, Window
from sdk.inputs.image import ImageInput
from sdk.kinds import Sample


@dataclass(frozen=True)
class DicomInput(ImageInput):
    """How a medical picture is fed: as `ImageInput`, once a DICOM file has become an 8-bit picture.

    That takes three steps: stored values are rescaled to the units of the modality, the window makes them
    grey levels from 0 to 255, and ``MONOCHROME1`` is inverted. Other pictures take none of them.

    Attributes:
        window: ``header``: the file's own window or lookup table, and files without one are refused;
            ``fixed``: `window_centre` and `window_width`; ``full``: from the darkest to the brightest value.
        window_centre: In rescaled units, such as Hounsfield units; None unless ``fixed``.
        window_width: Likewise, at least 1.
        frame: Of several frames: ``first``, ``middle``, or ``only``, which refuses files with more than one.
    """

    kind: ClassVar[str] = "dicom"
    media_types: ClassVar[tuple[str, ...]] = ("application/dicom", *ImageInput.media_types)

    window: str
    window_centre: float | None
    window_width: float | None
    frame: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("window", self.window, self.window in WINDOWS, f"one of {WINDOWS}")
        _require("frame", self.frame, self.frame in FRAMES, f"one of {FRAMES}")
        if self.window == "fixed":
            _require("window_centre", self.window_centre, self.window_centre is not None, "a number")
            wide = self.window_width is not None and self.window_width >= 1
            _require("window_width", self.window_width, wide, "at least 1")
        else:
            _require("window_centre", self.window_centre, self.window_centre is None, "null unless 'fixed'")
            _require("window_width", self.window_width, self.window_width is None, "null unless 'fixed'")

    def load(self, item: Any) -> Sample:
        """Decode and resize one picture; see `ImageInput.load`.

        Args:
            item: A DICOM file or its bytes, or whatever `ImageInput` takes.

        Raises:
            InputError: It cannot be used; messages hold nothing of a DICOM header.
            EngineMissingError: It is a DICOM file, and pydicom is not installed.
        """
        found = dicom_bytes(item)
        if found is None:
            return super().load(item)
        window = Window(self.window, self.window_centre, self.window_width)
        return super().load(decode_dicom(*found, DicomRules(window, self.frame)))

    def encode(self, source: Any) -> bytes:
        """The picture as PNG, as in `ImageInput`, with its pixels and nothing else of its file."""
        return super().encode(Image.fromarray(np.asarray(source)))


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.input.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
