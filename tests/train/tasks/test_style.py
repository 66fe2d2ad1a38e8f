"""Task ``style`` on small photos: what it learns, what it measures, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import DataError, UsageError
from sdk import Predictor
from sdk.artifact import read_artifact
from tests.style_subjects import write_photos, write_style, write_vgg
from train.data.photo_crops import PhotoCrops
from train.data.photos import open_photos
from train.loop import TrainResult, train
from train.options import make_options
from train.sampling import Draw
from train.tasks import get_task, task_of

SMALL: dict[str, Any] = {
    "crop_size": 16, "image_size": 32, "style_size": 32, "crops": 6, "batch_size": 2, "epochs": 2, "width": 4,
    "blocks": 1, "threads": 1, "num_workers": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a style, and VGG weights."""
    folder = tmp_path_factory.mktemp("style")
    write_photos(folder / "photos")
    write_style(folder / "style.png")
    write_vgg(folder / "vgg.safetensors")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> TrainResult:
    given = {**SMALL, "style": folder / "style.png", "vgg": folder / "vgg.safetensors"}
    return train(make_options("style", folder / "photos", folder / "run", **given))


def test_style_run_learns_and_says_what_it_was_judged_by(trained: TrainResult, folder: Path) -> None:
    headline, content, style, smooth = trained.metrics
    assert (headline.name, headline.mode, headline.unit) == ("perceptual_loss", "min", "")
    rules = read_artifact(trained.checkpoint).manifest.evidence.facts["style"]
    factors = rules["weights"]
    total = sum(factors[k] * m.value for k, m in (("content", content), ("style", style), ("smooth", smooth)))
    assert headline.value == pytest.approx(total, rel=1e-5)
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]
    assert (folder / "run" / "painted.png").is_file()


@pytest.mark.parametrize("size", [(40, 24), (33, 50), (1, 1)], ids=str)
def test_style_checkpoint_paints_pictures_of_any_size(trained: TrainResult, size: tuple[int, int]) -> None:
    width, height = size
    with Predictor(trained.checkpoint) as predictor:
        result = predictor.predict(np.full((height, width, 3), 90, np.uint8))
    assert result.pixels.shape == (height, width, 3)


def test_style_checkpoint_takes_a_list_of_different_sizes(trained: TrainResult) -> None:
    with Predictor(trained.checkpoint) as predictor:
        found = predictor.predict([Image.new("RGB", (20, 30)), Image.new("L", (31, 18))])
        assert predictor.verify().holds
    assert [result.size_wh for result in found] == [(20, 30), (31, 18)]


def test_style_is_measured_again_only_where_its_files_are(trained: TrainResult, folder: Path) -> None:
    artifact = read_artifact(trained.checkpoint)
    split = task_of(artifact).load_split(folder / "photos", "val", artifact.spec)
    with Predictor(trained.checkpoint) as predictor:
        results = predictor.predict(list(split.items))
    again = task_of(artifact).measure(results, split)
    assert again[0].value == pytest.approx(trained.metrics[0].value, rel=1e-5)
    moved = dict(artifact.manifest.evidence.facts)
    moved["style"] = {**moved["style"], "vgg": {**moved["style"]["vgg"], "sha256": "0" * 64}}
    assert get_task("style").as_trained(moved).measure(results, split) == ()
    assert task_of(artifact).agreement(results, results) == 1.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"style": None}, "Option --style: got nothing"),
        ({"vgg": None}, "Option --vgg: got nothing"),
        ({"crop_size": 18}, "--crop-size: got 18, expected a multiple of 4"),
        ({"style_weight": 0.0}, "more than 0 both"),
        ({"largest_px": 16}, "--largest-px: got 16, expected at least 32"),
        ({"teacher": Path("teacher.safetensors")}, "Option --teacher: got it for task 'style'"),
    ],
    ids=["no style", "no vgg", "odd crop", "no style weight", "too small a limit", "teacher"],
)
def test_style_options_that_make_no_sense_are_refused(
    folder: Path, given: dict[str, Any], words: str
) -> None:
    named = {**SMALL, "style": folder / "style.png", "vgg": folder / "vgg.safetensors", **given}
    with pytest.raises(UsageError, match=words):
        make_options("style", folder / "photos", folder / "other", **named)


def test_style_picture_of_one_pixel_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    given = {**SMALL, "style": tmp_path / "dot.png", "vgg": folder / "vgg.safetensors"}
    with pytest.raises(UsageError, match="'dot.png': got a picture of 1×1 pixels, expected at least 16×16"):
        train(make_options("style", folder / "photos", tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_photos_held_out_are_always_the_same_and_never_learned_from(folder: Path) -> None:
    source = open_photos(folder / "photos")
    train_part, val = source.read("train"), source.read("val")
    assert len(val) == 1
    assert not set(train_part) & set(val)
    assert open_photos(folder / "photos").read("val") == val
    with pytest.raises(DataError, match="got no test part"):
        source.read("test")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda at: None, "got no such folder"),
        (lambda at: at.mkdir(), "got no photos"),
        (lambda at: write_photos(at, 1), "got a single photo"),
        (lambda at: (at.mkdir(), (at / "a.png").write_bytes(b"none")), "Picture bad/a.png"),
    ],
    ids=["missing", "empty", "one", "damaged"],
)
def test_photos_that_cannot_be_learned_from_are_refused(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "bad")
    with pytest.raises(DataError, match=words):
        open_photos(tmp_path / "bad").read("train")


def test_crops_follow_from_the_draw_alone(folder: Path) -> None:
    photos = open_photos(folder / "photos").read("train")
    crops = PhotoCrops(photos, 16, 10)
    one, other = crops[Draw(4, 11)], PhotoCrops(photos, 16, 10)[Draw(4, 11)]
    assert np.array_equal(one, other)
    assert not np.array_equal(one, crops[Draw(4, 12)])
    batch = crops.collate([one, other])
    assert tuple(batch.shape) == (2, 3, 16, 16)
    assert 0.0 <= float(batch.min()) < float(batch.max()) <= 1.0
