"""Make a segmentation set with exact masks: real product pictures pasted on real photos.

    python -m demos.make_segmentation_set --photos PHOTOS/ --out products-on-photos/
    edgewright train segmentation --data products-on-photos/

Products are Fashion-MNIST's, cut out along their silhouette, coloured, scaled, turned, and laid over crops of
the photos, the later over the earlier. Training, validation and test share neither a product nor a photo. The
same arguments give the same files. Fashion-MNIST's ten classes become three that can be told apart by
their silhouettes: what is a shirt, a pullover or a coat at 28×28 pixels is a matter of opinion.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from runtimes import UsageError
from sdk.inputs.image_decode import decode_image
from train.data.boxes import pictures_in
from train.data.idx import read_idx
from train.data.masks import IMAGES, LABELS_FILE, MASKS

LABELS = ("background", "garment", "shoe", "bag")
CLASS_OF_PRODUCT = (1, 1, 1, 1, 1, 2, 1, 2, 3, 2)
"""Index in `LABELS` of each class of Fashion-MNIST."""
SAMPLE_DIR = Path(__file__).parent / "data" / "fashion_mnist_sample"
FEWEST_PHOTOS = 3

_FILES = {"train": "train", "val": "train", "test": "t10k"}
_FABRIC_LEVEL = 10
"""Fashion-MNIST's background is 0, with specks of a few levels."""
_OBJECTS, _TRIES = (1, 2), 8
_SIZES, _DEGREES, _CROPS, _LIGHT = (0.45, 0.85), 25.0, (0.35, 0.9), (0.6, 1.3)
_OUTSIDE_SHARE = 0.1
"""Of a product's square that may lie outside the picture."""
_HIDDEN_SHARE = 0.1
"""Of a product that others may hide: more, and nobody could say what it is."""
_ASPECTS = (1.0, 0.8, 0.7)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """What one split draws from.

    Attributes:
        products: uint8 (N, 28, 28).
        classes: Index in `LABELS` of each, int64 (N,).
        photos: RGB.
    """

    products: Pixels
    classes: NDArray[Any]
    photos: list[Image.Image]


def main() -> int:
    """Read the arguments and write the set."""
    parser = argparse.ArgumentParser(description="Make a segmentation set: products pasted on photos.")
    parser.add_argument(
        "--photos",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders of photos, three or more",
    )
    parser.add_argument("--out", type=Path, required=True, help="where the set goes")
    parser.add_argument(
        "--products", type=Path, default=SAMPLE_DIR, help="Fashion-MNIST; default: the sample"
    )
    parser.add_argument(
        "--counts", type=int, nargs=3, default=(600, 100, 200), metavar=("TRAIN", "VAL", "TEST")
    )
    parser.add_argument("--side", type=int, default=160, help="longest side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    make_set(args.products, args.photos, args.out, tuple(args.counts), side=args.side, seed=args.seed)
    return 0


def make_set(
    products: Path,
    photos: Sequence[Path],
    out: Path,
    counts: tuple[int, int, int],
    *,
    side: int,
    seed: int = 0,
) -> None:
    """Write ``out/{train,val,test}/{images,masks}/*.png`` and ``out/labels.txt``.

    Args:
        products: Folder with Fashion-MNIST's files.
        photos: Folders with at least `FEWEST_PHOTOS` photos together. The more there are, the better is
            what was learned told from what lies behind it.
        out: Is made; files of the same name are replaced.
        counts: Pictures for training, validation and test.
        side: Longest side of the pictures in pixels.
        seed: Of everything that is drawn.

    Raises:
        UsageError: There are too few photos.
        DataError: A file of Fashion-MNIST is not there or damaged.
    """
    parts = _read_parts(products, photos)
    for number, (name, count) in enumerate(zip(parts, counts, strict=True)):
        for folder in (IMAGES, MASKS):
            (out / name / folder).mkdir(parents=True, exist_ok=True)
        for at in range(count):
            picture, mask = compose(parts[name], np.random.default_rng([seed, number, at]), side)
            picture.save(out / name / IMAGES / f"{at:05d}.png")
            mask.save(out / name / MASKS / f"{at:05d}.png")
    (out / LABELS_FILE).write_text("\n".join(LABELS) + "\n", encoding="utf-8")


def compose(part: Part, generator: np.random.Generator, side: int) -> tuple[Image.Image, Image.Image]:
    """One picture and its mask, `side` pixels at its longest."""
    canvas = _background(part.photos, generator, side)
    mask = Image.new("L", canvas.size, 0)
    for _ in range(int(generator.integers(_OBJECTS[0], _OBJECTS[1] + 1))):
        # A class first, then a product: garments are six of the ten.
        label = int(generator.integers(1, len(LABELS)))
        row = int(generator.choice(np.flatnonzero(part.classes == label)))
        longest = round(float(generator.uniform(*_SIZES)) * min(canvas.size))
        product, alpha = _cut_out(part.products[row], generator, longest)
        at = _free_place(mask, alpha, generator)
        if at is not None:
            canvas.paste(product, at, alpha)
            mask.paste(label, at, _hard(alpha))
    return canvas, mask


def silhouette(product: Pixels) -> Image.Image:
    """Where a product uint8 (28, 28) is: 255 inside its outline, holes filled, else 0."""
    # A margin, so that the outside is one region that reaches the corner.
    fabric = np.pad(np.where(product > _FABRIC_LEVEL, 255, 0).astype(np.uint8), 1)
    picture = Image.fromarray(fabric).copy()  # what comes from an array cannot be drawn on
    ImageDraw.floodfill(picture, (0, 0), 128)
    inside = np.asarray(picture)[1:-1, 1:-1] != 128
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))


def _hard(alpha: Image.Image) -> Image.Image:
    return alpha.point([0] * 128 + [255] * 128)


def _free_place(
    mask: Image.Image, alpha: Image.Image, generator: np.random.Generator
) -> tuple[int, int] | None:
    """Left and top where a product hides little of what is there; None when the picture is full."""
    out = round(_OUTSIDE_SHARE * alpha.width)
    there = np.asarray(mask) > 0
    for _ in range(_TRIES):
        left, top = (int(generator.integers(-out, room - alpha.width + out + 1)) for room in mask.size)
        new = Image.new("L", mask.size, 0)
        new.paste(_hard(alpha), (left, top))
        covered = np.asarray(new) > 0
        smaller = min(int(covered.sum()), int(there.sum()))
        if int((covered & there).sum()) <= _HIDDEN_SHARE * smaller:
            return left, top
    return None


def _cut_out(
    product: Pixels, generator: np.random.Generator, longest: int
) -> tuple[Image.Image, Image.Image]:
    """A product in one random colour, and its opacity; both `longest` pixels square."""
    degrees = float(generator.uniform(-_DEGREES, _DEGREES))
    size, smooth = (longest, longest), Image.Resampling.BICUBIC
    grey, alpha = (
        picture.resize(size, smooth).rotate(degrees, smooth)
        for picture in (Image.fromarray(product), silhouette(product))
    )
    if generator.random() < 0.5:
        grey, alpha = (picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in (grey, alpha))
    hue, saturation, value = generator.integers((0, 40, 120), (256, 256, 256))
    colour = Image.new("HSV", (1, 1), (int(hue), int(saturation), int(value))).convert("RGB")
    levels = np.asarray(grey, np.float32) / max(1, int(product.max()))
    shade = 0.35 + 0.65 * levels.clip(0.0, 1.0)
    pixels = np.asarray(colour, np.float32)[0, 0] * shade[:, :, None]
    # Steeper than the resampling made it: an edge of one or two pixels, as a camera has.
    opacity = ((np.asarray(alpha, np.float32) - 128.0) * longest / 28.0 + 128.0).clip(0, 255)
    return Image.fromarray(pixels.round().astype(np.uint8)), Image.fromarray(opacity.round().astype(np.uint8))


def _background(photos: list[Image.Image], generator: np.random.Generator, side: int) -> Image.Image:
    photo = photos[int(generator.integers(len(photos)))]
    aspect = float(generator.choice(_ASPECTS))
    width = float(generator.uniform(*_CROPS)) * min(photo.width, photo.height)
    height = width * aspect
    left = float(generator.uniform(0, photo.width - width))
    top = float(generator.uniform(0, photo.height - height))
    box = (left, top, left + width, top + height)
    crop = photo.resize((side, round(side * aspect)), Image.Resampling.BICUBIC, box)
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.TRANSPOSE)
    return ImageEnhance.Brightness(crop).enhance(float(generator.uniform(*_LIGHT)))


def _read_parts(products: Path, photos: Sequence[Path]) -> dict[str, Part]:
    """Every fifth photo from the third on is for the test, every fifth from the second for validation."""
    paths = [path for folder in photos for path in pictures_in(folder)]
    if len(paths) < FEWEST_PHOTOS:
        raise UsageError("Option --photos", got=f"{len(paths)} photos", expected=f"at least {FEWEST_PHOTOS}",
                         fix="Each part needs one of its own.")  # fmt: skip
    owners = {2: "test", 1: "val"}
    names = [owners.get(at % 5, "train") for at in range(len(paths))]
    parts = {}
    for split, prefix in _FILES.items():
        images, labels = (
            read_idx(products / f"{prefix}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1")
        )
        rows = np.arange(len(images))
        if prefix == "train":
            # The last tenth of the training products is for validation.
            held = len(images) // 10
            rows = rows[-held:] if split == "val" else rows[:-held]
        own = [
            decode_image(path).convert("RGB")
            for path, name in zip(paths, names, strict=True)
            if name == split
        ]
        parts[split] = Part(images[rows], np.asarray(CLASS_OF_PRODUCT)[labels[rows]], own)
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
