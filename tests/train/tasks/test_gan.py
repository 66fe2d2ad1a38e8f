"""Task ``gan``: what a run is made of, how it is scored, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import DataError, UsageError
from sdk.artifact import read_artifact
from sdk.results import GeneratedImage
from tests.train.small_data import write_idx_folder, write_pictures
from train.loop import train
from train.options import make_options
from train.picture_features import RANDOM, features_again, open_features
from train.tasks import get_task, task_of
from train.tasks.gan import FACT, GanTask


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Idx files, 8×6: three brightnesses, 220 pictures each, and as many for testing. Read only."""
    return write_idx_folder(tmp_path_factory.mktemp("shades"), per_class=220)


def _plan(data: Path, **given: Any) -> Any:
    return get_task("gan").plan(make_options("gan", data, "out", **given))


def _painted(split: Any) -> list[Any]:
    """The split's real pictures as results."""
    return [GeneratedImage(picture[..., None], None) for picture in split.targets]


def test_spec_fits_the_pictures(shades: Path, tmp_path: Path) -> None:
    spec = _plan(shades, dimensions=6, width=4).spec
    assert (spec.input.kind, spec.input.dimensions) == ("noise", 6)
    assert (spec.output.kind, spec.output.channels) == ("picture", "grey")
    assert [str(info) for info in spec.graph().outputs] == ["float32 (1+, 1, 8, 8)"]
    for number, label in enumerate(("a", "b")):
        write_pictures(tmp_path / label, (200, 40, 40), 200, seed=number)
    coloured = _plan(tmp_path, image_size=24, width=4).spec
    assert coloured.output.channels == "rgb"
    assert [str(info) for info in coloured.graph().outputs] == ["float32 (1+, 3, 24, 24)"]


def test_plain_folders_are_learned_from(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "inside", (200, 40, 40), 210, seed=1)
    splits = _plan(tmp_path / "set", image_size=8, width=4).splits
    assert [len(split) for split in splits] == [189, 21, 21]
    assert splits.train.targets[0].shape == (8, 8, 3)
    (tmp_path / "set" / "inside" / "017.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"Picture inside/017\.png"):
        _plan(tmp_path / "set", image_size=8)
    with pytest.raises(DataError, match="no such folder"):
        _plan(tmp_path / "gone")


def test_splits_hold_seeds_and_real_pictures(shades: Path) -> None:
    splits = _plan(shades, score_samples=40).splits
    assert [len(split) for split in splits] == [594, 40, 40]
    assert len({seed for split in splits for seed in split.items}) == 594 + 40 + 40
    for split in splits:
        assert len(split.targets) == len(split.items)
        assert (split.targets[3].shape, split.targets[3].dtype) == ((8, 8), np.uint8)


def test_classes_choose_the_pictures(shades: Path, tmp_path: Path) -> None:
    dark = _plan(shades, classes=("0",), score_samples=20).splits.proof
    assert len(dark) == 20
    assert max(int(picture.max()) for picture in dark.targets) < 40
    with pytest.raises(UsageError, match=r"--classes .*: got 'shoe', expected some of 0, 1, 2"):
        _plan(shades, classes=("shoe",))
    with pytest.raises(DataError, match="split 'val': got 8 pictures, expected at least 20"):
        _plan(write_idx_folder(tmp_path, per_class=80), classes=("1",))


def test_score_is_lower_for_pictures_that_are_alike(shades: Path) -> None:
    task = get_task("gan")
    proof = task.load_split(shades, "test")
    others = task.load_split(shades, "train")
    generator = np.random.default_rng(0)
    noise = [GeneratedImage(generator.integers(0, 255, (8, 8, 1), np.uint8), None) for _ in range(len(proof))]
    (alike,) = task.measure(_painted(others), proof)
    (unlike,) = task.measure(noise, proof)
    (same,) = task.measure(_painted(proof), proof)
    assert same.value < alike.value < 0.1 * unlike.value
    assert same.value == pytest.approx(0.0, abs=1e-3)
    assert (alike.name, alike.mode, alike.unit) == ("frechet", "min", "")
    assert alike.low <= alike.value <= alike.high


def test_agreement_is_within_a_level_in_the_mean() -> None:
    picture = np.full((4, 4, 1), 100, np.uint8)
    level, two = picture + np.uint8(1), picture + np.uint8(2)
    single = picture.copy()
    single[0, 0] += 15
    results = [GeneratedImage(p, None) for p in (picture, picture, picture, picture)]
    others = [GeneratedImage(p, None) for p in (picture, level, two, single)]
    assert get_task("gan").agreement(results, others) == 0.75


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label_smoothing": 0.1}, "--label-smoothing: got it with --loss hinge"),
        ({"loss": "wasserstein"}, "--loss: got 'wasserstein'"),
        ({"scheduler": "one-cycle"}, "--scheduler: got one-cycle for task 'gan'"),
        ({"batch_size": 1}, "--batch-size: got 1, expected at least 2"),
        ({"precision": "16-mixed", "clip_norm": 1.0}, "16-mixed with clipping"),
        ({"score_samples": 5}, "--score-samples: got 5, expected at least 20"),
        ({"r1": -1.0}, "--r1: got -1.0"),
        ({"discriminator_lr": 0.0}, "--discriminator-lr: got 0.0"),
        ({"augment": ("none", "flip")}, "--augment: got none with others"),
        ({"model": "unet"}, "--model: got 'unet'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_options_refuse(shades: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_options("gan", shades, "out", **given)


def test_size_that_no_generator_has_is_refused(shades: Path) -> None:
    with pytest.raises(UsageError, match=r"--image-size: got 30, .* Say 32\."):
        _plan(shades, image_size=30)


@pytest.fixture(scope="module")
def scorer(shades: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tells the brightnesses apart. Read only."""
    out = tmp_path_factory.mktemp("scorer") / "run"
    options = make_options("product", shades, out, epochs=1, batch_size=16, threads=1, device="cpu")
    return train(options).checkpoint


def test_features_are_what_the_head_is_given(scorer: Path) -> None:
    pictures = [np.full((8, 8, 1), level, np.uint8) for level in (0, 128, 255)]
    network = open_features(scorer)
    found = network.extract(pictures)
    head = read_artifact(scorer).spec.network
    assert network.name == f"{head.name} of task product, input of its head"
    assert found.dtype == np.float32
    assert found.shape[0] == 3
    assert np.abs(found[0] - found[2]).max() > 1e-3
    np.testing.assert_array_equal(found, network.extract([picture[..., 0] for picture in pictures]))
    assert network.sha256 == read_artifact(scorer).manifest.payload_sha256


def test_random_features_are_the_same_everywhere() -> None:
    grey = [np.arange(64, dtype=np.uint8).reshape(8, 8)]
    found = open_features(None).extract(grey)
    assert found.shape == (1, 128)
    np.testing.assert_allclose(found[0, :3], [0.15279, 0.03843, 0.27423], atol=1e-4)
    assert open_features(None).extract([np.zeros((8, 8, 3), np.uint8)] * 2).shape == (2, 128)


def test_checkpoint_is_scored_as_it_was_trained(shades: Path, scorer: Path, tmp_path: Path) -> None:
    own = tmp_path / "features.safetensors"
    own.write_bytes(scorer.read_bytes())
    options = make_options(
        "gan", shades, tmp_path / "run", epochs=1, batch_size=32, dimensions=4, width=4, features=own,
        score_samples=30, classes=("0", "2"), image_size=12, threads=1, device="cpu",
    )  # fmt: skip
    checkpoint = read_artifact(train(options).checkpoint)
    rules = checkpoint.manifest.evidence.facts[FACT]
    assert rules["features"]["sha256"] == read_artifact(own).manifest.payload_sha256

    task = task_of(checkpoint)
    proof = task.load_split(shades, "test", checkpoint.spec)
    assert (len(proof), proof.targets[0].shape) == (30, (12, 12))
    assert [metric.name for metric in task.measure(_painted(proof), proof)] == ["frechet"]

    own.unlink()
    without = task_of(checkpoint)
    assert without.measure(_painted(proof), proof) == ()


def test_other_weights_under_the_features_name_are_refused(scorer: Path, tmp_path: Path) -> None:
    record = {**open_features(scorer).to_json(), "sha256": "0" * 64}
    with pytest.raises(UsageError, match="got other weights"):
        features_again(record)
    assert features_again({**record, "path": str(tmp_path / "gone.safetensors")}) is None
    again = features_again(open_features(None).to_json())
    assert again is not None
    assert again.name == RANDOM


def test_features_of_another_kind_are_refused(shades: Path, tmp_path: Path) -> None:
    options = make_options("gan", shades, tmp_path / "run", epochs=1, batch_size=64, dimensions=4, width=4,
                           score_samples=20, threads=1, device="cpu")  # fmt: skip
    generator = train(options).checkpoint
    with pytest.raises(UsageError, match="--features 'gan.safetensors': got one that takes 'noise'"):
        open_features(generator)
    for name, flag in (("start", "from"), ("teacher", "teacher"), ("qat", "qat")):
        with pytest.raises(UsageError, match=f"--{flag}: got it for task 'gan'"):
            make_options("gan", shades, "out", **{name: generator})


def test_task_is_what_the_table_says() -> None:
    assert isinstance(get_task("gan"), GanTask)
    assert (GanTask.metric, GanTask.mode) == ("frechet", "min")
