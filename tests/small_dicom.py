"""DICOM files made for tests: any pixels, any description, and as many identifiers as a clinic's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def dicom_dataset(pixels: np.ndarray | None, **elements: Any) -> Dataset:
    """A data set with `pixels` (H, W), (frames, H, W) or (H, W, 3), and any elements by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    if pixels is not None:
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3
        dataset.Rows, dataset.Columns = pixels.shape[:2] if colour or pixels.ndim == 2 else pixels.shape[1:]
        dataset.SamplesPerPixel = 3 if colour else 1
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        if pixels.ndim == 3 and not colour:
            dataset.NumberOfFrames = pixels.shape[0]
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def write_dicom(path: Path, pixels: np.ndarray | None, **elements: Any) -> Path:
    """Write `dicom_dataset` to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom_dataset(pixels, **elements).save_as(path, enforce_file_format=True)
    return path


def write_medical_folder(
    root: Path,
    *,
    patients: int = 4,
    slices: int = 3,
    side_px: int = 24,
    parts: tuple[str, ...] = ("",),
    identify: Any = None,
) -> Path:
    """Two classes of 16-bit pictures, bright above or bright below, of several patients each.

    Args:
        root: Where they go: PART/CLASS/pNN_MM.dcm.
        patients: Per class and part.
        slices: Per patient.
        side_px: Of each picture.
        parts: Sub-folders, or one empty name.
        identify: Called with the patient's name for more elements.
    """
    generator = np.random.default_rng(5)
    for at, part in enumerate(parts):
        for label, rows in (("above", slice(None, side_px // 2)), ("below", slice(side_px // 2, None))):
            for number in range(patients):
                patient = f"{label}{at}{number}"
                for cut in range(slices):
                    pixels = generator.integers(0, 300, (side_px, side_px)).astype(np.uint16)
                    pixels[rows] += 900
                    more = identify(patient) if identify else {}
                    elements = {"PatientID": patient, "WindowCenter": 600, "WindowWidth": 1200, **more}
                    write_dicom(root / part / label / f"{patient}_{cut:02}.dcm", pixels, **elements)
    return root
