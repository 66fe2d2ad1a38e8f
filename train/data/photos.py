"""Folders of photos without labels: what there is to be learned from is what they look like."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from runtimes import Array, DataError, InputError
from sdk.inputs.image_decode import decode_image
from train.data.image_folder import SPLITS, SUFFIXES, unreadable

HELD_OUT_SHARE = 0.1
HELD_OUT_SEED = 20160327
"""Fixed, whatever the run's seed: `export` must find the same validation split again."""
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class PhotoFolder:
    """``root/{train,val,test}`` with photos at any depth, or ``root`` with photos at any depth.

    Attributes:
        parts: Photos of each of its own parts, sorted by path; ``train`` is always there.
        root: The folder.
    """

    parts: dict[str, list[Path]]
    root: Path

    def read(self, split: str) -> list[Path]:
        """The photos of one split; where there is no ``val``, some of ``train`` are held out for it.

        Raises:
            DataError: There is no such part, or a single photo to train and validate on.
        """
        if split in self.parts and (split != "train" or "val" in self.parts):
            return self.parts[split]
        if split == "test":
            raise DataError(f"Data {self.root.name!r}", got="no test part", fix="Add one, or use val.",
                            expected=f"one of {list(self.parts)}")  # fmt: skip
        photos = self.parts["train"]
        if len(photos) < 2:
            raise DataError(f"Data {self.root.name!r}", got="a single photo", fix="Add photos.",
                            expected="at least two, one to train and one to validate on")  # fmt: skip
        order = np.random.default_rng(HELD_OUT_SEED).permutation(len(photos))
        held = set(order[: max(1, round(HELD_OUT_SHARE * len(photos)))].tolist())
        return [photo for at, photo in enumerate(photos) if (at in held) == (split == "val")]

    def sha256(self, photos: Sequence[Path]) -> str:
        """Hash over every photo's path and size in bytes, in order."""
        digest = hashlib.sha256()
        for path in photos:
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()


def open_photos(data: Path) -> PhotoFolder:
    """Find the photos of a folder, and read every one's header.

    Raises:
        DataError: There is no such folder, no photo in it or in a part of it, or a file is no picture.
    """
    if not data.is_dir():
        raise DataError(f"Data {data.name!r}", got="a file" if data.exists() else "no such folder",
                        expected="a folder of photos", fix="Check the path of --data.")  # fmt: skip
    own = [name for name in SPLITS if (data / name).is_dir()] if (data / "train").is_dir() else []
    folders = {name: data / name for name in own} or {"train": data}
    parts = {name: _photos_in(folder) for name, folder in folders.items()}
    return PhotoFolder(parts, data)


class CentreSquares(Sequence[Array]):
    """The centre of each photo as a square: uint8 (side, side, 3), loaded when it is asked for.

    Args:
        photos: The files.
        side_px: What the square is resized to (bicubic).
    """

    def __init__(self, photos: Sequence[Path], side_px: int) -> None:
        self._photos = photos
        self._side = side_px

    def __len__(self) -> int:
        return len(self._photos)

    @overload
    def __getitem__(self, at: int) -> Array: ...

    @overload
    def __getitem__(self, at: slice) -> CentreSquares: ...

    def __getitem__(self, at: int | slice) -> Any:
        """One square; of a slice, as many as it names."""
        if isinstance(at, slice):
            return CentreSquares(self._photos[at], self._side)
        return square_of(load_photo(self._photos[at]), self._side)


def load_photo(path: Path) -> Image.Image:
    """A photo upright, as RGB; white behind what is transparent.

    Raises:
        DataError: It cannot be read.
    """
    try:
        picture = decode_image(path)
    except InputError as error:
        raise unreadable(path, error) from error
    if picture.mode == "RGB":
        return picture
    seen = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, (*_WHITE, 255)), seen).convert("RGB")


def square_of(photo: Image.Image, side_px: int) -> Array:
    """The largest square in the middle of an RGB picture, resized: uint8 (side, side, 3)."""
    shorter = min(photo.size)
    left, top = ((extent - shorter) // 2 for extent in photo.size)
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(photo.resize((side_px, side_px), Image.Resampling.BICUBIC, box))


def _photos_in(folder: Path) -> list[Path]:
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not photos:
        raise DataError(f"Folder {folder.name!r}", got="no photos", fix="Add photos, or remove the folder.",
                        expected=f"at least one of {', '.join(SUFFIXES)}")  # fmt: skip
    for path in photos:
        try:
            with Image.open(path):  # the header only: decoding every photo would take long
                pass
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise unreadable(path, error) from error
    return photos
