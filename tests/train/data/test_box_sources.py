"""Readers of pictures with boxes: each layout, and everything that can be wrong with a label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import DataError
from tests.train.box_sets import (
    LABELS,
    Box,
    draw_picture,
    random_boxes,
    write_coco,
    write_voc,
    write_yolo,
    yolo_lines,
)
from train.data.box_sources import open_boxes, read_part
from train.data.boxes import BoxedImages

HALF_PX = 0.5
"""Six digits of a share of 64 pixels are far finer; a wrong formula is far coarser."""

BOXES: list[Box] = [(0, 4, 8, 30, 40), (1, 20, 10, 60, 50)]
PARTS = {"train": {"a": BOXES, "b": [], "c": [(1, 0, 0, 64, 64)]}, "val": {"d": [(0, 10, 10, 20, 30)]}}


def _yolo(root: Path) -> Path:
    for part, pictures in PARTS.items():
        write_yolo(root, part, pictures)
    return root


def _yolo_turned(root: Path) -> Path:
    """``images/train`` in place of ``train/images``."""
    _yolo(root)
    for part in PARTS:
        for kind in ("images", "labels"):
            (root / kind).mkdir(exist_ok=True)
            (root / part / kind).rename(root / kind / part)
        (root / part).rmdir()
    return root


def _coco(root: Path) -> Path:
    for part, pictures in PARTS.items():
        write_coco(root, part, pictures)
    return root


def _coco_beside(root: Path) -> Path:
    """``train/_annotations.coco.json`` beside its pictures."""
    _coco(root)
    for part in PARTS:
        (root / "annotations" / f"instances_{part}.json").rename(root / part / "_annotations.coco.json")
    (root / "annotations").rmdir()
    return root


def _voc(root: Path) -> Path:
    return write_voc(root / "VOCdevkit" / "VOC2012", PARTS)


@pytest.mark.parametrize(
    "write", [_yolo, _yolo_turned, _coco, _coco_beside, _voc], ids=["yolo", "turned", "coco", "beside", "voc"]
)
def test_every_layout_gives_the_same_boxes(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    write(tmp_path)
    source = open_boxes(tmp_path)
    assert source.splits == ("train", "val")
    train, val = (read_part(source, tmp_path, part) for part in ("train", "val"))
    assert [path.stem for path in (*train.items, *val.items)] == ["a", "b", "c", "d"]
    assert train.labels == LABELS
    for path, target in zip((*train.items, *val.items), (*train.targets, *val.targets), strict=True):
        wanted = {**PARTS["train"], **PARTS["val"]}[path.stem]
        assert target.classes.tolist() == [label for label, *_ in wanted]
        assert target.boxes_xyxy.shape == (len(wanted), 4)
        assert target.boxes_xyxy == pytest.approx(
            np.array([b[1:] for b in wanted]).reshape(-1, 4), abs=HALF_PX
        )
        assert not target.crowd.any()


def test_a_set_without_val_holds_out_always_the_same_pictures(tmp_path: Path) -> None:
    write_yolo(tmp_path, "train", {f"{at:02d}": random_boxes(at) for at in range(20)})
    parts = [read_part(open_boxes(tmp_path), tmp_path, name) for name in ("train", "val", "val")]
    train, val, again = ({path.name for path in part.items} for part in parts)
    assert (len(train), len(val)) == (18, 2)
    assert not train & val
    assert val == again
    with pytest.raises(DataError, match="got no test part"):
        read_part(open_boxes(tmp_path), tmp_path, "test")


def test_sets_without_names_call_classes_by_number(tmp_path: Path) -> None:
    write_yolo(tmp_path, "train", PARTS["train"], names=False)
    source = open_boxes(tmp_path)
    assert source.names_classes is False
    assert source.read("train").labels == ("0", "1")


@pytest.mark.parametrize(
    "names", ["names: [disc, square]", "names:\n  0: disc\n  1: square"], ids=["list", "numbered"]
)
def test_names_are_read_from_yaml(tmp_path: Path, names: str) -> None:
    write_yolo(tmp_path, "train", PARTS["train"], names=False)
    (tmp_path / "data.yaml").write_text(f"path: .\n{names}\n")
    assert open_boxes(tmp_path).read("train").labels == LABELS


def test_pictures_alone_have_no_truth(tmp_path: Path) -> None:
    for name in ("b", "a"):
        draw_picture(tmp_path / f"{name}.png", [])
    source = open_boxes(tmp_path)
    assert "test" in source.splits
    part = read_part(source, tmp_path, "test")
    assert [path.stem for path in part.items] == ["a", "b"]
    assert part.targets == ()


def test_boxes_belong_to_the_upright_picture(tmp_path: Path) -> None:
    """A picture stored 40×20 whose EXIF orientation turns it is 20×40 for boxes, as it is for `predict`."""
    for folder in ("images", "labels"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    turned = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "train" / "images" / "a.jpg", exif=exif)
    (tmp_path / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    (target,) = open_boxes(tmp_path).read("train").targets
    assert target.boxes_xyxy.tolist() == [[0, 0, 20, 40]]


def test_crowds_and_difficult_objects_are_marked(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", "train", {"a": BOXES}, crowd=True)
    write_voc(tmp_path / "voc", {"train": {"a": BOXES}}, difficult=True)
    for name in ("coco", "voc"):
        (target,) = open_boxes(tmp_path / name).read("train").targets
        assert target.crowd.tolist() == [True, True]
        assert len(target.learned()) == 0


def _sha(root: Path) -> str:
    return open_boxes(root).read("train").sha256()


def test_the_hash_follows_the_boxes(tmp_path: Path) -> None:
    root = _yolo(tmp_path)
    before = _sha(root)
    assert _sha(root) == before
    (root / "train" / "labels" / "a.txt").write_text(yolo_lines(BOXES[:1]))
    assert _sha(root) != before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1.2 0.5 0.1 0.1", r"Label file 'a.txt', line 2: got 1.2, expected class, x, y"),
        ("0 0.5 -0.1 0.1 0.1", r"line 2: got -0.1, expected"),
        ("0 0.5 0.5 nan 0.1", r"line 2: got nan, expected"),
        ("2 0.5 0.5 0.1 0.1", r"line 2: got class 2, expected a class from 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", r"line 2: got class -1, expected a whole number"),
        ("0.5 0.5 0.5 0.1 0.1", r"line 2: got class 0.5, expected a whole number"),
        ("0 0.5 0.5 0 0.1", r"line 2: got a box without area, expected a width and a height"),
        ("0 0.5 0.5 0.1", r"line 2: got 4 numbers, expected 5"),
        ("tree 0.5 0.5 0.1 0.1", r"line 2: got could not convert .*'tree', expected class"),
    ],
    ids=["beyond", "before", "nan", "class", "below", "broken", "no area", "short", "text"],
)
def test_yolo_labels_that_cannot_be_are_named_with_their_line(
    tmp_path: Path, line: str, message: str
) -> None:
    root = _yolo(tmp_path)
    (root / "train" / "labels" / "a.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=message) as raised:
        open_boxes(root).read("train")
    assert "\n" not in str(raised.value)


def test_a_picture_without_a_label_file_is_named(tmp_path: Path) -> None:
    root = _yolo(tmp_path)
    (root / "train" / "labels" / "b.txt").unlink()
    with pytest.raises(DataError, match=r"Picture images/b.png: got no label file, expected labels/b.txt"):
        open_boxes(root).read("train")


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    root = _yolo(tmp_path)
    (root / "train" / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"Picture images/a.png"):
        open_boxes(root).read("train")


def _change(tree: dict[str, list[dict[str, object]]], key: str, **values: object) -> None:
    tree[key][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: _change(t, "annotations", bbox=[1, 1, 0, 5]),
            "Annotation 1 in .*: got a box without area",
        ),
        (lambda t: _change(t, "annotations", bbox=[900, 1, 5, 5]), "got a box outside its picture"),
        (lambda t: _change(t, "annotations", bbox=[1, 1, "x", 5]), "expected left, top, width and height"),
        (lambda t: _change(t, "annotations", category_id=4), "got category 4, expected one in categories"),
        (lambda t: _change(t, "annotations", image_id=99), "got a box of picture 99"),
        (lambda t: _change(t, "images", file_name="gone.png"), "got picture 'gone.png', which is not there"),
        (lambda t: _change(t, "images", width=63), "got 63×64 px, expected its upright size of 64×64"),
        (lambda t: t.pop("categories"), "got no 'categories'"),
        (lambda t: _change(t, "categories", name="disc"), "got 2 names, 1 of them different"),
    ],
    ids=["no area", "outside", "text", "category", "picture", "gone", "size", "no categories", "twice"],
)
def test_coco_annotations_that_cannot_be_are_named(
    tmp_path: Path, change: Callable[[dict[str, list[dict[str, object]]]], None], message: str
) -> None:
    file = write_coco(tmp_path, "train", {"a": BOXES}) / "annotations" / "instances_train.json"
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=message):
        open_boxes(tmp_path).read("train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmax>30</xmax>", "<xmax>4</xmax>", "Annotation 'a.xml', object 1: got a box without area"),
        ("<xmax>30</xmax>", "", "got no box, or one that is no numbers"),
        ("<name>disc</name>", "", "got an object without name"),
        ("</annotation>", "", "Annotation 'a.xml': got .*, expected Pascal VOC's XML"),
    ],
    ids=["no area", "no edge", "no name", "cut"],
)
def test_voc_annotations_that_cannot_be_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = write_voc(tmp_path, {"train": {"a": BOXES}})
    file = root / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace(old, new))

    def read() -> BoxedImages:
        return open_boxes(root).read("train")

    with pytest.raises(DataError, match=message):
        read()


def test_voc_classes_past_the_list_are_named(tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"train": {"a": BOXES}})
    (root / "labels.txt").write_text("disc\n")
    with pytest.raises(DataError, match="object 2: got class 'square', expected one of disc"):
        open_boxes(root).read("train")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"Data '{name}': got"):
        open_boxes(tmp_path / name)


def test_the_trees_are_read_whole(shared_data: Path) -> None:
    source = open_boxes(shared_data / "trees")
    counts = {name: sum(map(len, source.read(name).targets)) for name in source.splits}
    assert counts == {"train": 459, "val": 211}
