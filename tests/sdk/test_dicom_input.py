"""DICOM files through the spec: every rule against numbers worked out by hand."""

from __future__ import annotations

import io
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from runtimes import EngineMissingError, InputError, SpecError
from sdk.inputs.dicom import DicomInput
from sdk.inputs.image import ImageInput
from sdk.spec import Spec
from tests.sdk.conftest import image_input, make_spec

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.uid import JPEG2000Lossless, RLELossless  # noqa: E402

from tests.small_dicom import dicom_dataset, write_dicom  # noqa: E402

RAMP = np.array([[0, 100], [200, 300]], np.uint16)


def dicom_input(**changes: Any) -> DicomInput:
    plain = {f.name: getattr(image_input(), f.name) for f in fields(ImageInput)}
    plain |= {"channels": "grey", "mean": (0.5,), "std": (0.5,), "size_wh": (2, 2)}
    own = {"window": "header", "window_centre": None, "window_width": None, "frame": "only"}
    return DicomInput(**{**plain, **own, **changes})


def levels(path: Path, **changes: Any) -> list[list[int]]:
    """Grey levels before resizing."""
    return np.asarray(dicom_input(**changes).load(path).source).tolist()


def test_spec_with_it_survives_json() -> None:
    spec = make_spec(input=dicom_input(window="fixed", window_centre=-600.0, window_width=1500.0), baked=())
    assert Spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": "best"}, "spec.input.window"),
        ({"frame": "last"}, "spec.input.frame"),
        ({"window": "fixed"}, "spec.input.window_centre"),
        ({"window": "fixed", "window_centre": 1.0, "window_width": 0.0}, "spec.input.window_width"),
        ({"window_centre": 1.0}, "null unless 'fixed'"),
        ({"window_width": 1.0}, "null unless 'fixed'"),
    ],
    ids=str,
)
def test_contradicting_spec_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        dicom_input(**changes)


def test_linear_window_as_the_standard_says(tmp_path: Path) -> None:
    # C.11.2.1.2.1 with centre 150, width 301: ((x - 149.5) / 300 + 0.5) * 255
    path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=150, WindowWidth=301)
    assert levels(path) == [[0, 85], [170, 255]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR_EXACT", [[0, 85], [170, 255]]),  # ((x - 150) / 300 + 0.5) * 255
        ("SIGMOID", [[30, 87], [168, 225]]),  # 255 / (1 + exp(-4 (x - 150) / 300))
    ],
)
def test_window_functions(tmp_path: Path, function: str, expected: list[list[int]]) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=150, WindowWidth=300, VOILUTFunction=function)
    assert levels(path) == expected


def test_rescaling_comes_before_the_window(tmp_path: Path) -> None:
    elements = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "WindowCenter": -699.5, "WindowWidth": 601}
    path = write_dicom(tmp_path / "a.dcm", RAMP, **elements)
    assert levels(path) == [[0, 85], [170, 255]]
    assert levels(path, window="fixed", window_centre=-699.5, window_width=601.0) == levels(path)


def test_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=[150, 0], WindowWidth=[301, 10])
    assert levels(path) == [[0, 85], [170, 255]]


def test_full_spans_darkest_to_brightest_without_padding(tmp_path: Path) -> None:
    pixels = np.array([[-2000, -100], [100, 300]], np.int16)
    path = write_dicom(tmp_path / "a.dcm", pixels)
    assert levels(path, window="full") == [[0, 211], [233, 255]]
    padded = write_dicom(tmp_path / "b.dcm", pixels, PixelPaddingValue=-2000)
    assert levels(padded, window="full") == [[0, 0], [128, 255]]
    inverted = write_dicom(
        tmp_path / "c.dcm", pixels, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"
    )
    assert levels(inverted, window="full") == [[0, 255], [127, 0]]


def test_flat_picture_is_black(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.full((2, 2), 7, np.uint16))
    assert levels(path, window="full") == [[0, 0], [0, 0]]


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    elements = {"WindowCenter": 150, "WindowWidth": 301, "PhotometricInterpretation": "MONOCHROME1"}
    assert levels(write_dicom(tmp_path / "a.dcm", RAMP, **elements)) == [[255, 170], [85, 0]]


def test_lookup_table_wins_over_a_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table.LUTData = [10, 20, 30, 40]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    pixels = np.array([[0, 1], [2, 9]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", pixels, VOILUTSequence=[table], WindowCenter=0, WindowWidth=1)
    assert levels(path) == [[10, 20], [30, 40]]


def test_eight_bit_and_twelve_bit(tmp_path: Path) -> None:
    eight = write_dicom(tmp_path / "a.dcm", (RAMP // 2).astype(np.uint8), WindowCenter=75.5, WindowWidth=151)
    assert levels(eight) == [[0, 85], [170, 255]]
    # Above the stored bits lie others, such as overlays, which are no grey levels.
    twelve = write_dicom(
        tmp_path / "b.dcm", RAMP | 0x4000, BitsStored=12, HighBit=11, WindowCenter=150, WindowWidth=301
    )
    assert levels(twelve) == [[0, 85], [170, 255]]


def test_colour_stays_colour(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    path = write_dicom(tmp_path / "a.dcm", pixels)
    assert np.array_equal(np.asarray(dicom_input().load(path).source), pixels)
    deep = write_dicom(tmp_path / "b.dcm", pixels.astype(np.uint16) * 257)
    assert np.array_equal(np.asarray(dicom_input().load(deep).source), pixels)


def test_frames(tmp_path: Path) -> None:
    frames = np.stack([np.full((2, 2), 100 * n, np.uint16) for n in range(4)])
    path = write_dicom(tmp_path / "a.dcm", frames, WindowCenter=150, WindowWidth=301)
    with pytest.raises(InputError, match="got 4 frames, expected a single one"):
        levels(path)
    assert levels(path, frame="first") == [[0, 0], [0, 0]]
    assert levels(path, frame="middle") == [[170, 170], [170, 170]]


def test_frames_have_their_own_windows(tmp_path: Path) -> None:
    def group(slope: float, centre: float) -> Dataset:
        values, window, frame = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 0, "US"
        window.WindowCenter, window.WindowWidth = centre, 301
        frame.PixelValueTransformationSequence, frame.FrameVOILUTSequence = [values], [window]
        return frame

    frames = np.stack([RAMP, RAMP // 2])
    path = write_dicom(
        tmp_path / "a.dcm", frames, PerFrameFunctionalGroupsSequence=[group(1, 0), group(2, 150)]
    )
    assert levels(path, frame="middle") == [[0, 85], [170, 255]]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_lossless_compression_gives_the_same_picture(tmp_path: Path, syntax: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 80)).astype(np.uint16)
    dataset = dicom_dataset(pixels)
    plain = tmp_path / "plain.dcm"
    dataset.save_as(plain, enforce_file_format=True)
    dataset.compress(syntax)  # writes with pylibjpeg-rle and pylibjpeg-openjpeg
    packed = tmp_path / "packed.dcm"
    dataset.save_as(packed, enforce_file_format=True)
    assert levels(packed, window="full") == levels(plain, window="full")


@pytest.mark.parametrize(
    "name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"]
)
def test_real_compressed_files_decode_as_the_uncompressed_one(name: str) -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    assert levels(folder / name) == levels(folder / "MR_small.dcm")


def test_ordinary_pictures_are_fed_as_ever(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (9, 7), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    plain = image_input(channels="grey", mean=(0.5,), std=(0.5,), size_wh=(2, 2))
    for item in (path, path.read_bytes(), pixels, Image.fromarray(pixels)):
        assert np.array_equal(dicom_input().load(item).arrays["image"], plain.load(item).arrays["image"])


def test_bytes_and_names_without_suffix_are_recognised(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM0001", RAMP, WindowCenter=150, WindowWidth=301)
    assert levels(path) == [[0, 85], [170, 255]]
    assert np.asarray(dicom_input().load(path.read_bytes()).source).tolist() == [[0, 85], [170, 255]]


def test_encoded_sample_holds_pixels_alone(tmp_path: Path) -> None:
    notes = PngInfo()
    notes.add_text("Patient", "SOMEBODY")
    image = Image.new("L", (4, 4), 9)
    image.info["icc_profile"] = b"SOMEBODY"
    path = tmp_path / "a.png"
    image.save(path, pnginfo=notes)
    data = dicom_input().encode(dicom_input().load(path).source)
    assert not Image.open(io.BytesIO(data)).info and b"SOMEBODY" not in data


def _unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "is_available", False)


@pytest.mark.parametrize(
    ("syntax", "package", "extra"),
    [
        ("1.2.840.10008.1.2.5", "pylibjpeg-rle", "medical"),
        ("1.2.840.10008.1.2.4.90", "pylibjpeg-openjpeg", "medical"),
        ("1.2.840.10008.1.2.4.70", "pylibjpeg-libjpeg", "medical-jpeg"),
        ("1.2.840.10008.1.2.4.80", "pylibjpeg-libjpeg", "medical-jpeg"),
    ],
    ids=["RLE", "JPEG 2000", "JPEG lossless", "JPEG-LS"],
)
def test_transfer_syntax_without_its_package_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, package: str, extra: str
) -> None:
    _unavailable(monkeypatch)
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(InputError, match=rf"need the package {package}.*edgewright\[{extra}\]") as caught:
        levels(path)
    assert "\n" not in str(caught.value)


def test_transfer_syntax_that_nothing_decodes_says_so(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(InputError, match="transfer syntax MPEG2.*expected uncompressed, RLE"):
        levels(path)


def test_missing_pydicom_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(EngineMissingError, match=r"edgewright\[medical\]"):
        dicom_input().load(path)


def _bad_files(folder: Path) -> dict[str, Path]:
    whole = write_dicom(folder / "whole.dcm", RAMP, WindowCenter=150, WindowWidth=301).read_bytes()
    cut = folder / "cut.dcm"
    cut.write_bytes(whole[:-4])
    text = folder / "text.dcm"
    text.write_text("no picture")
    empty = folder / "empty.dcm"
    empty.touch()
    return {
        "no pixels": write_dicom(folder / "report.dcm", None),
        "no window": write_dicom(folder / "plain.dcm", RAMP),
        "narrow": write_dicom(folder / "narrow.dcm", RAMP, WindowCenter=1, WindowWidth=0),
        "cut": cut,
        "text": text,
        "empty": empty,
        "no rows": write_dicom(folder / "rows.dcm", RAMP, Rows=0),
        "huge": write_dicom(folder / "huge.dcm", RAMP, Rows=65535, Columns=65535),
    }


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("no pixels", "'report.dcm': got no pixel data"),
        ("no window", "got no window in its header.*--window full"),
        ("narrow", "got a window of width 0"),
        ("cut", "truncated, or contradicts its description"),
        ("text", "10 bytes that are no DICOM file"),
        ("empty", "0 bytes that are no DICOM file"),
        ("no rows", "2×0 pixels"),
        ("huge", "65535×65535 pixels"),
    ],
)
def test_bad_file_is_refused_in_one_line(tmp_path: Path, which: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        levels(_bad_files(tmp_path)[which])
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        levels(tmp_path / "none.dcm")


SECRET = "ZWEIBLUM^ROSALIND"


def test_errors_warnings_and_logs_hold_nothing_of_the_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library quotes values that it cannot convert; this reader never does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of the values while it writes them
        path = write_dicom(
            tmp_path / "a.dcm", RAMP, PatientName=SECRET, PatientBirthDate=SECRET, WindowCenter=150
        )
        data = path.read_bytes().replace(b"150 ", b"ZWEI")
        path.write_bytes(data)
    assert SECRET.encode() in data
    assert any(SECRET in record.getMessage() for record in caplog.records)  # as it would when reading
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(InputError) as error:
            levels(path)
    assert error.value.__cause__ is None and "ZWEI" not in str(error.value)
    assert not caught and not caplog.records and capfd.readouterr() == ("", "")


def test_damaged_compressed_pixels_leave_no_traces_in_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = dicom_dataset(np.zeros((64, 64), np.uint16))
    dataset.compress(RLELossless)
    path = tmp_path / "a.dcm"
    dataset.save_as(path, enforce_file_format=True)
    data = bytearray(path.read_bytes())
    data[-40:-8] = bytes(32)
    path.write_bytes(data)
    with pytest.raises(InputError, match="truncated, or contradicts"):
        levels(path, window="full")
    assert not caplog.records and capfd.readouterr() == ("", "")


def test_nothing_but_named_elements_is_kept(tmp_path: Path) -> None:
    from sdk.inputs.dicom_decode import ELEMENTS, read_elements

    path = write_dicom(
        tmp_path / "a.dcm", RAMP, PatientName=SECRET, PatientID="4711", InstitutionName="St. X"
    )
    dataset = read_elements(path.read_bytes(), "DICOM", ELEMENTS)
    assert {element.keyword for element in dataset} <= set(ELEMENTS)
    assert "PatientID" not in dataset and "PatientName" not in dataset
