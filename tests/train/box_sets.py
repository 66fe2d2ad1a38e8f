"""Small sets of pictures with boxes that are made on the spot, in each layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 64
LABELS = ("disc", "square")

Box = tuple[int, float, float, float, float]
"""Class, and left, top, right and bottom in pixels."""


def draw_picture(path: Path, boxes: list[Box], side_px: int = SIDE_PX) -> None:
    """Bright rectangles on dark noise; the class is the colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(boxes)).integers(0, 60, (side_px, side_px, 3), dtype=np.uint8)
    for label, *edges in boxes:
        left, top, right, bottom = (round(edge) for edge in edges)
        pixels[top:bottom, left:right] = (230, 60, 60) if label == 0 else (60, 230, 60)
    Image.fromarray(pixels).save(path)


def random_boxes(seed: int, count: int = 2, side_px: int = SIDE_PX) -> list[Box]:
    """Rectangles of a third to a half of the side."""
    generator = np.random.default_rng(seed)
    boxes: list[Box] = []
    for _ in range(count):
        width, height = generator.integers(side_px // 3, side_px // 2, 2).tolist()
        left, top = (int(generator.integers(0, side_px - extent)) for extent in (width, height))
        boxes.append((int(generator.integers(2)), left, top, left + width, top + height))
    return boxes


def yolo_lines(boxes: list[Box], side_px: int = SIDE_PX) -> str:
    """The boxes as a label file says them."""
    lines = []
    for label, left, top, right, bottom in boxes:
        shares = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        lines.append(" ".join([str(label), *(f"{share / side_px:.6f}" for share in shares)]))
    return "\n".join(lines)


def write_yolo(root: Path, part: str, pictures: dict[str, list[Box]], names: bool = True) -> Path:
    """``root/part/{images,labels}``."""
    for name, boxes in pictures.items():
        draw_picture(root / part / "images" / f"{name}.png", boxes)
        label = root / part / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(yolo_lines(boxes))
    if names:
        (root / "labels.txt").write_text("\n".join(LABELS))
    return root


def write_coco(root: Path, part: str, pictures: dict[str, list[Box]], crowd: bool = False) -> Path:
    """``root/annotations/instances_part.json`` and ``root/part``; category ids have gaps."""
    images, annotations = [], []
    for at, (name, boxes) in enumerate(pictures.items()):
        draw_picture(root / part / f"{name}.png", boxes)
        images.append({"id": 10 + at, "file_name": f"{name}.png", "width": SIDE_PX, "height": SIDE_PX})
        for label, left, top, right, bottom in boxes:
            entry = {"id": len(annotations) + 1, "image_id": 10 + at, "category_id": 7 * label + 3,
                     "bbox": [left, top, right - left, bottom - top], "iscrowd": int(crowd)}  # fmt: skip
            annotations.append(entry)
    categories = [{"id": 7 * at + 3, "name": name} for at, name in enumerate(LABELS)]
    tree = {"images": images, "annotations": annotations, "categories": categories[::-1]}
    file = root / "annotations" / f"instances_{part}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree))
    return root


def write_voc(root: Path, parts: dict[str, dict[str, list[Box]]], difficult: bool = False) -> Path:
    """Pascal VOC's folders; its pixels count from 1."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for part, pictures in parts.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(pictures))
        for name, boxes in pictures.items():
            draw_picture(root / "JPEGImages" / f"{name}.png", boxes)
            objects = "".join(
                f"<object><name>{LABELS[label]}</name><difficult>{int(difficult)}</difficult><bndbox>"
                f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
                "</bndbox></object>"
                for label, left, top, right, bottom in boxes
            )
            (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    return root
