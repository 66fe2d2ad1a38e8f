"""What is a video, a camera or an address, and what of an address may be shown."""

from __future__ import annotations

import pytest

from sdk.stream.names import camera_number, is_stream, shown_address


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("film.mp4", True),
        ("FILM.MKV", True),
        ("rtsp://host/cam", True),
        ("http://host/cat.jpg", True),
        ("camera:2", True),
        ("/dev/video0", True),
        ("cat.png", False),
        ("photos", False),
        ("camera:", False),
        ("camera:x.png", False),
        ("://", False),
    ],
)
def test_is_stream(word: str, expected: bool) -> None:
    assert is_stream(word) is expected


@pytest.mark.parametrize(("word", "number"), [("camera:12", 12), ("/dev/video3", 3), ("camera:-1", None)])
def test_camera_number(word: str, number: int | None) -> None:
    assert camera_number(word) == number


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://host:554/cam/1", "rtsp://host:554/cam/1"),
        ("rtsp://me:secret@host/cam", "rtsp://host/cam"),
        ("rtsp://me:s@cr/et@host/cam", "rtsp://host/cam"),
        ("http://host/v?token=secret#part", "http://host/v"),
        ("http://[::1/v?k=secret", "http://[::1/v"),
    ],
    ids=["plain", "user", "odd-password", "query", "malformed"],
)
def test_shown_address_keeps_secrets(address: str, shown: str) -> None:
    assert shown_address(address) == shown
